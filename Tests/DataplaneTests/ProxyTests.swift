import BPFRuntime
import CRemoraABI
import Model
import Testing

@testable import Dataplane

@Suite("A proxy, packet by packet", .enabled(if: mayLoadBPF, Comment(rawValue: needsRoot)), .serialized)
struct ProxyTests {
    let client = "10.0.9.9"

    @Test("a SYN to the VIP goes to a backend, its answer comes back from the VIP")
    func roundTrip() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var syn = Packet(from: client, 5000, to: Rig.vip, 80)
        syn.destinationMAC = rig.plane.vipMAC
        let sent = try rig.run(syn)
        #expect(sent.verdict == nextHop)
        #expect(sent.reasons == ["opened": 1])
        #expect(sent.packet?.destination == Rig.vm1.address)
        #expect(sent.packet?.destinationPort == 8080)
        #expect(sent.packet?.destinationMAC == Rig.vm1.mac)
        #expect(sent.packet?.source == IPv4Address(client))

        let answer = try rig.run(Packet(from: "10.0.0.1", 8080, to: client, 5000, flags: 0x12))
        #expect(answer.reasons == ["forwarded": 1])
        #expect(answer.packet?.source == IPv4Address(Rig.vip))
        #expect(answer.packet?.sourcePort == 80)

