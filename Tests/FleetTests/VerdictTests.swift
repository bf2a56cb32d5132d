import Classifier
import Fleet
import Model
import Testing

@Suite struct VerdictTests {
    let mixed0 = Place(port: PortName("br0"), role: .mixed, mac: tap0.mac)
    let mixed1 = Place(port: PortName("br1"), role: .mixed, mac: tap1.mac)

    func list(_ text: String, of lab: Lab, _ age: Duration = .zero) throws -> ContainerList {
        var list = try ContainerList(parsing: text)
        list.asOf = lab.now + (.zero - age)
        return list
    }
    func evidence(_ lab: Lab, _ kind: Evidence.Kind) -> [Evidence] {
        lab.view(a)?.judgement.evidence.filter { $0.kind == kind } ?? []
    }
    /// Its machine answers ARP, and nothing else.
    func muteLab(_ place: Place) -> Lab {
        var lab = Lab(ports: [tap0, tap1, cni, mixed0])
        lab.machines = [:]
        lab.neighbours[a] = [place]
        return lab
    }

    @Test("a guest that drops probes is a VM by the ARP it answers, and is not taken for dead") func dropping() {
        var lab = muteLab(tap0)
        lab.hear(consul("web", id: "w"))
        #expect(lab.backends("web") == [a: .live])
        #expect(evidence(lab, .neighbour).map(\.weight) == [40])
        lab.wait(.seconds(300))
        #expect(lab.backends("web") == [a: .live])
        lab.neighbours = [:]
        lab.wait(.seconds(300))
        #expect(lab.backends("web").isEmpty)
    }

