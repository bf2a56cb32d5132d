import Classifier
import Model
import Testing

@Suite struct ContainerListTests {
    @Test("addresses, sockets, ranges and services are read, comments left out") func reads() throws {
        let list = try ContainerList(
            parsing: """
                # what the platform holds
                10.244.1.7            # an address
                10.0.0.9:8080
                [fd00::9]:53
                fd00::7\r
                10.245.0.0/16
                service checkout

                """)
        #expect(list.count == 6)
        #expect(list.match(id("10.244.1.7", 1)) == .address(try ip("10.244.1.7")))
        #expect(list.match(id("10.0.0.9", 8080)) == .socket(try ip("10.0.0.9"), 8080))
        #expect(list.match(id("10.0.0.9", 8081)) == nil)
        #expect(list.match(id("fd00::9", 53)) == .socket(try ip("fd00::9"), 53))
        #expect(list.match(id("fd00::7", 53)) == .address(try ip("fd00::7")))
        #expect(list.match(id("10.245.3.4", 1)) == .range(try #require(IPv4Prefix("10.245.0.0/16"))))
        #expect(list.match(id("1.2.3.4", 1), services: ["checkout"]) == .service("checkout"))
    }

    @Test("the longest of several ranges is named") func longest() throws {
        let list = try ContainerList(parsing: "0.0.0.0/0\n10.0.0.0/8\n10.1.0.0/16")
        #expect(list.match(id("10.1.2.3", 1)) == .range(try #require(IPv4Prefix("10.1.0.0/16"))))
        #expect(list.match(id("9.1.2.3", 1)) == .range(.any))
    }

    @Test("an empty list holds nothing") func empty() throws {
        #expect(try ContainerList(parsing: "").isEmpty)
        #expect(ContainerList().match(id("10.0.0.1", 80)) == nil)
    }

    @Test(
        "what cannot be read is refused with its line",
        arguments: [
            ("10.0.0.1\nnonsense", 2, "neither"), ("10.0.0.1/8", 1, "host bits"), ("10.0.0.1:0", 1, "neither"),
            ("10.0.0.1:65536", 1, "neither"), ("10.0.0.1 10.0.0.2", 1, "one entry a line"),
            ("\n\nservice", 3, "service NAME"), ("service a b", 1, "service NAME"), ("fd00::/8", 1, "no IPv4 range"),
            ("#ok\n10.0.0.1/33", 2, "no IPv4 range"), ("[10.0.0.1]:80", 1, "neither"), ("::1:x", 1, "neither"),
        ])
    func refuses(text: String, line: Int, cause: String) {
        let error = #expect(throws: ContainerListError.self) { try ContainerList(parsing: text) }
        #expect(error?.line == line)
        #expect(error?.description.contains(cause) == true)
    }

    func ip(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
    func id(_ text: String, _ port: UInt16) -> InstanceID {
        InstanceID(network: blue, address: IPAddress(text) ?? .v4(IPv4Address(bits: 0)), port: port)
    }
}

@Suite struct ClassifierTests {
    let mixed = Place(port: PortName("br0"), role: .mixed, mac: tap0.mac)
    var listed: ContainerList {
        var list = ContainerList()
        list.insert(.v4(a))
        return list
    }

    func judge(
        heard: Place? = nil, _ probe: ProbeResult?, list: ContainerList = ContainerList(), declared: Verdict? = nil
    ) -> Judgement {
        Classifier.judge(
            instance(a), services: ["web"], heard: heard, containers: list, probe: probe, declared: declared,
            at: Instant(milliseconds: 1))
    }
    func answer(_ place: Place) -> ProbeResult { .answered(place, open: true, hopLimit: 64) }

    @Test("heard on and answering by a vm port: a VM") func vm() {
        let judgement = judge(heard: tap0, answer(tap0))
        #expect(judgement.verdict == .vm)
        #expect(judgement.score == 100)
        #expect(judgement.place == tap0)
        #expect(judgement.evidence.map(\.kind) == [.probe, .portRole])
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
        #expect(judgement.evidence.map { abs($0.weight) } == [100, 60, 40])
        #expect(judgement.evidence.allSatisfy { !$0.sentence.isEmpty })
    }
}
