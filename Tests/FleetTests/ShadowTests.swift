import Classifier
import Fleet
import Model
import Testing

/// Guests that borrow another's address, MAC or id.
@Suite struct ShadowTests {
    private func guarded() -> Lab {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        return lab
    }

    @Test("a guest that borrows a guarded address does not take the policy off it while its machine is there")
    func borrowedGuard() {
        var lab = guarded()
        lab.hear(consul("free", id: "f", accepted: nil), from: a, on: tap1)
        #expect(lab.backends("web") == [a: .guarded])
        #expect(lab.fleet.refusals().first?.reason.contains("bound to port tap0") == true)
        lab.apply(lab.fleet.portVanished(tap0.port, at: lab.now))
        #expect(lab.backends("web") == [a: .guarded])
        lab.machines[a] = tap1
        lab.hear(consul("free", id: "f"), from: a, on: tap1)
        #expect(lab.backends("web").isEmpty)
        #expect(lab.backends("free") == [a: .live])
    }

    @Test("a machine that was dead before its policy guarded the address is still dead") func deadGuard() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.machines = [b: tap1]
        lab.wait(.seconds(1000))
        #expect(lab.state(a) == .guarded)
        lab.machines[a] = tap1
        lab.hear(consul("free", id: "f"), from: a, on: tap1)
        #expect(lab.backends("free") == [a: .live])
    }

    @Test("a guest that muddles its evidence sheds no policy: nobody carries it, the denied stay denied") func muddled()
    {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.machines[a] = Place(port: tap0.port, role: .vm, mac: MACAddress(bits: 0x0200_0000_0666))
        lab.wait(.seconds(30))
        #expect(lab.state(a) == .unknown)
        #expect(lab.backends("web") == [a: .guarded])
        lab.hear(consul("free", id: "f", accepted: nil), from: a, on: tap1)
        #expect(lab.backends("web") == [a: .guarded])
        lab.machines[a] = tap0
        lab.wait(.seconds(31))
        #expect(lab.backends("web") == [a: .live])
    }

    @Test("a guest does not shed rules by a second name that is on the container list") func listedName() throws {
        let mixed = Place(port: tap0.port, role: .mixed, mac: tap0.mac)
        var lab = Lab(ports: [mixed])
        lab.machines = [a: mixed]
        lab.apply(lab.fleet.containers(try ContainerList(parsing: "service checkout"), at: lab.now))
        lab.hear(consul("web", id: "w"), on: mixed)
        lab.deny("web")
        lab.hear(consul("checkout", id: "c"), on: mixed)
        #expect(lab.backends("web") == [a: .live])
        lab.hear(consul("checkout", id: "d", port: 81), on: mixed)
        #expect(lab.state(a, 81) == .container)
        lab.apply(lab.fleet.containers(try ContainerList(parsing: "service web"), at: lab.now))
        #expect(lab.state(a) == .container)
    }

    @Test("the operator's container list does take the policy off: containers are not ours") func listed() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.declare("web", a, verdict: .container)
        #expect(lab.loaded.isEmpty)
    }

    @Test("a claim for a third address, said with a borrowed one, lets go of nothing that the owner registered")
    func borrowedID() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(consul("web", id: "w", address: "10.0.0.77"), from: a, on: tap1)
        #expect(lab.backends("web") == [a: .live])
        #expect(lab.fleet.counts.instances == 1)
    }

    @Test("a clone with the same address and MAC on another port takes nothing while the machine itself answers")
    func clone() {
        var lab = Lab()
        let fake = Place(port: tap1.port, role: .vm, mac: tap0.mac)
        lab.clones[a] = [tap0, fake]
        lab.hear(consul("web", id: "w"))
        for _ in 0..<5 {
            lab.apply(lab.fleet.moved(network: blue, .v4(a), to: fake, at: lab.now))
            lab.hear(consul("evil", id: "w", port: 81), from: a, on: fake)
            lab.wait(.seconds(1))
        }
        #expect(lab.proxy("web")?.services.first?.backends.map(\.device) == [tap0.port])
        #expect(lab.backends("evil").isEmpty)
        lab.clones[a] = [fake]
        lab.wait(.seconds(1))
        lab.apply(lab.fleet.moved(network: blue, .v4(a), to: fake, at: lab.now))
        #expect(lab.view(a)?.place == fake, "it has moved: nothing answers where it was")
    }

    @Test("where it lived cannot be asked any more: it is asked where it was seen") func portNotThere() {
        var lab = Lab()
        let place = Place(port: tap1.port, role: .vm, mac: tap0.mac)
        lab.hear(consul("web", id: "w"))
        let asked = lab.fleet.moved(network: blue, .v4(a), to: place, at: lab.now)
        #expect(asked == [.probe(.init(instance: instance(a), place: tap0, registry: nil))])
        lab.clones[a] = [place]
        lab.apply(lab.fleet.probed(instance(a), .notSent("port tap0 is not there"), at: lab.now))
        #expect(lab.view(a)?.place == place)
        #expect(lab.backends("web") == [a: .live])
    }

    @Test("a declared VM is not taken by a guest that speaks with its address") func declared() {
        var lab = Lab()
        lab.clones[a] = [tap0, tap1]
        lab.declare("db", a, place: tap0)
        #expect(lab.backends("db") == [a: .live])
        lab.apply(lab.fleet.moved(network: blue, .v4(a), to: tap1, at: lab.now))
        #expect(lab.view(a)?.place == tap0)
        lab.clones[a] = [tap1]
        lab.wait(.seconds(1))
        lab.apply(lab.fleet.moved(network: blue, .v4(a), to: tap1, at: lab.now))
        #expect(lab.view(a)?.place == tap1)
    }

    @Test("what a machine registers right after it moved counts as soon as a probe has found it there")
    func movedFirst() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        let place = Place(port: tap1.port, role: .vm, mac: tap0.mac)
        lab.clones[a] = [place]
        lab.hear(consul("api", id: "x", port: 81), from: a, on: place)
        #expect((lab.view(a, 80)?.place, lab.view(a, 81)?.place) == (place, place))
        #expect(lab.state(a, 81) == .live)
        lab.hear(message(.deregister, id: "w"), from: a, on: place)
        #expect(lab.state(a, 80) == .draining)
    }

    @Test("behind a port with many machines one does not speak for the other") func trunk() {
        let one = Place(port: PortName("br0"), role: .mixed, mac: tap0.mac)
        let other = Place(port: PortName("br0"), role: .mixed, mac: tap1.mac)
        var lab = Lab(ports: [one])
        lab.clones[a] = [one, other]
        lab.hear(consul("web", id: "w"), on: one)
        #expect(lab.backends("web") == [a: .live])
        lab.hear(message(.deregister, id: "w"), on: other)
        lab.hear(consul("evil", id: "w", port: 81), on: other)
        lab.apply(lab.fleet.moved(network: blue, .v4(a), to: other, at: lab.now))
        #expect(lab.view(a)?.place == one)
        #expect(lab.backends("web") == [a: .live])
        #expect(lab.backends("evil").isEmpty)
        #expect(lab.fleet.refusals().contains { $0.reason.contains("bound to \(one.mac)") })
    }

    @Test("a machine with another MAC behind a mixed port is believed once the old one is silent") func trunkReplaced()
    {
        let one = Place(port: PortName("br0"), role: .mixed, mac: tap0.mac)
        let other = Place(port: PortName("br0"), role: .mixed, mac: tap1.mac)
        var lab = Lab(ports: [one])
        lab.clones[a] = [one]
        lab.hear(consul("web", id: "w"), on: one)
        lab.clones[a] = [other]
        lab.hear(consul("api", id: "x", port: 81), on: other)
        #expect(lab.proxy("web")?.services.first?.backends.map(\.mac) == [other.mac])
        #expect(lab.backends("api") == [a: .live])
    }

    @Test("a registrar's deregistration whose answer nobody saw is not taken: its address may be borrowed")
    func borrowedRegistrar() {
        var lab = Lab(.enforcing.with { $0.registrars = [.v4(c)] })
        lab.hear(consul("web", id: "w"))
        lab.hear(etcd("api", "1", port: 81))
        lab.hear(message(.deregister, id: "w", accepted: nil), from: c, on: tap1)
        lab.hear(message(.deregister, "etcd", lease: "1", accepted: nil), from: c, on: tap1)
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.live, .live))
        lab.hear(message(.deregister, "etcd", lease: "1"), from: c, on: cni)
        #expect(lab.state(a, 81) == .draining)
    }

    @Test("who asks with a borrowed address is no workload") func borrowedAsker() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.hear(message(.discover, service: "db"), from: a, on: tap1)
        #expect(lab.fleet.workloads(at: lab.now).isEmpty)
    }

    @Test("the foreign claims of a guest that is gone go with its port") func foreignGone() {
        var lab = Lab()
        lab.hear(consul("web"), from: b, on: tap1)
        lab.hear(consul("evil", id: "e", address: "10.0.0.2"))
        #expect(lab.view(b)?.holders.count == 2)
        lab.apply(lab.fleet.portVanished(tap0.port, at: lab.now))
        #expect(lab.view(b)?.holders.count == 1)
        #expect(lab.state(b) == .live)
    }
}
