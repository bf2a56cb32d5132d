import Model
import Packets
import Testing

@testable import Prober

/// The same numbers every time.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 29)
    }
}

@Suite("Probes") struct ProberTests {
    static let start = Instant(milliseconds: 1_000_000)
    static let mac = MACAddress(bits: 0x02_00_00_00_00_11)

    static func target(_ last: UInt32 = 11, port: String = "vm0", service: UInt16 = 80) throws -> ProbeTarget {
        let address = IPv4Address(bits: 0x0a58_0000 + last)
        let instance = InstanceID(network: NetworkID(0), address: .v4(address), port: service)
        return try #require(
            ProbeTarget(
                instance: instance, port: PortName(port), ifindex: 7, mac: mac,
                source: .v4(IPv4Address(bits: 0x0a58_0002)),
                sourceMAC: MACAddress(bits: 0x02_00_00_00_00_fe)))
    }

    static func sent(_ steps: [ProbeStep]) -> [ProbeFrame] {
        steps.compactMap { if case .send(let frame) = $0 { frame } else { nil } }
    }
    static func results(_ steps: [ProbeStep]) -> [ProbeResult] {
        steps.compactMap { if case .finished(_, let result) = $0 { result } else { nil } }
    }
    static func expected(_ steps: [ProbeStep]) -> ProbeKey? {
        steps.compactMap { if case .expect(let key, _) = $0 { key } else { nil } }.first
    }
    static func number(_ steps: [ProbeStep]) -> UInt32? {
        steps.compactMap { if case .expect(_, let number) = $0 { number } else { nil } }.first
    }
    /// The SYN's sequence number, read off the frame.
    static func sequence(_ frame: ProbeFrame) -> UInt32 { frame.bytes[38..<42].reduce(0) { $0 << 8 | UInt32($1) } }

    static let place = Place(port: PortName("vm0"), role: .vm, mac: mac)

    static func answer(
        _ steps: [ProbeStep], flags: TCPHeader.Flags, off: UInt32 = 1
    ) throws -> ProbeAnswer {
        ProbeAnswer(
            number: try #require(number(steps)), sequence: 5,
            acknowledged: sequence(try #require(sent(steps).first)) &+ off, flags: flags, place: place, hopLimit: 64)
    }

    @Test("the answer is expected before the SYN goes out") func order() throws {
        var prober = Prober(settings: .init(), at: Self.start)
        var random = SeededGenerator(state: 1)
        let steps = prober.start(try Self.target(), at: Self.start, using: &random)
        let tuple = try #require(Self.expected(steps))
        #expect(tuple.source == IPAddress("10.88.0.11") && tuple.sourcePort == 80)
        #expect(tuple.destination == IPAddress("10.88.0.2") && tuple.destinationPort >= 32768)
        guard steps.count == 2, case .expect = steps[0], case .send(let frame) = steps[1] else {
            Issue.record("\(steps)")
            return
        }
        #expect(frame.ifindex == 7)
        #expect(Array(frame.bytes.prefix(6)) == Self.mac.bytes)
        #expect(frame.bytes[47] == 2, "a SYN and nothing else")
    }

    @Test("a SYN-ACK is reset at once and says open, with where it came from") func open() throws {
        var prober = Prober(settings: .init(), at: Self.start)
        var random = SeededGenerator(state: 2)
        let steps = prober.start(try Self.target(), at: Self.start, using: &random)
        let answer = try Self.answer(steps, flags: [.syn, .ack])
        let done = prober.answered(answer, at: Self.start)
        #expect(Self.results(done) == [.answered(Self.place, open: true, hopLimit: 64)])
        #expect(done.contains(.forget(try #require(Self.expected(steps)))))
        let reset = try #require(Self.sent(done).first)
        #expect(reset.bytes[47] == 4 && Self.sequence(reset) == answer.acknowledged)
        #expect(prober.count == 0 && prober.answered(answer, at: Self.start).isEmpty && prober.counters.strays == 1)
    }

    @Test("a RST says closed, and is not answered") func closed() throws {
        var prober = Prober(settings: .init(), at: Self.start)
        var random = SeededGenerator(state: 3)
        let steps = prober.start(try Self.target(), at: Self.start, using: &random)
        let done = prober.answered(try Self.answer(steps, flags: [.rst, .ack]), at: Self.start)
        #expect(Self.results(done) == [.answered(Self.place, open: false, hopLimit: 64)])
        #expect(Self.sent(done).isEmpty)
    }

    @Test("who did not see the SYN cannot answer it") func forged() throws {
        var prober = Prober(settings: .init(), at: Self.start)
        var random = SeededGenerator(state: 4)
        let steps = prober.start(try Self.target(), at: Self.start, using: &random)
        for forged in [
            try Self.answer(steps, flags: [.syn, .ack], off: 2), try Self.answer(steps, flags: .rst),
            try Self.answer(steps, flags: [.syn, .rst, .ack]), try Self.answer(steps, flags: .ack),
        ] {
            #expect(prober.answered(forged, at: Self.start).isEmpty)
        }
        #expect(prober.counters.strays == 4 && prober.count == 1)
    }

    @Test("a silent guest is asked twice with the same SYN, then called silent") func silence() throws {
        var prober = Prober(settings: .init(), at: Self.start)
        var random = SeededGenerator(state: 5)
        let first = prober.start(try Self.target(), at: Self.start, using: &random)
        #expect(prober.nextDeadline == Self.start + .milliseconds(200))
        #expect(prober.advance(at: Self.start + .milliseconds(199)).isEmpty)
        let second = prober.advance(at: Self.start + .milliseconds(200))
        #expect(Self.sent(second).last == Self.sent(first).last)
        let third = prober.advance(at: Self.start + .milliseconds(400))
        #expect(Self.results(third) == [.silent] && Self.sent(third).isEmpty)
    }

    @Test("an answer that comes late still counts, until it is forgotten") func late() throws {
        var prober = Prober(settings: .init(), at: Self.start)
        var random = SeededGenerator(state: 6)
        let steps = prober.start(try Self.target(), at: Self.start, using: &random)
        _ = prober.advance(at: Self.start + .milliseconds(200))
        #expect(Self.results(prober.advance(at: Self.start + .milliseconds(400))) == [.silent])
        let done = prober.answered(try Self.answer(steps, flags: [.syn, .ack]), at: Self.start)
        #expect(Self.results(done) == [.answered(Self.place, open: true, hopLimit: 64)])

        let again = prober.start(try Self.target(), at: Self.start + .seconds(1), using: &random)
        _ = prober.advance(at: Self.start + .milliseconds(1200))
        _ = prober.advance(at: Self.start + .milliseconds(1400))
        #expect(
            prober.advance(at: Self.start + .milliseconds(3400)).first == .forget(try #require(Self.expected(again))))
        #expect(prober.count == 0 && prober.nextDeadline == nil)
    }

    @Test("an answer is timed from the first frame that asked; what could not be timed is not") func timing() throws {
        var prober = Prober(settings: .init(), at: Self.start)
        var random = SeededGenerator(state: 60)
        let steps = prober.start(try Self.target(), at: Self.start, using: &random)
        let number = try #require(Self.sent(steps).first?.number)
        #expect(number == Self.number(steps))
        prober.sent(number, at: 5_000_000)
        let second = prober.advance(at: Self.start + .milliseconds(200))
        for frame in Self.sent(second) { prober.sent(try #require(frame.number), at: 205_000_000) }
        var answer = try Self.answer(steps, flags: [.syn, .ack])
        answer.time = 205_312_999
        #expect(Self.results(prober.answered(answer, at: Self.start)).first?.microseconds == 200_312)

        let again = prober.start(try Self.target(), at: Self.start + .seconds(1), using: &random)
        var early = try Self.answer(again, flags: [.syn, .ack])
        early.time = 1
        prober.sent(try #require(Self.number(again)), at: 2000)
        #expect(
            Self.results(prober.answered(early, at: Self.start)) == [.answered(Self.place, open: true, hopLimit: 64)])
    }

    @Test("a second wish for the same probe joins the first; one by another port replaces it") func joined() throws {
        var prober = Prober(settings: .init(), at: Self.start)
        var random = SeededGenerator(state: 7)
        let first = prober.start(try Self.target(), at: Self.start, using: &random)
        #expect(prober.start(try Self.target(), at: Self.start, using: &random).isEmpty)
        let moved = prober.start(try Self.target(port: "vm1"), at: Self.start, using: &random)
        #expect(moved.first == .forget(try #require(Self.expected(first))))
        #expect(Self.sent(moved).count == 1 && prober.count == 1)
    }

    @Test("one port's rate does not take another's, and all have one rate together") func rates() throws {
        var settings = Prober.Settings()
        (settings.rate, settings.ratePerPort, settings.tries) = (100, 10, 1)
        var prober = Prober(settings: settings, at: Self.start)
        var random = SeededGenerator(state: 8)
        var sent = 0
        for index in 0..<50 {
            sent += Self.sent(prober.start(try Self.target(UInt32(index)), at: Self.start, using: &random)).count
        }
        #expect(sent == 20)
        #expect(Self.sent(prober.start(try Self.target(99, port: "vm1"), at: Self.start, using: &random)).count == 1)
        // What had to wait goes out at the rate, when its turn comes.
        #expect(prober.nextDeadline == Self.start + .milliseconds(100))
        var now = Self.start
        for step in 1...30 {
            now = Self.start + .milliseconds(100 * step)
            sent += Self.sent(prober.advance(at: now)).count
        }
        #expect(sent == 50)
        for port in 0..<60 {
            for index in 0..<4 {
                let target = try Self.target(UInt32(1000 + port * 4 + index), port: "p\(port)")
                sent += Self.sent(prober.start(target, at: now, using: &random)).count
            }
        }
        // The burst of all, less the one that just went out.
        #expect(sent == 50 + 199)
    }

    @Test("outstanding probes are bounded, and a probe that was refused says so") func bounded() throws {
        var settings = Prober.Settings()
        settings.outstanding = 3
        var prober = Prober(settings: settings, at: Self.start)
        var random = SeededGenerator(state: 9)
        for index in 0..<3 { _ = prober.start(try Self.target(UInt32(index)), at: Self.start, using: &random) }
        let refused = prober.start(try Self.target(9), at: Self.start, using: &random)
        #expect(Self.results(refused) == [.notSent("too many probes are under way")] && prober.counters.refused == 1)
    }

    @Test("a port that vanishes ends its probes") func vanished() throws {
        var prober = Prober(settings: .init(), at: Self.start)
        var random = SeededGenerator(state: 10)
        let gone = prober.start(try Self.target(1), at: Self.start, using: &random)
        _ = prober.start(try Self.target(2, port: "vm1"), at: Self.start, using: &random)
        let steps = prober.portVanished(PortName("vm0"))
        #expect(steps.first == .forget(try #require(Self.expected(gone))) && steps.count == 2)
        #expect(prober.count == 1)
    }

    @Test("ports and sequence numbers of probes do not repeat") func unpredictable() throws {
        var prober = Prober(settings: .init(), at: Self.start)
        var random = SystemRandomNumberGenerator()
        var tuples: Set<ProbeKey> = []
        var sequences: Set<UInt32> = []
        for service in 1...200 {
            let steps = prober.start(try Self.target(service: UInt16(service)), at: Self.start, using: &random)
            tuples.insert(try #require(Self.expected(steps)))
            sequences.insert(Self.sequence(try #require(Self.sent(steps).first)))
        }
        #expect(tuples.count == 200 && sequences.count > 195 && Set(tuples.map(\.destinationPort)).count > 150)
    }

    @Test("after any sequence of events each probe ends once, and nothing is kept") func sequences() throws {
        for seed in 1...40 as ClosedRange<UInt64> {
            var random = SeededGenerator(state: seed)
            var settings = Prober.Settings()
            (settings.outstanding, settings.ratePerPort, settings.rate) = (20, 15, 40)
            var prober = Prober(settings: settings, at: Self.start)
            var now = Self.start
            var expected: Set<ProbeKey> = []
            var finished = 0
            var started = 0
            func play(_ steps: [ProbeStep]) {
                for step in steps {
                    switch step {
                    case .expect(let key, _): #expect(expected.insert(key).inserted)
                    case .forget(let key): #expect(expected.remove(key) != nil)
                    case .finished: finished += 1
                    case .send, .neighbour, .response: break
                    }
                }
            }
            for _ in 0..<300 {
                now = now + .milliseconds(Int64.random(in: 0...120, using: &random))
                switch Int.random(in: 0..<4, using: &random) {
                case 0, 1:
                    let port = "vm\(Int.random(in: 0..<3, using: &random))"
                    started += 1
                    let target = try Self.target(.random(in: 0..<30, using: &random), port: port)
                    play(prober.start(target, at: now, using: &random))
                case 2: play(prober.advance(at: now))
                default: play(prober.portVanished(PortName("vm\(Int.random(in: 0..<3, using: &random))")))
                }
                #expect(prober.count == expected.count && prober.count <= 40)
            }
            while let next = prober.nextDeadline {
                now = max(now, next)
                play(prober.advance(at: now))
            }
            #expect(expected.isEmpty && prober.count == 0 && finished <= started && finished > 0)
        }
    }
}

@Suite("Other probes than a SYN") struct OtherProbeTests {
    typealias Common = ProberTests
    static let ours = MACAddress(bits: 0x02_00_00_00_00_fe)

    static func target(_ address: String, _ port: UInt16, _ proto: TransportProtocol, source: String) throws
        -> ProbeTarget
    {
        let instance = InstanceID(
            network: NetworkID(0), address: try #require(IPAddress(address)), port: port, proto: proto)
        let sender = try #require(IPAddress(source))
        return try #require(
            ProbeTarget(
                instance: instance, port: PortName("vm0"), ifindex: 7, vlan: 100, mac: Common.mac,
                source: sender, sourceMAC: ours))
    }

    static func parsed(_ frame: ProbeFrame) throws -> Frame {
        try #require(frame.bytes.withUnsafeBytes { Frame($0) })
    }
    static func expectations(_ steps: [ProbeStep]) -> [(ProbeKey, UInt32)] {
        steps.compactMap { if case .expect(let key, let number) = $0 { (key, number) } else { nil } }
    }

    @Test("a silent port's machine is asked for an echo with the second try; it is present, not silent")
    func echo() throws {
        var prober = Prober(settings: .init(), at: Common.start)
        var random = SeededGenerator(state: 20)
        _ = prober.start(try Common.target(), at: Common.start, using: &random)
        let second = prober.advance(at: Common.start + .milliseconds(200))
        let (key, number) = try #require(Self.expectations(second).first)
        #expect(key.protocolNumber == 1 && key.sourcePort == 0)
        let frame = try #require(Common.sent(second).first)
        #expect(frame.bytes[23] == 1 && frame.bytes[34] == 8)
        let sequence = UInt32(frame.bytes[40]) << 8 | UInt32(frame.bytes[41])
        let wrong = ProbeAnswer(number: number, acknowledged: sequence ^ 1, place: Common.place, hopLimit: 63)
        #expect(prober.answered(wrong, at: Common.start).isEmpty && prober.counters.strays == 1)
        let right = ProbeAnswer(number: number, acknowledged: sequence, place: Common.place, hopLimit: 63)
        #expect(prober.answered(right, at: Common.start).isEmpty, "its port may still answer")
        let third = prober.advance(at: Common.start + .milliseconds(400))
        #expect(Common.results(third) == [.present(Common.place, hopLimit: 63)])
    }

    @Test("a name server is asked the one question that every name server answers; others by UDP for an echo")
    func udp() throws {
        var prober = Prober(settings: .init(), at: Common.start)
        var random = SeededGenerator(state: 21)
        let asked = prober.start(
            try Self.target("10.88.0.11", 53, .udp, source: "10.88.0.2"), at: Common.start, using: &random)
        let frame = try #require(Common.sent(asked).first)
        guard case .udp(_, let udp) = try Self.parsed(frame).content else {
            Issue.record("\(frame)")
            return
        }
        #expect(udp.destinationPort == 53 && udp.payload.count == 17)
        let identifier =
            UInt32(frame.bytes[udp.payload.lowerBound]) << 8 | UInt32(frame.bytes[udp.payload.lowerBound + 1])
        let number = try #require(Common.number(asked))
        let done = prober.answered(
            ProbeAnswer(number: number, acknowledged: identifier, place: Common.place, hopLimit: 64), at: Common.start)
        #expect(Common.results(done) == [.answered(Common.place, open: true, hopLimit: 64)])

        let echoed = prober.start(
            try Self.target("10.88.0.12", 5000, .udp, source: "10.88.0.2"), at: Common.start, using: &random)
        #expect(Self.expectations(echoed).first?.0.protocolNumber == 1)
        let refused = prober.start(
            try Self.target("10.88.0.13", 53, .udp, source: "10.88.0.2"), at: Common.start, using: &random)
        let closed = prober.answered(
            ProbeAnswer(
                number: try #require(Common.number(refused)), acknowledged: 0, flags: [.rst, .ack],
                place: Common.place, hopLimit: 64), at: Common.start)
        #expect(Common.results(closed) == [.answered(Common.place, open: false, hopLimit: 64)])
    }

    @Test("IPv6 is probed like IPv4, with its tag, and a sender of the other family is no target") func version6()
        throws
    {
        var prober = Prober(settings: .init(), at: Common.start)
        var random = SeededGenerator(state: 22)
        let steps = prober.start(
            try Self.target("fd77::11", 80, .tcp, source: "fd77::2"), at: Common.start, using: &random)
        let frame = try Self.parsed(try #require(Common.sent(steps).first))
        #expect(frame.vlan == 100 && frame.tcp?.tcp.flags == .syn && frame.ip?.destination == IPAddress("fd77::11"))
        let second = prober.advance(at: Common.start + .milliseconds(200))
        #expect(Self.expectations(second).first?.0.protocolNumber == 58)
        let target = ProbeTarget(
            instance: InstanceID(network: NetworkID(0), address: try #require(IPAddress("fd77::11")), port: 80),
            port: PortName("vm0"), ifindex: 7, mac: Common.mac, source: try #require(IPAddress("10.88.0.2")),
            sourceMAC: Self.ours)
        #expect(target == nil)
    }

    @Test("ARP is asked in nobody's name, neighbour discovery in a link-local one; every answer is told")
    func neighbours() throws {
        var prober = Prober(settings: .init(), at: Common.start)
        func ask(_ address: String, mac: MACAddress? = nil) throws -> [ProbeStep] {
            prober.ask(
                NeighbourQuestion(
                    network: NetworkID(0), address: try #require(IPAddress(address)), port: PortName("vm0"),
                    ifindex: 7, mac: mac, sourceMAC: Self.ours), at: Common.start)
        }
        let asked = try ask("10.88.0.11")
        let frame = try #require(Common.sent(asked).first)
        guard case .arp(let arp) = try Self.parsed(frame).content else {
            Issue.record("\(frame)")
            return
        }
        #expect(arp.operation == 1 && arp.sender.bits == 0 && arp.target == IPv4Address("10.88.0.11"))
        let again = try ask("10.88.0.11")
        #expect(Self.expectations(asked).count == 1 && Self.expectations(again).isEmpty)
        let number = try #require(Common.number(asked))
        let address = try #require(IPAddress("10.88.0.11"))
        for _ in 0..<2 {
            let told = prober.answered(
                ProbeAnswer(number: number, acknowledged: 0, place: Common.place, hopLimit: 0), at: Common.start)
            #expect(told == [.neighbour(NetworkID(0), address, Common.place)])
        }
        let six = try ask("fd77::11")
        let solicitation = try Self.parsed(try #require(Common.sent(six).first))
        #expect(solicitation.destinationMAC == MACAddress("33:33:ff:00:00:11"))
        #expect(solicitation.ip?.source == IPAddress("fe80::ff:fe00:fe") && solicitation.ip?.hopLimit == 255)
        #expect(prober.advance(at: Common.start + .seconds(2)).count == 2 && prober.count == 0)
    }

    @Test("questions are limited by port, and take no probe's turn") func asks() throws {
        var settings = Prober.Settings()
        (settings.rate, settings.ratePerPort) = (1000, 40)
        var prober = Prober(settings: settings, at: Common.start)
        var random = SeededGenerator(state: 23)
        var sent = 0
        for index in 0..<100 as Range<UInt32> {
            let question = NeighbourQuestion(
                network: NetworkID(0), address: .v4(IPv4Address(bits: 0x0a58_0000 + index)), port: PortName("vm0"),
                ifindex: 7, sourceMAC: Self.ours)
            sent += Common.sent(prober.ask(question, at: Common.start)).count
        }
        #expect(sent == 20 && prober.counters.unasked == 80)
        #expect(Common.sent(prober.start(try Common.target(), at: Common.start, using: &random)).count == 1)
    }

    @Test("what nothing waits for begins later, and waits are jittered") func jitter() throws {
        var settings = Prober.Settings()
        settings.jitter = .milliseconds(50)
        var prober = Prober(settings: settings, at: Common.start)
        var random = SeededGenerator(state: 24)
        let steps = prober.start(try Common.target(), after: .milliseconds(300), at: Common.start, using: &random)
        #expect(Common.sent(steps).isEmpty && prober.nextDeadline == Common.start + .milliseconds(300))
        #expect(Common.sent(prober.advance(at: Common.start + .milliseconds(300))).count == 1)
        var waits: Set<Instant> = []
        for index in 0..<20 {
            var other = Prober(settings: settings, at: Common.start)
            _ = other.start(try Common.target(UInt32(index)), at: Common.start, using: &random)
            let next = other.nextDeadline
            waits.insert(try #require(next))
        }
        #expect(waits.count > 5)
        #expect(waits.allSatisfy { (200...250).contains(($0 - Common.start).milliseconds) })
    }

    @Test(
        "nobody's address is probed, nor everybody's, nor our own, nor what the operator keeps out",
        arguments: [
            ("255.255.255.255", false), ("224.0.0.1", false), ("127.0.0.1", false), ("0.0.0.0", false),
            ("10.88.0.1", false), ("10.88.255.255", false), ("10.9.1.1", false), ("11.0.0.1", false),
            ("10.88.0.11", true), ("::1", false), ("ff02::1", false), ("fd77::1", true),
        ])
    func manners(text: String, allowed: Bool) throws {
        var manners = ProbeManners()
        manners.own = [try #require(IPAddress("10.88.0.1"))]
        manners.broadcasts = [try #require(IPAddress("10.88.255.255"))]
        manners.never = [try #require(IPPrefix("10.9.0.0/16"))]
        manners.only = [try #require(IPPrefix("10.0.0.0/8")), try #require(IPPrefix("fd77::/16"))]
        let address = try #require(IPAddress(text))
        #expect((manners.refusal(of: address) == nil) == allowed)
    }
}
