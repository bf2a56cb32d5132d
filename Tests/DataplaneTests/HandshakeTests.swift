import CRemoraABI
import Model
import Testing

@testable import Dataplane

@Suite("Half-open flows", .enabled(if: mayLoadBPF, Comment(rawValue: needsRoot)), .serialized)
struct HandshakeTests {
    private let client = "10.0.9.9"

    private func syn(_ source: UInt16) -> Packet { Packet(from: client, source, to: Rig.vip, 80) }
    private func ack(_ source: UInt16) -> Packet { Packet(from: client, source, to: Rig.vip, 80, flags: Packet.ack) }
    private func answer(_ port: UInt16, _ flags: UInt8 = 0x12) -> Packet {
        Packet(from: "10.0.0.1", 8080, to: client, port, flags: flags)
    }

    private func halfOpen(_ rig: Rig) throws -> Int32 { try #require(rig.plane.maps.ports[0]).half_open }

    @Test("half-open flows of one port are bounded, and an answered handshake makes room")
    func bounded() throws {
        let rig = try Rig(halfOpen: 2)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        #expect(try rig.run(syn(1)).reasons == ["opened": 1])
        #expect(try rig.run(syn(2)).reasons == ["opened": 1])
        #expect(try rig.run(syn(3)).reasons == ["half-open-quota": 1])
        #expect(try rig.run(ack(1)).reasons == ["forwarded": 1])
        #expect(try rig.run(syn(3)).reasons == ["half-open-quota": 1], "a client alone ends no handshake")
        _ = try rig.run(answer(1))
        #expect(try rig.run(syn(3)).reasons == ["half-open-quota": 1])
        for _ in 0..<2 { _ = try rig.run(ack(1)) }
        #expect(try rig.run(syn(3)).reasons == ["opened": 1])
        #expect(try halfOpen(rig) == 2)
    }

    @Test("a refused connection is no longer half-open, by whoever's reset", arguments: [true, false])
    func refused(byServer: Bool) throws {
        let rig = try Rig(halfOpen: 2)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        for port in UInt16(1)...20 {
            #expect(try rig.run(syn(port)).reasons == ["opened": 1])
            var reset = byServer ? answer(port) : syn(port)
            reset.flags = Packet.reset
            for _ in 0..<2 { #expect(try rig.run(reset).reasons == ["forwarded": 1]) }
        }
        #expect(rig.liveFlows == 0, "its slots are for the next ones")
        #expect(try halfOpen(rig) == 0)
        _ = try rig.openConnections  // a pass counts for itself
        #expect(try halfOpen(rig) == 0)
    }

    @Test("segments from nowhere to a VM's own address pass, and keep no more entries than a port may")
    func fromNowhere() throws {
        let rig = try Rig(halfOpen: 4)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var reasons: [String: UInt64] = [:]
        for port in UInt16(1)...20 {
            let stray = Packet(from: client, port, to: "10.0.0.1", 8080, flags: 0)
            for _ in 0..<2 {
                let passed = try rig.run(stray)
                #expect(passed.verdict == nextHop)
                reasons.merge(passed.reasons, uniquingKeysWith: +)
            }
        }
        #expect(reasons == ["opened": 4, "forwarded": 36])
        let beyond = Packet(from: client, 20, to: "10.0.0.1", 8080, flags: 0)
        #expect(
            try rig.run(beyond, egress: true).reasons == ["forwarded": 1], "nor on its way to the guest, by a switch")
        #expect(rig.flowCount == 8)
        #expect(try rig.openConnections == 4)
        #expect(try halfOpen(rig) == 4)
        try rig.plane.apply(Rig.web([Rig.vm1], rules: [.init(action: .deny, source: .any)]))
        let denied = try rig.run(Packet(from: client, 20, to: "10.0.0.1", 8080, flags: 0))
        #expect(denied.reasons == ["policy-denied": 1], "what has no entry is asked for each packet")
    }

    @Test("a connection that finds no room is not counted as half-open")
    func noRoom() throws {
        let rig = try Rig(flows: 16)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var opened: Int32 = 0
        for port in UInt16(5000)..<5060 where try rig.run(syn(port)).reasons == ["opened": 1] { opened += 1 }
        #expect(opened < 60)
        #expect(try halfOpen(rig) == opened)
        let middle = try rig.run(Packet(from: client, 4000, to: "10.0.0.1", 8080, flags: Packet.ack))
        #expect(middle.verdict == nextHop, "a connection in its middle goes on")
    }

    @Test("handshakes that a pass finds stale do not count against the port after it")
    func stale() throws {
        let rig = try Rig(halfOpen: 4)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        rig.plane.setFlowLimits(.init(halfOpen: .zero))
        for port in UInt16(1)...4 { _ = try rig.run(syn(port)) }
        let start = ContinuousClock.now
        var second = 0
        while rig.flowCount > 0, ContinuousClock.now - start < .seconds(30) {
            _ = try rig.plane.sweepFlows(now: start + .seconds(second))
            second += 1
        }
        #expect(rig.flowCount == 0)
        #expect(try halfOpen(rig) == 0)
        #expect(try rig.run(syn(9)).reasons == ["opened": 1])
    }

    @Test("a connection older than its proxy is established with the first answer")
    func pickedUp() throws {
        let rig = try Rig(halfOpen: 1)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        for port in UInt16(1)...3 {
            let middle = Packet(from: client, port, to: "10.0.0.1", 8080, flags: Packet.ack)
            #expect(try rig.run(middle).reasons == ["opened": 1])
            #expect(try halfOpen(rig) == 1)
            _ = try rig.run(answer(port, Packet.ack))
            #expect(try halfOpen(rig) == 0)
        }
        #expect(try rig.plane.connections(limit: 9).allSatisfy { $0.state == .open })
    }

    @Test("a handshake that ends just after a change of its service has ended")
    func changedMeanwhile() throws {
        let rig = try Rig(halfOpen: 1)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        _ = try rig.run(syn(1))
        _ = try rig.run(answer(1))
        try rig.plane.apply(Rig.web([Rig.vm1], rules: [.init(action: .deny, source: IPv4Prefix("192.0.2.0/24")!)]))
        #expect(try rig.run(ack(1)).reasons == ["forwarded": 1])
        #expect(try halfOpen(rig) == 0)
    }

    @Test("one source port cannot count twice, and what is purged does not count")
    func once() throws {
        let rig = try Rig(halfOpen: 1)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        for _ in 0..<5 {
            #expect(try rig.run(syn(1)).reasons == ["opened": 1])
            _ = try rig.run(Packet(from: client, 1, to: Rig.vip, 80, flags: Packet.fin))
            #expect(try halfOpen(rig) == 1)
        }
        try rig.plane.purge(InstanceID(network: NetworkID(0), address: .v4(Rig.vm1.address), port: 8080))
        #expect(rig.flowCount == 0)
        #expect(try halfOpen(rig) == 0)
    }
}
