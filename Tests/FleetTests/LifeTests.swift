import Classifier
import Fleet
import Model
import Testing

@Suite struct LeaseTests {
    @Test("a lease that lapses drains its instance, then forgets it") func lapse() {
        var lab = Lab()
        lab.hear(etcd("web", "1", ttl: 10))
        lab.wait(.milliseconds(9_999))
        #expect(lab.state(a) == .live)
        lab.wait(.milliseconds(1))
        #expect(lab.state(a) == .draining)
        #expect(lab.backends("web") == [a: .draining])
        lab.wait(.seconds(30))
        #expect(lab.state(a) == .lost)
        #expect(lab.loaded.isEmpty)
        #expect(lab.view(a)?.reason?.contains("lapsed") == true)
        lab.wait(.seconds(601))
        #expect(lab.fleet.instances(at: lab.now).isEmpty)
    }

    @Test("a heartbeat renews a lease, and every instance on it lives on") func heartbeat() {
        var lab = Lab()
        lab.hear(etcd("web", "1", port: 80))
        lab.hear(etcd("web", "2", port: 81))
        for _ in 0..<5 {
            lab.wait(.seconds(9))
            lab.hear(message(.heartbeat, "etcd", lease: "1"))
        }
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.live, .live))
        lab.wait(.seconds(10))
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.draining, .draining))
    }

    @Test("a heartbeat is no record and no action: it costs one look-up") func cheap() {
        var lab = Lab()
        lab.hear(etcd("web", "1"))
        let said = hearing(message(.heartbeat, "etcd", lease: "1"), from: .v4(a), on: tap0, at: lab.now)
        #expect(lab.fleet.heard(said, at: lab.now).isEmpty)
    }

    @Test(
        "Consul's check is known by service:ID, by service:ID:2 and by ID",
        arguments: ["service:w", "service:w:2", "w"])
    func consulChecks(check: String) {
        var lab = Lab()
        lab.hear(consul("web", id: "w", ttl: 10))
        lab.wait(.seconds(9))
        lab.hear(message(.heartbeat, id: check))
        lab.wait(.seconds(9))
        #expect(lab.state(a) == .live)
    }

    @Test("a heartbeat by another guest, or for another lease, renews nothing") func othersHeartbeat() {
        var lab = Lab()
        lab.hear(etcd("web", "1"))
        lab.wait(.seconds(9))
        lab.hear(message(.heartbeat, "etcd", lease: "1"), from: b, on: tap1)
        lab.hear(message(.heartbeat, "etcd", lease: "1"), from: a, on: tap1)
        lab.hear(message(.heartbeat, "etcd", lease: "2"))
        lab.wait(.seconds(1))
        #expect(lab.state(a) == .draining)
    }

    @Test("a registration without a lease lives until it is deregistered") func forEver() {
        var lab = Lab()
        lab.hear(consul("web", ttl: 0))
        lab.wait(.seconds(100_000))
        #expect(lab.state(a) == .live)
    }

    @Test("a key put again does not renew its etcd lease; a Consul check starts anew") func putAgain() {
        var lab = Lab()
        lab.hear(etcd("web", "1", port: 80))
        lab.hear(consul("api", id: "x", port: 81, ttl: 10))
        lab.wait(.seconds(9))
        lab.hear(etcd("web", "1", port: 80))
        lab.hear(consul("api", id: "x", port: 81, ttl: 10))
        lab.wait(.seconds(2))
        #expect(lab.state(a, 80) == .draining)
        #expect(lab.state(a, 81) == .live)
    }

    @Test("a heartbeat after the lapse brings it back, draining or already forgotten by its proxy") func lateHeartbeat()
    {
        var lab = Lab()
        lab.hear(consul("web", id: "w", ttl: 10))
        lab.wait(.seconds(12))
        lab.hear(message(.heartbeat, id: "service:w"))
        #expect(lab.state(a) == .live)
        lab.wait(.seconds(60))
        #expect(lab.state(a) == .lost)
        lab.hear(message(.heartbeat, id: "service:w"))
        #expect(lab.backends("web") == [a: .live])
    }

    @Test("a lease whose time nobody said lives until a keep-alive tells it") func timeUnknown() {
        var lab = Lab()
        var said = etcd("web", "1")
        said.ttlSeconds = nil
        lab.hear(said)
        lab.wait(.seconds(1000))
        #expect(lab.state(a) == .live)
        var beat = message(.heartbeat, "etcd", lease: "1")
        beat.ttlSeconds = 10
        lab.hear(beat)
        lab.wait(.seconds(10))
        #expect(lab.state(a) == .draining)
    }

    @Test("a container whose lease lapses is forgotten in time too") func container() {
        var lab = Lab()
        lab.hear(etcd("web", "1"), from: c, on: cni)
        lab.wait(.seconds(11))
        #expect(lab.state(c) == .lost)
        lab.wait(.seconds(600))
        #expect(lab.state(c) == nil)
    }

    @Test("a lease of one second, renewed at the last moment or just too late") func shortest() {
        var lab = Lab()
        lab.hear(etcd("web", "1", ttl: 1))
        for _ in 0..<5 {
            lab.wait(.milliseconds(999))
            lab.hear(message(.heartbeat, "etcd", lease: "1"))
        }
        #expect(lab.state(a) == .live)
        lab.wait(.seconds(1))
        #expect(lab.backends("web") == [a: .draining])
        lab.hear(message(.heartbeat, "etcd", lease: "1"))
        #expect(lab.backends("web") == [a: .live])
        #expect(lab.purged.isEmpty, "its connections went on")
    }

    @Test("revoking an etcd lease deregisters everything on it") func revoke() {
        var lab = Lab()
        lab.hear(etcd("web", "1", port: 80))
        lab.hear(etcd("web", "2", port: 81))
        lab.hear(etcd("web", "3", port: 82, lease: "9"))
        lab.hear(message(.deregister, "etcd", lease: "1"))
        #expect((lab.state(a, 80), lab.state(a, 81), lab.state(a, 82)) == (.draining, .draining, .live))
    }

    @Test("an absurd lease time overflows nothing") func absurd() {
        var lab = Lab()
        lab.hear(etcd("web", "1", ttl: .max))
        lab.hear(etcd("api", "2", port: 81, ttl: -5, lease: "2"))
        lab.wait(.seconds(1000))
        #expect(lab.state(a, 80) == .live)
        #expect(lab.state(a, 81) == .live)
    }
}