        let ack = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80, flags: Packet.ack))
        #expect(ack.reasons == ["forwarded": 1])
        #expect(ack.packet?.destination == Rig.vm1.address)
    }

    @Test("a connection to the VM's own address reaches that VM, unchanged")
    func ownAddress() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web())
        let syn = Packet(from: client, 5000, to: "10.0.0.2", 8080)
        let sent = try rig.run(syn)
        #expect(sent.reasons == ["opened": 1])
        #expect(sent.packet == syn)
    }

    @Test("connections to the VIP are spread over both backends")
    func spread() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web())
        var hits: [IPv4Address: Int] = [:]
        for port in 5000..<5200 {
            let sent = try rig.run(Packet(from: client, UInt16(port), to: Rig.vip, 80))
            hits[sent.packet!.destination, default: 0] += 1
        }
        #expect(hits.count == 2)
        #expect(hits.values.allSatisfy { $0 > 60 })
    }

    @Test("what belongs to no service passes untouched", arguments: [6 as UInt8, 17, 1])
    func notOurs(proto: UInt8) throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web())
        var packet = Packet(from: client, 5000, to: "10.0.0.1", 81)
        packet.proto = proto
        let bytes = packet.bytes
        let (verdict, after, reasons) = try rig.run(bytes)
        #expect(verdict == nextHop)
        #expect(after == bytes)
        #expect(reasons == [proto == 6 ? "not-ours" : "not-tcp": 1])
    }

    @Test("a denied source is dropped under policy-denied, another gets through")
    func denied() throws {
        let rig = try Rig()
        let rule = PolicyRules.Rule(action: .deny, source: IPv4Prefix("10.0.9.9/32")!)
        try rig.plane.apply(Rig.web(rules: [rule]))
        let denied = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80))
        #expect(denied.verdict == dropped)
        #expect(denied.reasons == ["policy-denied": 1])
        let own = try rig.run(Packet(from: client, 5000, to: "10.0.0.1", 8080))
        #expect(own.reasons == ["policy-denied": 1])
        #expect(rig.flowCount == 0)
        let other = try rig.run(Packet(from: "10.0.9.8", 5000, to: Rig.vip, 80))
        #expect(other.reasons == ["opened": 1])
    }

    @Test("a policy that comes while a client talks stops it, and lifts again without a new connection")
    func deniedWhileTalking() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80))
        let data = Packet(from: client, 5000, to: Rig.vip, 80, flags: Packet.ack)
        #expect(try rig.run(data).reasons == ["forwarded": 1])
        try rig.plane.apply(Rig.web([Rig.vm1], rules: [.init(action: .deny, source: .any)]))
        #expect(try rig.run(data).reasons == ["policy-denied": 1])
        try rig.plane.apply(Rig.web([Rig.vm1]))
        let again = try rig.run(data)
        #expect(again.reasons == ["forwarded": 1])
        #expect(again.packet?.destination == Rig.vm1.address)
    }

    @Test("a change of one service has its own flows decided again, and no other's")
    func otherService() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        try rig.plane.apply(Rig.web([Rig.vm2], name: "shop", vip: "10.255.0.8"))
        let slot = try #require(rig.plane.serviceSlots[ServiceID(network: NetworkID(0), name: "shop")])
        let syn = Packet(from: client, 5000, to: "10.255.0.8", 80)
        #expect(try rig.run(syn).reasons == ["opened": 1])
        let data = Packet(from: client, 5000, to: "10.255.0.8", 80, flags: Packet.ack)
        try rig.plane.maps.proxies.remove(slot)  // whoever asks it now is told no
        let deny = [PolicyRules.Rule(action: .deny, source: IPv4Prefix("10.0.8.0/24")!)]
        for rules in [deny, []] {
            try rig.plane.apply(Rig.web([Rig.vm1], rules: rules))
            for _ in 0..<2 { #expect(try rig.run(data).reasons == ["forwarded": 1]) }
        }
        try rig.plane.maps.moveGenerations([slot])
        #expect(try rig.run(data).reasons == ["no-proxy": 1])
    }

    @Test("a service that moves to another proxy keeps its connections, and the one that stays its own")
    func moves() throws {
        let rig = try Rig()
        let web = Rig.web([Rig.vm1]).services[0]
        var database = Rig.vm1
        database.port = 8081
        let shop = Rig.web([database], name: "shop", vip: "10.255.0.8").services[0]
        let both = ProxyID(network: NetworkID(0), name: "10.0.0.1")
        let wider = ProxyID(network: NetworkID(0), name: "10.0.0.1+10.0.0.2")
        try rig.plane.apply(ProxySpec(id: both, services: [shop, web]))
        let ends = [(Rig.vip, UInt16(80)), ("10.255.0.8", 80), ("10.0.0.1", 8080)]
        for (source, end) in zip(UInt16(5000)..., ends) {
            #expect(try rig.run(Packet(from: client, source, to: end.0, end.1)).reasons == ["opened": 1])
        }
        func goOn() throws {
            for (source, end) in zip(UInt16(5000)..., ends) {
                let middle = try rig.run(Packet(from: client, source, to: end.0, end.1, flags: Packet.ack))
                #expect(middle.reasons == ["forwarded": 1])
                #expect(middle.packet?.destination == Rig.vm1.address)
            }
        }
        // per VM, as the fleet does it when web gains a second one: the new proxy first
        let wide = Rig.web([Rig.vm1, Rig.vm2]).services[0]
        try rig.plane.apply(ProxySpec(id: wider, services: [wide]))
        try rig.plane.apply(ProxySpec(id: both, services: [shop]))
        try goOn()
        try rig.plane.apply(ProxySpec(id: both, services: [shop, web]))
        try rig.plane.remove(wider)
        try goOn()
        try rig.plane.remove(both)
        #expect(rig.flowCount == 0)
    }

    @Test("a service that lets go of an instance which another carries keeps no flow to it")
    func letsGo() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80))
        try rig.plane.apply(Rig.web([Rig.vm1], name: "shop", vip: "10.255.0.8"))
        #expect(try rig.run(Packet(from: client, 5001, to: "10.255.0.8", 80)).reasons == ["opened": 1])
        try rig.plane.apply(Rig.web([Rig.vm2]))
        #expect(
            rig.plane.maps.flows.all.map {
                UInt16(bigEndian: $0.isForward ? $0.key.source_port : $0.key.destination_port)
            } == [5001, 5001])
    }

    @Test("a rule for one port and the longest prefix decide")
    func precedence() throws {
        let rig = try Rig()
        try rig.plane.apply(
            Rig.web(rules: [
                .init(action: .deny, source: .any),
                .init(action: .allow, source: IPv4Prefix("10.0.9.0/24")!, port: 80),
            ]))
        #expect(try rig.run(Packet(from: client, 1, to: Rig.vip, 80)).reasons == ["opened": 1])
        #expect(try rig.run(Packet(from: client, 2, to: "10.0.0.1", 8080)).reasons == ["policy-denied": 1])
        #expect(try rig.run(Packet(from: "10.0.8.1", 3, to: Rig.vip, 80)).reasons == ["policy-denied": 1])
    }

    @Test("a draining backend ends its connections and opens none")
    func draining() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80))
        var leaving = Rig.vm1
        leaving.state = .draining
        try rig.plane.apply(Rig.web([leaving]))
        let open = Packet(from: client, 5000, to: Rig.vip, 80, flags: Packet.ack)
        #expect(try rig.run(open).reasons == ["forwarded": 1])
        #expect(try rig.run(Packet(from: client, 5001, to: Rig.vip, 80)).reasons == ["no-backend": 1])
        #expect(try rig.run(Packet(from: client, 5001, to: "10.0.0.1", 8080)).reasons == ["draining": 1])
    }

    @Test("a guarded address keeps its policy and is otherwise left alone")
    func guarded() throws {
        let rig = try Rig()
        var gone = Rig.vm1
        gone.state = .guarded
        try rig.plane.apply(
            Rig.web([gone], rules: [.init(action: .deny, source: IPv4Prefix("10.0.9.9/32")!)], vip: nil))
        #expect(try rig.run(Packet(from: client, 1, to: "10.0.0.1", 8080)).reasons == ["policy-denied": 1])
        #expect(try rig.run(Packet(from: "10.0.9.8", 1, to: "10.0.0.1", 8080)).reasons == ["not-ours": 1])
        #expect(rig.flowCount == 0)
    }

    @Test("a VM is not balanced to itself; alone, it is told so")
    func hairpin() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web())
        for port in UInt16(1)..<50 {
            let sent = try rig.run(Packet(from: "10.0.0.1", port, to: Rig.vip, 80))
            #expect(sent.reasons == ["opened": 1])
            #expect(sent.packet?.destination == Rig.vm2.address)
        }
        try rig.plane.apply(Rig.web([Rig.vm1]))
        #expect(try rig.run(Packet(from: "10.0.0.1", 99, to: Rig.vip, 80)).reasons == ["hairpin": 1])
    }

    @Test("IP options and a VLAN tag in the bytes are read past")
    func optionsAndTag() throws {
        let rig = try Rig(vlans: [100: NetworkID(0)])
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var packet = Packet(from: client, 5000, to: Rig.vip, 80)
        packet.options = [1, 1, 1, 1, 1, 1, 1, 0]
        packet.vlan = 100
        packet.payload = [1, 2, 3]
        let sent = try rig.run(packet)
        #expect(sent.reasons == ["opened": 1])
        #expect(sent.packet?.destination == Rig.vm1.address)
        #expect(sent.packet?.vlan == 100)
        packet.vlan = 101
        #expect(try rig.run(packet).reasons == ["unknown-vlan": 1])
    }

    @Test("a TCP fragment to a mesh address is dropped, to any other it passes")
    func fragments() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web())
        var packet = Packet(from: client, 5000, to: "10.0.0.1", 8080)
        packet.fragment = 0x2000
        #expect(try rig.run(packet).reasons == ["fragment-denied": 1])
        packet.destination = IPv4Address("10.0.0.77")!
        #expect(try rig.run(packet).reasons == ["fragment": 1])
    }

    @Test("cut packets pass untouched, whatever their length")
    func cut() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web())
        let whole = Packet(from: client, 5000, to: Rig.vip, 80).bytes
        for length in 34..<whole.count {
            let (verdict, after, reasons) = try rig.run(Array(whole.prefix(length)))
            #expect(verdict == nextHop)
            #expect(after == Array(whole.prefix(length)))
            #expect(reasons.values.reduce(0, +) == 1)
        }
    }

    @Test("in observe mode not one packet is touched")
    func observe() throws {
        let rig = try Rig(mode: .observe)
        try rig.plane.apply(Rig.web())
        let packet = Packet(from: client, 5000, to: Rig.vip, 80)
        let sent = try rig.run(packet)
        #expect(sent.verdict == nextHop)
        #expect(sent.packet == packet)
        #expect(sent.reasons == ["observed": 1])
    }

    @Test("on its way to the guest, what no port of ours saw meets the policy; what one saw does not again")
    func egress() throws {
        let rig = try Rig()
        let rule = PolicyRules.Rule(action: .deny, source: IPv4Prefix("10.0.9.9/32")!)
        try rig.plane.apply(Rig.web([Rig.vm1], rules: [rule]))
        let denied = try rig.run(Packet(from: client, 5000, to: "10.0.0.1", 8080), egress: true)
        #expect(denied.reasons == ["policy-denied": 1])
        let other = Packet(from: "10.0.9.8", 5000, to: "10.0.0.1", 8080)
        #expect(try rig.run(other, egress: true).reasons == ["opened": 1])
        let viaVIP = try rig.run(Packet(from: "10.0.9.7", 5000, to: Rig.vip, 80)).packet!
        #expect(try rig.run(viaVIP, egress: true).reasons == ["checked": 1])
    }

    @Test("redirect sends to the backend's device")
    func redirect() throws {
        let rig = try Rig(forwarding: .redirect)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        #expect(try rig.run(Packet(from: client, 5000, to: Rig.vip, 80)).verdict == redirected)
        #expect(try rig.run(Packet(from: "10.0.0.1", 8080, to: client, 5000, flags: 0x12)).verdict == redirected)
    }

    @Test("an ARP request for a VIP is answered, for another address it passes")
    func arp() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web())
        func request(_ target: String) -> [UInt8] {
            let asker = MACAddress("02:00:00:00:00:01")!.bytes
            return [UInt8](repeating: 255, count: 6) + asker + [8, 6, 0, 1, 8, 0, 6, 4, 0, 1] + asker
                + big(IPv4Address(client)!.bits) + [0, 0, 0, 0, 0, 0] + big(IPv4Address(target)!.bits)
        }
        let (verdict, answer, reasons) = try rig.run(request(Rig.vip))
        #expect(verdict == redirected)
        #expect(reasons == ["arp-answered": 1])
        #expect(Array(answer[0..<6]) == MACAddress("02:00:00:00:00:01")!.bytes)
        #expect(Array(answer[22..<28]) == rig.plane.vipMAC.bytes)
        #expect(Array(answer[28..<32]) == big(IPv4Address(Rig.vip)!.bits))
        let (other, same, passed) = try rig.run(request("10.0.0.1"))
        #expect(other == nextHop)
        #expect(same == request("10.0.0.1"))
        #expect(passed == ["not-ours": 1])
    }
}
