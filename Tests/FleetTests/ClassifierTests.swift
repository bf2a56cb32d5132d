import Classifier
import Foundation
import Model
import Testing

@Suite struct ClassifierTests {
    let mixed = Place(port: PortName("br0"), role: .mixed, mac: tap0.mac)
    var listed: ContainerList {
        var list = ContainerList()
        list.insert(.v4(a))
        return list
    }

    let came = Instant(milliseconds: 1_000_000)

    /// The list is as of the instance's coming, unless `age` says otherwise.
    func judge(
        heard: Place? = nil, _ probe: ProbeResult?, list: ContainerList = ContainerList(), age: Duration? = .zero,
        declared: Verdict? = nil, mustConfirm: Bool = false, hasNetwork: Bool = false,
        _ change: (inout Facts) -> Void = { _ in }
    ) -> Judgement {
        var facts = Facts(instance: instance(a), since: came)
        (facts.services, facts.heard, facts.probe, facts.declared) = (["web"], heard, probe, declared)
        change(&facts)
        var world = ContainerKnowledge()
        world.list = list
        (world.mustConfirm, world.hasNetwork) = (mustConfirm, hasNetwork)
        world.list.asOf = age.map { came + (.zero - $0) }
        return Classifier.judge(facts, against: world, at: Instant(milliseconds: 1))
    }
    func answer(_ place: Place) -> ProbeResult { .answered(place, open: true, hopLimit: 64) }

    @Test("heard on and answering by a vm port: a VM") func vm() {
        let judgement = judge(heard: tap0, answer(tap0))
        #expect(judgement.verdict == .vm)
        #expect(judgement.score == 95)
        #expect(judgement.place == tap0)
        #expect(judgement.evidence.filter(\.isStrong).map(\.kind) == [.probe, .portRole])
    }
    @Test("heard on and answering by a container port: a container") func container() {
        #expect(judge(heard: cni, answer(cni)).verdict == .container)
    }
    @Test("only mixed ports, not listed, and it answers: a VM") func mixedVM() {
        #expect(judge(heard: mixed, answer(mixed)).verdict == .vm)
    }
    @Test("only mixed ports and listed: a container, whether it answers or not") func mixedContainer() {
        #expect(judge(heard: mixed, answer(mixed), list: listed).verdict == .container)
        #expect(judge(heard: mixed, .silent, list: listed).verdict == .container)
    }
    @Test("listed by range, by service and by socket: each a container") func lists() throws {
        for text in ["10.0.0.0/24", "service web", "10.0.0.1:80"] {
            let judgement = judge(heard: mixed, answer(mixed), list: try ContainerList(parsing: text))
            #expect(judgement.verdict == .container)
        }
    }
    @Test("listed as container, yet answering by a vm port: unknown, and said why") func contradiction() {
        let judgement = judge(heard: tap0, answer(tap0), list: listed)
        #expect(judgement.verdict == .unknown)
        #expect(judgement.missing?.contains("disagrees") == true)
    }
    @Test("heard on a vm port, answering by a container port with the same MAC: unknown") func twoPorts() {
        let other = Place(port: cni.port, role: .container, mac: tap0.mac)
        #expect(judge(heard: tap0, answer(other)).verdict == .unknown)
    }
    @Test("another machine answers for the address: unknown") func stranger() {
        let judgement = judge(heard: tap0, answer(tap1))
        #expect(judgement.verdict == .unknown)
        #expect(judgement.evidence.contains { $0.kind == .sourceBinding })
    }
    @Test("the same MAC on another vm port is the same machine, moved") func moved() {
        #expect(judge(heard: tap0, answer(Place(port: tap1.port, role: .vm, mac: tap0.mac))).verdict == .vm)
    }
    @Test("no answer yet: unknown, the probe's answer is missing") func waiting() {
        let judgement = judge(heard: tap0, nil)
        #expect(judgement.verdict == .unknown)
        #expect(judgement.missing == "the answer to a probe")
    }
    @Test("a silent probe on a vm port: unknown") func silent() {
        #expect(judge(heard: tap0, .silent).verdict == .unknown)
        #expect(judge(heard: tap0, .silent).missing?.contains("silent") == true)
    }
    @Test("probing switched off: the vm port's role decides") func noProbes() {
        #expect(judge(heard: tap0, .notSent("off")).verdict == .vm)
        #expect(judge(heard: cni, .notSent("off")).verdict == .container)
    }
    @Test("probing switched off on a mixed port: unknown, with what would settle it") func noProbesMixed() {
        let judgement = judge(heard: mixed, .notSent("off"))
        #expect(judgement.verdict == .unknown)
        #expect(judgement.missing?.contains("off") == true)
    }
    @Test("an answer by the uplink: not attached here, unknown") func uplinkAnswer() {
        let judgement = judge(heard: nil, answer(uplink))
        #expect(judgement.verdict == .unknown)
        #expect(judgement.missing?.contains("uplink eth0") == true)
    }
    @Test("the operator's word settles everything") func declared() {
        #expect(judge(heard: cni, answer(cni), list: listed, declared: .vm).verdict == .vm)
        #expect(judge(heard: tap0, answer(tap0), declared: .container).verdict == .container)
        #expect(judge(heard: tap0, answer(tap0), declared: .unknown).verdict == .vm)
    }
    @Test("evidence is sorted by weight and the score stays within 100") func sorted() {
        let judgement = judge(heard: tap0, answer(tap0), declared: .vm)
        #expect(judgement.score == 100)
        #expect(judgement.evidence.filter(\.isStrong).map { abs($0.weight) } == [100, 60, 40])
        #expect(judgement.evidence.allSatisfy { !$0.sentence.isEmpty })
    }