@Suite struct DrainTests {
    @Test("a deregistered VM is out of balancing at once, and gone when its last connection is") func drains() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(message(.deregister, id: "w"))
        #expect(lab.backends("web") == [a: .draining])
        lab.wait(.seconds(1))
        lab.apply(lab.fleet.openFlows([instance(a): 1], at: lab.now))
        #expect(lab.backends("web") == [a: .draining])
        lab.apply(lab.fleet.openFlows([:], at: lab.now))
        #expect(lab.loaded.isEmpty)
        #expect(lab.fleet.instances(at: lab.now).isEmpty)
        #expect(lab.purged.isEmpty)
    }

    @Test("flows counted before the drain began say nothing about it") func countedBefore() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        let counted = lab.now
        lab.hear(message(.deregister, id: "w"))
        lab.apply(lab.fleet.openFlows([:], at: counted))
        #expect(lab.state(a) == .draining)
    }

    @Test("what still has connections at the deadline is cut, and its flows purged") func deadline() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(29))
        lab.apply(lab.fleet.openFlows([instance(a): 1], at: lab.now))
        #expect(lab.state(a) == .draining)
        lab.wait(.seconds(1))
        #expect(lab.loaded.isEmpty)
        #expect(lab.purged == [instance(a)])
    }

    @Test("one that comes back while it drains is live again") func back() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(5))
        lab.hear(consul("web", id: "w"))
        #expect(lab.backends("web") == [a: .live])
        lab.wait(.seconds(60))
        #expect(lab.backends("web") == [a: .live])
    }

    @Test("while one of two drains the VIP stays with the other") func other() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(consul("web", id: "w"), from: b, on: tap1)
        let vip = lab.vip("web")
        lab.hear(message(.deregister, id: "w"))
        #expect(lab.backends("web") == [a: .draining, b: .live])
        #expect(lab.vip("web") == vip)
    }

    @Test("a deregistration counts from the registrant alone: not from another guest, port or spoofed address")
    func onlyRegistrant() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(message(.deregister, id: "w"), from: b, on: tap1)
        lab.hear(message(.deregister, id: "w"), from: a, on: tap1)
        #expect(lab.state(a) == .live)
        #expect(lab.fleet.refusals().count == 2)
        lab.hear(message(.deregister, id: "w"))
        #expect(lab.state(a) == .draining)
    }

    @Test("a registrar may deregister what another registered, if it is clear what is meant") func registrar() {
        var lab = Lab(.enforcing.with { $0.registrars = [.v4(c)] })
        lab.hear(consul("web", id: "w"))
        lab.hear(consul("web", id: "w"), from: b, on: tap1)
        lab.hear(message(.deregister, id: "w"), from: c, on: cni)
        #expect(lab.backends("web") == [a: .live, b: .live])
        lab.hear(message(.deregister, id: "w"))
        lab.hear(message(.deregister, id: "w"), from: c, on: cni)
        #expect(lab.backends("web") == [a: .draining, b: .draining])
    }

    @Test("an instance that comes and goes too often waits a minute") func flapping() {
        var lab = Lab()
        for _ in 0..<4 {
            lab.hear(consul("web", id: "w"))
            #expect(lab.state(a) == .live)
            lab.hear(message(.deregister, id: "w"))
            lab.wait(.milliseconds(10))
            lab.apply(lab.fleet.openFlows([:], at: lab.now))
        }
        lab.hear(consul("web", id: "w"))
        #expect(lab.state(a) == .waiting)
        #expect(lab.view(a)?.reason?.contains("too often") == true)
        lab.wait(.seconds(60))
        #expect(lab.backends("web") == [a: .live])
    }
}