    @Test("one that answered before and is silent now is dead, whatever answers ARP") func wasOpen() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        (lab.machines, lab.neighbours) = ([:], [a: [tap0]])
        lab.wait(.seconds(300))
        #expect(lab.backends("web").isEmpty)
    }

    @Test("a container that answers for a new address, too: unknown; one that comes later takes nothing") func rivals()
    {
        var lab = Lab()
        lab.neighbours[a] = [tap0, cni]
        lab.hear(consul("web", id: "w"))
        #expect(lab.view(a)?.verdict == .unknown)
        #expect(lab.view(a)?.judgement.missing?.contains("disagrees") == true)
        var later = Lab()
        later.neighbours[a] = [tap0]
        later.hear(consul("web", id: "w"))
        later.wait(.seconds(60))
        later.apply(later.fleet.neighbour(network: blue, .v4(a), at: cni, now: later.now))
        #expect(later.backends("web") == [a: .live])
        #expect(evidence(later, .neighbour).contains { $0.sentence.contains("takes nothing from it") })
    }

    @Test("an address that a registrar told of, and two machines answer for: unknown") func unheard() {
        var lab = Lab(.enforcing.with { $0.registrars = [.v4(b)] })
        lab.neighbours[a] = [tap0, tap1]
        lab.hear(consul("web", id: "w", address: a.description), from: b, on: tap1)
        #expect(lab.view(a)?.verdict == .unknown)
        #expect(lab.view(a)?.judgement.missing?.contains("one machine alone") == true)
    }

    @Test("an address that leaves the container list is open until its machine answered again") func leftList() throws {
        var lab = Lab(ports: [mixed0])
        lab.machines[a] = mixed0
        lab.apply(lab.fleet.containers(try list("10.0.0.1", of: lab), at: lab.now))
        lab.hear(consul("web", id: "w"), on: mixed0)
        #expect(lab.state(a) == .container)
        lab.machines = [:]
        lab.wait(.seconds(1))
        lab.apply(lab.fleet.containers(try list("10.9.9.9", of: lab), at: lab.now))
        lab.wait(.seconds(1))
        lab.apply(lab.fleet.containers(try list("10.9.9.8", of: lab), at: lab.now))
        #expect(lab.view(a)?.verdict == .unknown, "its old answer speaks for nobody")
        #expect(lab.loaded.isEmpty)
    }

    @Test("where it has to be confirmed, a container that the list does not hold yet is never a VM on the way")
    func confirmed() throws {
        var lab = Lab(.enforcing.with { $0.containerListConfirms = true }, ports: [mixed0, mixed1])
        (lab.machines[a], lab.machines[b]) = (mixed0, mixed1)
        lab.apply(lab.fleet.containers(try list("10.9.9.9", of: lab), at: lab.now))
        lab.wait(.seconds(1))
        lab.hear(consul("web", id: "w"), on: mixed0)
        lab.hear(consul("api", id: "x"), from: b, on: mixed1)
        #expect(lab.view(a)?.verdict == .unknown && lab.view(b)?.verdict == .unknown && lab.loaded.isEmpty)
        lab.wait(.seconds(1))
        lab.apply(lab.fleet.containers(try list("10.9.9.9\n\(a)", of: lab), at: lab.now))
        #expect(lab.state(a) == .container)
        #expect(lab.backends("api") == [b: .live])
        lab.wait(.seconds(300))
        #expect(lab.backends("api") == [b: .live], "a list that ages unsettles nothing")
    }

    @Test("a late answer opens the verdict again") func late() {
        var lab = Lab()
        lab.machines = [:]
        lab.hear(consul("web", id: "w"))
        #expect(lab.view(a)?.verdict == .unknown)
        lab.apply(lab.fleet.probed(instance(a), .answered(tap0, open: true, hopLimit: 64), at: lab.now))
        #expect(lab.backends("web") == [a: .live])
    }

    @Test("how long the answer took is told, and a later one that says the same writes nothing down") func timed() {
        var lab = Lab()
        lab.machines = [:]
        lab.hear(consul("web", id: "w"))
        func time(_ lab: Lab) -> Int? {
            lab.view(a)?.judgement.evidence.first { $0.kind == .probe }?.seen?.microseconds
        }
        func answer(_ time: Int) -> ProbeResult { .answered(tap0, open: true, hopLimit: 64, microseconds: time) }
        lab.apply(lab.fleet.probed(instance(a), answer(312), at: lab.now))
        #expect(time(lab) == 312)
        let written = lab.journal.count
        lab.apply(lab.fleet.probed(instance(a), answer(9000), at: lab.now))
        #expect(time(lab) == 312 && lab.journal.count == written)
        lab.apply(
            lab.fleet.probed(instance(a), .answered(tap0, open: true, hopLimit: 63, microseconds: 7), at: lab.now))
        #expect(time(lab) == 7)
    }

    @Test("a request over HTTP is asked for once, and goes with what it was found on") func request() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        let id = instance(a)
        #expect(lab.probed.last { $0.instance == id }?.mayRequest == true)
        lab.apply(lab.fleet.requested(id, HTTPFinding(outcome: .notHTTP, place: tap1), asked: tap1, at: lab.now))
        #expect(evidence(lab, .httpProbe).isEmpty, "the connection was opened to another machine")
        lab.apply(lab.fleet.requested(id, HTTPFinding(outcome: .notHTTP, place: tap0), asked: tap0, at: lab.now))
        #expect(evidence(lab, .httpProbe).count == 1 && lab.backends("web") == [a: .live])
        lab.wait(.seconds(60))
        #expect(lab.probed.last { $0.instance == id }?.mayRequest == false)
        #expect(lab.fleet.requested(instance(b), HTTPFinding(outcome: .silent), asked: tap0, at: lab.now).isEmpty)
        (lab.machines[a], lab.clones[a]) = (tap1, [tap1])
        lab.hear(consul("web", id: "v"), on: tap1)
        lab.wait(.seconds(5))
        #expect(lab.view(a)?.place == tap1 && evidence(lab, .httpProbe).isEmpty)
    }

    @Test("another machine that claims a dead container's address is believed once that is silent") func taken() {
        var lab = Lab()
        lab.machines[a] = cni
        lab.hear(consul("web", id: "w"), on: cni)
        #expect(lab.state(a) == .container)
        lab.hear(consul("web", id: "v"), on: tap0)
        #expect(lab.state(a) == .container, "the container answers still")
        lab.machines[a] = tap0
        lab.clones[a] = [tap0]
        lab.wait(.seconds(2))
        lab.hear(consul("web", id: "v"), on: tap0)
        #expect(lab.backends("web") == [a: .live])
        #expect(lab.view(a)?.place == tap0)
    }

    @Test("it is not believed while the old machine answers ARP") func notTaken() {
        var lab = Lab()
        lab.machines[a] = cni
        lab.hear(consul("web", id: "w"), on: cni)
        lab.clones[a] = [tap0]
        lab.neighbours[a] = [cni]
        lab.hear(consul("web", id: "v"), on: tap0)
        #expect(lab.state(a) == .container)
        #expect(lab.loaded.isEmpty)
    }

    @Test("a VM seen elsewhere before its port lost its carrier moves with its connections") func migrates() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        let moved = Place(port: tap1.port, role: .vm, mac: tap0.mac)
        lab.clones[a] = []
        let asked = lab.fleet.moved(network: blue, .v4(a), to: moved, at: lab.now)
        #expect(asked.count == 1, "it is asked where it was")
        lab.clones[a] = [moved]
        lab.apply(lab.fleet.port(tap0.port, role: .vm, network: blue, up: false, at: lab.now))
        #expect(lab.purged.isEmpty)
        #expect(lab.backends("web") == [a: .live])
        #expect(lab.proxy("web")?.services.first?.backends.first?.device == tap1.port)
    }

    @Test("what a VM said over HTTP is asked again where it moved, and goes by its port's new role") func asked() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        let (id, moved) = (instance(a), Place(port: tap1.port, role: .vm, mac: tap0.mac))
        lab.apply(lab.fleet.requested(id, HTTPFinding(outcome: .notHTTP, place: tap0), asked: tap0, at: lab.now))
        lab.apply(lab.fleet.port(tap0.port, role: .mixed, network: blue, up: true, at: lab.now))
        #expect(evidence(lab, .httpProbe).first?.seen?.place?.role == .mixed)
        lab.apply(lab.fleet.port(tap0.port, role: .vm, network: blue, up: true, at: lab.now))
        lab.clones[a] = []
        _ = lab.fleet.moved(network: blue, .v4(a), to: moved, at: lab.now)
        lab.clones[a] = [moved]
        lab.apply(lab.fleet.port(tap0.port, role: .vm, network: blue, up: false, at: lab.now))
        #expect(lab.view(a)?.place == moved && evidence(lab, .httpProbe).isEmpty)
        lab.wait(.seconds(60))
        #expect(lab.probed.last { $0.instance == id }?.mayRequest == true)
    }

    @Test("a VM seen elsewhere that does not answer there dies with its port") func vanishes() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.clones[a] = []
        _ = lab.fleet.moved(
            network: blue, .v4(a), to: Place(port: tap1.port, role: .vm, mac: tap0.mac), at: lab.now)
        lab.apply(lab.fleet.port(tap0.port, role: .vm, network: blue, up: false, at: lab.now))
        #expect(lab.purged == [instance(a)])
        #expect(lab.backends("web").isEmpty)
    }

    @Test("on mixed ports an address that another machine had needs a container list made since") func reused() throws {
        var lab = Lab(ports: [mixed0, mixed1])
        lab.machines[a] = mixed0
        lab.apply(lab.fleet.containers(try list("10.9.9.9", of: lab), at: lab.now))
        lab.hear(consul("web", id: "w"), on: mixed0)
        #expect(lab.backends("web") == [a: .live])
        lab.machines[a] = mixed1
        lab.apply(lab.fleet.portVanished(mixed0.port, at: lab.now))
        lab.wait(.seconds(5))
        lab.hear(consul("web", id: "c"), on: mixed1)
        #expect(lab.view(a)?.verdict == .unknown)
        #expect(lab.backends("web").isEmpty)
        lab.wait(.seconds(1))
        lab.apply(lab.fleet.containers(try list("10.9.9.9\n10.0.0.1", of: lab), at: lab.now))
        #expect(lab.view(a)?.verdict == .container)
    }

    @Test("a list that was too old when it came settles it once it is renewed, though nothing in it changed")
    func renewed() throws {
        var lab = Lab(ports: [mixed0])
        lab.machines[a] = mixed0
        lab.apply(lab.fleet.containers(try list("10.9.9.9", of: lab, .seconds(300)), at: lab.now))
        lab.hear(consul("web", id: "w"), on: mixed0)
        #expect(lab.view(a)?.verdict == .unknown)
        lab.apply(lab.fleet.containers(try list("10.9.9.9", of: lab), at: lab.now))
        #expect(lab.backends("web") == [a: .live])
        let judged = lab.view(a)?.judgement
        lab.wait(.seconds(3600))
        #expect(lab.view(a)?.judgement.verdict == judged?.verdict, "what was compared in time stays compared")
    }

    @Test("an address in the container network's overlay is a container's") func overlay() throws {
        var lab = Lab(ports: [mixed0])
        lab.machines[a] = mixed0
        lab.apply(lab.fleet.containers(try list("10.9.9.9", of: lab), at: lab.now))
        lab.hear(consul("web", id: "w"), on: mixed0)
        let segment = OverlaySegment(encapsulation: .geneve, port: 6081, vni: 7)
        lab.apply(lab.fleet.overlay(network: blue, .v4(a), in: segment, at: lab.now))
        #expect(lab.state(a) == .container)
        #expect(evidence(lab, .overlay).first?.seen?.overlay == segment)
        #expect(lab.backends("web").isEmpty)
    }

    @Test("a machine with three addresses is said to be like a node, on all of them") func node() throws {
        var lab = Lab()
        let others = [IPv4Address(bits: 0x0a00_0011), IPv4Address(bits: 0x0a00_0012)]
        lab.hear(consul("web", id: "w"))
        #expect(evidence(lab, .sharedMAC).isEmpty)
        for (number, address) in others.enumerated() {
            lab.machines[address] = tap0
            lab.hear(consul("web", id: "x\(number)"), from: address, on: tap0)
        }
        #expect(evidence(lab, .sharedMAC).map(\.weight) == [-15])
        #expect(lab.view(a)?.verdict == .vm)
        lab.hear(message(.deregister, id: "x1"), from: others[1], on: tap0)
        lab.wait(.seconds(31))
        #expect(evidence(lab, .sharedMAC).isEmpty)
    }

    @Test("frames that a router passed on, behind a vm port: a pod in a VM, perhaps, and so unknown") func nested() {
        var lab = Lab()
        var heard = hearing(consul("web", id: "w"), from: .v4(a), on: tap0, at: lab.now)
        heard.hopLimit = 63
        lab.apply(lab.fleet.heard(heard, at: lab.now))
        #expect(lab.view(a)?.verdict == .unknown)
        #expect(evidence(lab, .hopLimit).first?.seen?.hopLimit == 63)
    }

    @Test("what was seen is in the journal, and counts after a restart") func restarted() {
        var lab = Lab()
        lab.neighbours[a] = [tap0, cni]
        lab.hear(consul("web", id: "w"))
        var again = lab.restarted()
        again.neighbours = [:]
        again.wait(.seconds(5))
        #expect(again.view(a)?.verdict == .unknown)
        #expect(evidence(again, .neighbour).contains { $0.sentence.contains("another machine") })
        #expect(again.loaded.isEmpty)
    }

    @Test("each verdict that is reached is counted") func counted() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.declare("web", a, verdict: .container)
        #expect(lab.fleet.verdictsReached == [.vm: 1, .container: 1])
    }
}