    // MARK: what is not strong

    @Test("nothing is known of containers: an answer on a mixed port tells nothing from them") func ignorant() {
        let judgement = judge(heard: mixed, answer(mixed), age: nil)
        #expect(judgement.verdict == .unknown)
        #expect(judgement.missing?.contains("a container list to compare") == true)
    }
    @Test("a list that is minutes older than the instance neither makes a VM nor a container of it") func stale() throws
    {
        let old = Duration.seconds(300)
        #expect(judge(heard: mixed, answer(mixed), age: old).verdict == .unknown)
        #expect(judge(heard: mixed, answer(mixed), age: old).missing?.contains("made after it came") == true)
        #expect(judge(heard: mixed, answer(mixed), list: listed, age: old).verdict == .unknown)
        #expect(judge(heard: tap0, answer(tap0), list: listed, age: old).verdict == .vm)
        #expect(judge(heard: cni, answer(cni), age: old).verdict == .container)
    }
    @Test("where it has to be confirmed, a list's silence counts once it was made since; what it holds counts at once")
    func confirmed() throws {
        func judge(_ probe: ProbeResult, list: ContainerList = ContainerList(), age: Duration?) -> Judgement {
            self.judge(heard: mixed, probe, list: list, age: age, mustConfirm: true) { $0.neighbours = [mixed] }
        }
        let young = judge(answer(mixed), age: .milliseconds(1))
        #expect(young.verdict == .unknown && young.missing?.contains("made after it came") == true)
        #expect(young.evidence.contains { $0.kind == .containerList && $0.sentence.contains("made before it came") })
        #expect(self.judge(heard: mixed, answer(mixed), age: .milliseconds(1)).verdict == .vm)
        #expect(judge(answer(mixed), age: .zero).verdict == .vm)
        #expect(judge(answer(mixed), list: listed, age: .milliseconds(1)).verdict == .container)
        #expect(judge(answer(mixed), age: nil).verdict == .unknown, "no list at all")
        let unread = self.judge(heard: mixed, answer(mixed), age: nil, mustConfirm: true, hasNetwork: true)
        #expect(unread.verdict == .unknown, "its ports or ranges are known, its list was never read")
        #expect(self.judge(heard: mixed, answer(mixed), age: nil, hasNetwork: true).verdict == .vm)
        #expect(judge(.silent, age: .milliseconds(1)).evidence.contains { $0.kind == .neighbour && $0.weight == 0 })
        #expect(self.judge(heard: tap0, answer(tap0), age: .seconds(1), mustConfirm: true).verdict == .vm)
    }
    @Test("an address that was another machine's needs a list made since") func reused() {
        let when = came + .milliseconds(1)
        #expect(judge(heard: mixed, answer(mixed)) { $0.reused = when }.verdict == .unknown)
        #expect(judge(heard: mixed, answer(mixed), list: listed) { $0.reused = when }.verdict == .unknown)
        #expect(judge(heard: mixed, answer(mixed), age: .seconds(-1)) { $0.reused = when }.verdict == .vm)
    }
    @Test("a MAC prefix is said to be weak, and decides nothing, whichever way it points") func prefixes() throws {
        let docker = Place(port: mixed.port, role: .vm, mac: try #require(MACAddress("02:42:0a:00:00:01")))
        #expect(judge(heard: docker, answer(docker)).verdict == .vm)
        let qemu = Place(port: mixed.port, role: .mixed, mac: try #require(MACAddress("52:54:00:00:00:01")))
        let judgement = judge(heard: qemu, answer(qemu), age: nil)
        #expect(judgement.verdict == .unknown)
        let evidence = try #require(judgement.evidence.first { $0.kind == .macPrefix })
        #expect(evidence.weight == 10 && evidence.sentence.contains("QEMU") && evidence.sentence.contains("weak"))
    }
    @Test("a routed hop away on a mixed port: no VM, for a node may stand before it; listed: a container") func routed()
    {
        let behind = ProbeResult.answered(mixed, open: true, hopLimit: 63)
        #expect(judge(heard: mixed, behind).verdict == .unknown)
        #expect(judge(heard: mixed, behind, list: listed).verdict == .container)
        #expect(judge(heard: tap0, .answered(tap0, open: true, hopLimit: 63)).verdict == .unknown)
        #expect(judge(heard: tap0, answer(tap0)) { $0.heardHops = 127 }.verdict == .unknown)
        #expect(judge(heard: tap0, answer(tap0)) { $0.heardHops = 128 }.verdict == .vm)
        #expect(judge(heard: uplink, .answered(tap0, open: true, hopLimit: 64)) { $0.heardHops = 60 }.verdict == .vm)
    }
    @Test("an answer over HTTP is shown, and counts with the SYN's answer: once") func request() throws {
        func asked(_ outcome: HTTPFinding.Outcome, by place: Place? = tap0) throws -> Judgement {
            judge(heard: tap0, answer(tap0)) {
                $0.http = HTTPFinding(outcome: outcome, place: place, hopLimit: 64, microseconds: 700)
            }
        }
        let plain = judge(heard: tap0, answer(tap0))
        let web = try asked(.answered(status: 200, server: "nginx", mesh: nil))
        #expect(web.verdict == .vm && web.score == plain.score)
        let evidence = try #require(web.evidence.first { $0.kind == .httpProbe })
        #expect(evidence.weight == 0 && evidence.seen?.microseconds == 700 && evidence.seen?.place == tap0)
        #expect(evidence.sentence.contains("HTTP answered 200 by tap0") && evidence.sentence.contains("\"nginx\""))
        for outcome in [HTTPFinding.Outcome.notHTTP, .closed, .silent] {
            #expect(try asked(outcome, by: outcome == .silent ? nil : tap0).score == plain.score)
        }
    }
    @Test("a header of a mesh's proxy is weak evidence of a container, and said to be weak") func mesh() throws {
        let judgement = judge(heard: tap0, answer(tap0)) {
            $0.http = HTTPFinding(
                outcome: .answered(status: 200, server: "istio-envoy", mesh: "server: istio-envoy"), place: tap0)
        }
        #expect(judgement.verdict == .vm)
        let evidence = try #require(judgement.evidence.first { $0.kind == .httpProbe && $0.weight != 0 })
        #expect(evidence.weight < 0 && !evidence.isStrong && evidence.sentence.contains("weak"))
        #expect(MeshHeader.first(among: [("date", "x"), ("x-envoy-upstream-service-time", "3")]) != nil)
        #expect(MeshHeader.first(among: [("server", "Envoy")]) == "server: Envoy")
        #expect(MeshHeader.first(among: [("l5d-proxy-error", "x")]) == "l5d-proxy-error")
        #expect(MeshHeader.first(among: [("server", "nginx"), ("x-envoyage", "x")]) == nil)
    }
    @Test("an answer over HTTP by another machine than took the connection counts by its port's role") func another() {
        let judgement = judge(heard: tap0, answer(tap0)) { $0.http = HTTPFinding(outcome: .notHTTP, place: cni) }
        #expect(judgement.verdict == .unknown)
        #expect(judgement.evidence.contains { $0.kind == .httpProbe && $0.weight == -60 })
    }
    @Test("an overlay of the container network makes a container") func overlay() {
        let segment = OverlaySegment(encapsulation: .vxlan, port: 4789, vni: 42)
        let judgement = judge(heard: mixed, answer(mixed)) { $0.overlay = segment }
        #expect(judgement.verdict == .container)
        #expect(judgement.evidence.first?.sentence.contains("vxlan 42") == true)
        #expect(judge(heard: tap0, answer(tap0)) { $0.overlay = segment }.verdict == .unknown)
    }
    @Test("who answers ARP beside it counts where nobody was heard, or from behind a port of another kind")
    func rival() {
        #expect(judge(answer(tap0)) { $0.neighbours = [tap0, tap1] }.verdict == .unknown)
        #expect(judge(heard: tap0, answer(tap0)) { $0.neighbours = [tap0, tap1] }.verdict == .vm)
        #expect(judge(heard: tap0, answer(tap0)) { $0.neighbours = [tap0, cni] }.verdict == .unknown)
        #expect(judge(heard: cni, answer(cni)) { $0.neighbours = [tap0, cni] }.verdict == .unknown)
        let standing = judge(heard: tap0, answer(tap0)) { ($0.neighbours, $0.carried) = ([tap0, cni], true) }
        #expect(standing.verdict == .vm)
        #expect(standing.evidence.contains { $0.kind == .neighbour && $0.seen?.place == cni })
    }
    @Test("a claim by another machine leaves it open until who had the address was asked") func contested() {
        #expect(judge(heard: cni, answer(cni)) { $0.contested = true }.verdict == .unknown)
    }
    @Test("a container port's role alone decides nothing before a probe was answered or silent") func awaited() {
        #expect(judge(heard: cni, nil).verdict == .unknown)
        #expect(judge(heard: cni, .silent).verdict == .container)
        #expect(judge(heard: cni, nil, list: listed).verdict == .container)
    }
    @Test("a guest that drops probes, and answers ARP by the vm port it spoke from: a VM") func dropping() {
        #expect(judge(heard: tap0, .silent) { $0.neighbours = [tap0] }.verdict == .vm)
        #expect(judge(heard: cni, .silent) { $0.neighbours = [cni] }.verdict == .container)
        #expect(judge(heard: mixed, .silent) { $0.neighbours = [mixed] }.verdict == .unknown)
        #expect(judge(heard: tap0, .present(tap0, hopLimit: 64)).verdict == .vm)
    }
    @Test("one MAC for many addresses is weak evidence of a node") func node() {
        let judgement = judge(heard: tap0, answer(tap0)) { $0.addressesOfMachine = 3 }
        #expect(judgement.verdict == .vm)
        #expect(judgement.evidence.contains { $0.kind == .sharedMAC && $0.weight < 0 })
        #expect(
            !judge(heard: tap0, answer(tap0)) { $0.addressesOfMachine = 2 }.evidence.map(\.kind).contains(.sharedMAC))
    }
    @Test("address and service are compared with the list each for itself, and both are shown") func methods() throws {
        let list = try ContainerList(parsing: "10.0.0.1\nservice web")
        let both = judge(heard: mixed, answer(mixed), list: list)
        #expect(both.evidence.filter { $0.weight == -60 }.map(\.kind) == [.containerList, .containerService])
        let other = try ContainerList(parsing: "10.0.0.9\nservice web")
        let vm = judge(heard: tap0, answer(tap0), list: other)
        #expect(vm.verdict == .vm)
        #expect(vm.evidence.contains { $0.kind == .containerService && $0.weight == -30 })
        #expect(vm.evidence.contains { $0.kind == .containerList && $0.weight == 0 })
        #expect(judge(heard: mixed, answer(mixed), list: other).verdict == .unknown)
    }
    @Test("evidence tells what was seen, and survives being written down") func seen() throws {
        let place = Place(port: tap0.port, role: .vm, mac: tap0.mac, vlan: 100)
        let judgement = judge(heard: place, answer(place))
        #expect(judgement.evidence.first?.seen?.place?.vlan == 100)
        #expect(judgement.evidence.first?.sentence.contains("in VLAN 100") == true)
        let written = try JSONEncoder().encode(judgement)
        #expect(try JSONDecoder().decode(Judgement.self, from: written) == judgement)
    }
}