@Suite struct DeathTests {
    @Test("a vm port that loses its carrier kills its instances at once, flows and all") func carrier() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.hear(consul("web"), from: b, on: tap1)
        lab.apply(lab.fleet.port(tap0.port, role: .vm, network: blue, up: false, at: lab.now))
        #expect(lab.backends("web") == [b: .live])
        #expect(lab.purged == [instance(a)])
        #expect(lab.state(a) == .lost)
    }

    @Test("a port that vanishes takes the service of its only VM with it") func vanishes() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.apply(lab.fleet.portVanished(tap0.port, at: lab.now))
        #expect(lab.loaded.isEmpty)
        #expect(lab.purged == [instance(a)])
    }

    @Test("out of the proxy first, then the purge: no new flow arises behind it") func purgeLast() throws {
        var lab = Lab()
        lab.hear(consul("web"))
        let actions = lab.fleet.portVanished(tap0.port, at: lab.now)
        #expect(actions.last == .purge(instance(a)))
        #expect(actions.dropLast().last == .unload(ProxyID(network: blue, name: "web")))
    }

    @Test("an uplink without carrier kills nobody") func uplinkDown() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.apply(lab.fleet.port(uplink.port, role: .uplink, network: blue, up: false, at: lab.now))
        #expect(lab.state(a) == .live)
    }

    @Test("when its port is up again and it answers, it is back") func portBack() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.apply(lab.fleet.port(tap0.port, role: .vm, network: blue, up: false, at: lab.now))
        lab.wait(.seconds(5))
        lab.apply(lab.fleet.port(tap0.port, role: .vm, network: blue, up: true, at: lab.now))
        #expect(lab.backends("web") == [a: .live])
    }

    @Test("a failed neighbour entry is death") func neighbour() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.machines = [:]
        lab.apply(lab.fleet.neighbourGone(network: blue, a, at: lab.now))
        #expect(lab.state(a) == .lost)
        #expect(lab.purged == [instance(a)])
    }

    @Test("three silent liveness probes are death, an answer later is life") func liveness() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.machines = [:]
        lab.wait(.seconds(30))
        #expect(lab.state(a) == .live)
        lab.wait(.seconds(2))
        #expect(lab.state(a) == .lost)
        #expect(lab.purged == [instance(a)])
        lab.machines = [a: tap0]
        lab.wait(.seconds(30))
        #expect(lab.state(a) == .live)
    }

    @Test("a port that was open and is closed now fails as silence does") func closed() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.closed = [instance(a)]
        lab.wait(.seconds(33))
        #expect(lab.state(a) == .lost)
        lab.closed = []
        lab.wait(.seconds(30))
        #expect(lab.state(a) == .live)
    }

    @Test("a probe that could not be sent is no evidence of death") func notSent() {
        var lab = Lab()
        lab.hear(consul("web"))
        for _ in 0..<10 { lab.apply(lab.fleet.probed(instance(a), .notSent("no such port"), at: lab.now)) }
        #expect(lab.state(a) == .live)
    }

    @Test("a dead instance is forgotten in the end, a declared one never") func forgotten() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.declare("db", b, port: 5432)
        lab.machines = [:]
        lab.apply(lab.fleet.neighbourGone(network: blue, a, at: lab.now))
        lab.apply(lab.fleet.neighbourGone(network: blue, b, at: lab.now))
        lab.wait(.seconds(700))
        #expect(lab.state(a) == nil)
        #expect(lab.state(b, 5432) == .lost)
    }

    @Test("a new MAC on the same port is believed, and the proxy follows") func newMAC() {
        var lab = Lab()
        lab.hear(consul("web"))
        let place = Place(port: tap0.port, role: .vm, mac: MACAddress(bits: 0x0200_0000_0077))
        lab.machines[a] = place
        lab.apply(lab.fleet.moved(network: blue, .v4(a), to: place, at: lab.now))
        #expect(lab.proxy("web")?.services.first?.backends.first?.mac == place.mac)
        #expect(lab.state(a) == .live)
    }

    @Test("a guest that changes its MAC with every frame costs two loads a second, not one a frame") func macStorm() {
        var lab = Lab()
        lab.hear(consul("web"))
        var loads = 0
        for step in 0..<1000 {
            let place = Place(port: tap0.port, role: .vm, mac: MACAddress(bits: 0x0200_0001_0000 + UInt64(step)))
            lab.now = lab.now + .milliseconds(1)
            let actions = lab.fleet.moved(network: blue, .v4(a), to: place, at: lab.now)
            loads += actions.count { if case .load = $0 { true } else { false } }
        }
        #expect(loads <= 3)
    }

    @Test("a VM that migrated to another port is followed once it answers there, its registrations too") func migrates()
    {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        let place = Place(port: tap1.port, role: .vm, mac: tap0.mac)
        lab.apply(lab.fleet.moved(network: blue, .v4(a), to: place, at: lab.now))
        #expect(lab.proxy("web")?.services.first?.backends.first?.device == tap0.port, "it still answers there")
        lab.machines[a] = place
        lab.wait(.seconds(1))
        lab.apply(lab.fleet.moved(network: blue, .v4(a), to: place, at: lab.now))
        #expect(lab.proxy("web")?.services.first?.backends.first?.device == tap1.port)
        lab.hear(message(.deregister, id: "w"), from: a, on: place)
        #expect(lab.state(a) == .draining)
    }

    @Test("a container list that names a live VM makes it unknown: out at once, flows purged") func listed() throws {
        var lab = Lab()
        lab.hear(consul("web"))
        var list = ContainerList()
        list.insert(.v4(a))
        lab.apply(lab.fleet.containers(list, at: lab.now))
        #expect(lab.state(a) == .unknown)
        #expect(lab.loaded.isEmpty)
        #expect(lab.purged == [instance(a)])
        lab.apply(lab.fleet.containers(ContainerList(), at: lab.now))
        #expect(lab.state(a) == .live)
    }
}
