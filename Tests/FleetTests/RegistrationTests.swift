import Classifier
import Fleet
import Model
import Testing

@Suite struct RegistrationTests {
    @Test("a VM's registration becomes a proxy with a VIP, after one probe") func happy() throws {
        var lab = Lab()
        lab.hear(etcd("web", "1"))
        #expect(lab.probed == [.init(instance: instance(a), place: tap0, registry: .v4(registryAddress))])
        let spec = try #require(lab.proxy("web"))
        #expect(
            spec.services.map(\.backends) == [
                [Backend(address: a, port: 80, mac: tap0.mac, device: tap0.port, state: .live)]
            ])
        #expect(lab.vip("web")?.port == 80)
        #expect(lab.state(a) == .live)
        #expect(lab.view(a)?.reason == nil)
        #expect(lab.fleet.wanted == Array(lab.loaded.values))
    }

    @Test("probes come before records, records before loads") func order() throws {
        var lab = Lab()
        let said = hearing(etcd("web", "1"), from: .v4(a), on: tap0, at: lab.now)
        let first = lab.fleet.heard(said, at: lab.now)
        guard case .probe = first.first else { return #expect(Bool(false), "\(first)") }
        let second = lab.fleet.probed(instance(a), .answered(tap0, open: true, hopLimit: 64), at: lab.now)
        let load = try #require(second.firstIndex { if case .load = $0 { true } else { false } })
        let vip = try #require(second.firstIndex { if case .record(.vip) = $0 { true } else { false } })
        #expect(vip < load)
    }

    @Test("a container's registration is shown and not proxied") func container() {
        var lab = Lab()
        lab.hear(etcd("web", "1"), from: c, on: cni)
        #expect(lab.state(c) == .container)
        #expect(lab.view(c)?.reason == "it runs in a container")
        #expect(lab.loaded.isEmpty)
    }

    @Test("with every port mixed the verdicts are the same, from list and probe alone") func mixed() {
        func mix(_ place: Place) -> Place { Place(port: place.port, role: .mixed, mac: place.mac) }
        var lab = Lab(ports: [mix(tap0), mix(tap1), mix(cni)])
        lab.machines = [a: mix(tap0), c: mix(cni)]
        var list = ContainerList()
        list.insert(.v4(c))
        lab.apply(lab.fleet.containers(list, at: lab.now))
        lab.hear(etcd("web", "1"), from: a, on: mix(tap0))
        lab.hear(etcd("web", "2"), from: c, on: mix(cni))
        #expect(lab.state(a) == .live)
        #expect(lab.state(c) == .container)
        #expect(lab.backends("web") == [a: .live])
    }

    @Test("two VMs of one service share one proxy, backends in order of address") func two() {
        var lab = Lab()
        lab.hear(etcd("web", "2"), from: b, on: tap1)
        lab.hear(etcd("web", "1"), from: a, on: tap0)
        #expect(lab.loaded.count == 1)
        #expect(lab.proxy("web")?.services.first?.backends.map(\.address) == [a, b])
    }

    @Test("what its registry refused changes nothing") func refusedByRegistry() {
        var lab = Lab()
        lab.hear(etcd("web", "1", accepted: false))
        #expect(lab.fleet.instances(at: lab.now).isEmpty)
        #expect(lab.probed.isEmpty)
    }

    @Test("a registration whose answer was not seen waits for an open port") func provisional() {
        var lab = Lab()
        lab.closed = [instance(a)]
        lab.hear(etcd("web", "1", accepted: nil))
        #expect(lab.state(a) == .provisional)
        #expect(lab.loaded.isEmpty)
        lab.closed = []
        lab.wait(.seconds(31))
        lab.hear(etcd("web", "1", accepted: nil))
        #expect(lab.state(a) == .live)
    }

    @Test("a provisional registration becomes live when a probe finds it open") func provisionalOpen() {
        var lab = Lab()
        lab.hear(consul("web", accepted: nil))
        #expect(lab.state(a) == .live)
    }

    @Test("a silent machine is unknown, is asked again, and is live when it answers late") func late() {
        var lab = Lab()
        lab.machines = [:]
        lab.hear(consul("web"))
        #expect(lab.state(a) == .unknown)
        #expect(lab.view(a)?.reason?.contains("silent") == true)
        lab.machines = [a: tap0]
        lab.wait(.seconds(1))
        #expect(lab.state(a) == .live)
    }

    @Test("saying the same again changes nothing and probes nobody") func again() {
        var lab = Lab()
        lab.hear(consul("web", id: "w", ttl: 10))
        let (probes, records) = (lab.probed.count, lab.journal.count)
        for _ in 0..<50 {
            let actions = lab.fleet.heard(
                hearing(consul("web", id: "w", ttl: 10), from: .v4(a), on: tap0, at: lab.now), at: lab.now)
            #expect(actions.isEmpty)
        }
        #expect((lab.probed.count, lab.journal.count) == (probes, records))
    }

    @Test("an empty address means the sender's") func emptyAddress() {
        var lab = Lab()
        lab.hear(consul("web", address: ""))
        #expect(lab.state(a) == .live)
    }

    @Test("the same id for another port moves the registration: the old port drains") func replaced() {
        var lab = Lab()
        lab.hear(consul("web", id: "w", port: 80))
        lab.hear(consul("web", id: "w", port: 81))
        #expect(lab.state(a, 80) == .draining)
        #expect(lab.state(a, 81) == .live)
    }

    @Test("two registries hold one instance: it goes with the last of them") func twoHolders() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(etcd("web", "1", ttl: 1000))
        #expect(lab.view(a)?.holders.count == 2)
        lab.hear(message(.deregister, id: "w"))
        #expect(lab.state(a) == .live)
        lab.hear(message(.deregister, "etcd", id: "1", key: "/services/web/1"))
        #expect(lab.state(a) == .draining)
    }

    @Test("one instance under two names is carried by the first; the second takes over when the first goes")
    func twoNames() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(consul("www", id: "x"))
        #expect(lab.backends("web") == [a: .live])
        #expect(lab.backends("www").isEmpty)
        #expect(lab.service("www")?.reason?.contains("another service's name") == true)
        lab.hear(message(.deregister, id: "w"))
        #expect(lab.backends("web").isEmpty)
        #expect(lab.backends("www") == [a: .live])
    }

    @Test("IPv6 and UDP services are shown with the reason they are not carried") func notCarried() throws {
        var lab = Lab()
        let v6 = try #require(IPAddress("fd00::1"))
        lab.apply(lab.fleet.heard(hearing(consul("six"), from: v6, on: tap0, at: lab.now), at: lab.now))
        var said = consul("dns")
        said.protocol = "UDP"
        lab.hear(said)
        #expect(lab.loaded.isEmpty)
        #expect(Set(lab.probed.map(\.instance.address)) == [v6, .v4(a)])
        #expect(lab.fleet.instances(at: lab.now).count == 2)
        #expect(lab.fleet.instances(at: lab.now).allSatisfy { $0.reason != nil })
    }

    @Test("two networks with the same addresses are two instances and two proxies") func networks() {
        let red = NetworkID(7)
        var lab = Lab(.enforcing.with { $0.vipRanges[red] = $0.vipRanges[blue] })
        lab.hear(consul("web"))
        lab.hear(consul("web"), network: red)
        #expect(lab.loaded.keys.sorted().map(\.network) == [blue, red])
    }

    @Test("namespaces keep services of one name apart") func namespaces() {
        var lab = Lab()
        var said = consul("web", id: "w")
        said.namespace = "team"
        lab.hear(said)
        lab.hear(consul("web", id: "w", port: 81))
        #expect(Set(lab.loaded.keys.map(\.name)) == ["web", "team/web"])
    }

    @Test("with probing off a vm port's role suffices; on a mixed port nothing does") func noProbing() {
        var lab = Lab(.enforcing.with { $0.probing = false })
        lab.hear(consul("web"))
        #expect(lab.state(a) == .live)
        lab.hear(consul("web"), from: b, on: Place(port: PortName("br0"), role: .mixed, mac: tap1.mac))
        #expect(lab.state(b) == .unknown)
        #expect(lab.probed.isEmpty)
    }
}
