import Model
import Packets
import Testing

@testable import Prober

@Suite("Requests over HTTP") struct HTTPProbeTests {
    typealias Common = ProberTests
    static let request = Array("HEAD / HTTP/1.1\r\n\r\n".utf8)
    static let answer = Array("HTTP/1.1 200 OK\r\nServer: x\r\n\r\n".utf8)

    /// A prober whose SYN was just answered.
    final class Talk {
        var prober: Prober
        var random = SeededGenerator(state: 70)
        let key: ProbeKey
        let number: UInt32
        /// Of our SYN.
        let sequence: UInt32
        let opened: [ProbeStep]

        init(_ settings: Prober.Settings = .init(), asks: Bool = true) throws {
            var target = try Common.target()
            target.request = asks ? HTTPProbeTests.request : nil
            var prober = Prober(settings: settings, at: Common.start)
            let steps = prober.start(target, at: Common.start, using: &random)
            let key = try #require(Common.expected(steps))
            let number = try #require(Common.number(steps))
            let sequence = Common.sequence(try #require(Common.sent(steps).first))
            opened = prober.answered(try Common.answer(steps, flags: [.syn, .ack]), at: Common.start)
            (self.key, self.number, self.sequence) = (key, number, sequence)
            self.prober = prober
        }

        /// What our side has said, the SYN and the request.
        var said: UInt32 { sequence &+ 1 &+ UInt32(HTTPProbeTests.request.count) }

        /// From the guest, whose SYN had the number 5.
        func segment(
            _ payload: [UInt8] = [], at offset: UInt32 = 0, flags: TCPHeader.Flags = .ack, acknowledged: UInt32? = nil
        ) -> ProbeSegment {
            ProbeSegment(
                key: key, sequence: 6 &+ offset, acknowledged: acknowledged ?? said, flags: flags, payload: payload,
                place: Common.place, hopLimit: 63)
        }

        func hear(_ segment: ProbeSegment) -> [ProbeStep] { prober.heard(segment, at: Common.start) }
    }

    static func responses(_ steps: [ProbeStep]) -> [ProbeResponse] {
        steps.compactMap { if case .response(_, let response, _) = $0 { response } else { nil } }
    }
    /// Flags, and our sequence number.
    static func tcp(_ frame: ProbeFrame) throws -> TCPHeader {
        try #require(frame.bytes.withUnsafeBytes { Frame($0)?.tcp?.tcp })
    }

    @Test("a SYN-ACK is answered by one segment, acknowledgement and request, and the verdict does not wait")
    func asked() throws {
        let talk = try Talk()
        #expect(Common.results(talk.opened) == [.answered(Common.place, open: true, hopLimit: 64)])
        let sent = Common.sent(talk.opened)
        #expect(sent.count == 1)
        let frame = try #require(sent.first)
        let header = try Self.tcp(frame)
        #expect(header.flags == [.ack, .psh] && header.sequence == talk.sequence &+ 1 && header.acknowledged == 6)
        #expect(Array(frame.bytes[header.payload]) == Self.request)
        #expect(!talk.opened.contains(.forget(talk.key)) && talk.prober.count == 1)
        talk.prober.sent(try #require(frame.number), at: 1_000_000)
        var piece = talk.segment(Self.answer, flags: [.ack, .psh])
        piece.time = 3_500_000
        let done = talk.hear(piece)
        let response = try #require(Self.responses(done).first)
        #expect(response.ending == .bytes(Self.answer) && response.place == Common.place)
        #expect(response.hopLimit == 63 && response.microseconds == 2500)
        let resets = try Common.sent(done).map(Self.tcp)
        #expect(resets.map(\.flags) == [.rst] && resets.map(\.sequence) == [talk.said])
    }

    @Test("without a request the SYN-ACK is reset") func plain() throws {
        let talk = try Talk(asks: false)
        #expect(try Common.sent(talk.opened).map(Self.tcp).map(\.flags) == [.rst])
        #expect(talk.prober.count == 0)
    }

    @Test("what comes behind the reset is taken, and reset by the number that it tells, until it is forgotten")
    func afterwards() throws {
        let talk = try Talk()
        _ = talk.hear(talk.segment(Self.answer))
        let late = talk.hear(talk.segment([1], at: 100, acknowledged: 77))
        #expect(try Common.sent(late).map(Self.tcp).map(\.sequence) == [77] && Self.responses(late).isEmpty)
        for _ in 0..<100 { _ = talk.hear(talk.segment([1], at: 100)) }
        #expect(Common.sent(talk.hear(talk.segment([1], at: 100))).isEmpty, "not for ever")
        let end = talk.prober.advance(at: Common.start + .seconds(2))
        #expect(end == [.forget(talk.key)] && talk.prober.count == 0 && talk.prober.nextDeadline == nil)
    }

    @Test("an answer in pieces is put together up to the end of its head; what overtook is left") func pieces() throws {
        let talk = try Talk()
        #expect(talk.hear(talk.segment()).isEmpty, "the bare acknowledgement")
        #expect(talk.hear(talk.segment(Array(Self.answer[20...]), at: 20)).isEmpty)
        #expect(talk.hear(talk.segment(Array(Self.answer[..<20]))).isEmpty)
        #expect(talk.hear(talk.segment(Array(Self.answer[..<20]))).isEmpty, "again")
        let done = talk.hear(talk.segment(Array(Self.answer[20...]), at: 20))
        #expect(Self.responses(done).map(\.ending) == [.bytes(Self.answer)])
    }

    @Test("bytes that cannot be HTTP end it at once; so does an end without bytes, and a reset") func others() throws {
        let tls = try Talk()
        #expect(Self.responses(tls.hear(tls.segment([21, 3, 1, 0, 2]))).map(\.ending) == [.bytes([21, 3, 1, 0, 2])])
        let ended = try Talk()
        #expect(Self.responses(ended.hear(ended.segment(flags: [.fin, .ack]))).map(\.ending) == [.closed])
        let refused = try Talk()
        let reset = ProbeAnswer(
            number: refused.number, sequence: 6, acknowledged: 0, flags: .rst, place: Common.place, hopLimit: 64)
        var forged = reset
        forged.sequence = 7
        #expect(refused.prober.answered(forged, at: Common.start).isEmpty)
        let done = refused.prober.answered(reset, at: Common.start)
        #expect(Self.responses(done).map(\.ending) == [.closed] && Common.sent(done).isEmpty)
    }

    @Test("who speaks first is no server of HTTP; who acknowledges something else is not heard") func greeting() throws
    {
        let talk = try Talk()
        #expect(talk.hear(talk.segment(Self.answer, acknowledged: 1)).isEmpty && talk.prober.counters.strays == 1)
        let done = talk.hear(talk.segment(Array("SSH-2.0-x\r\n".utf8), acknowledged: talk.sequence &+ 1))
        #expect(Self.responses(done).map(\.ending) == [.bytes(Array("SSH-2.0-x\r\n".utf8))])
        #expect(try Common.sent(done).map(Self.tcp).map(\.sequence) == [talk.said, talk.sequence &+ 1])
    }

    @Test("silence is asked twice, and ended by a reset for each number that the guest may wait for") func silence()
        throws
    {
        let talk = try Talk()
        let again = talk.prober.advance(at: Common.start + .milliseconds(200))
        #expect(try Common.sent(again).map(Self.tcp).map(\.flags) == [[.ack, .psh]])
        let done = talk.prober.advance(at: Common.start + .milliseconds(400))
        #expect(Self.responses(done) == [ProbeResponse(ending: .silent)])
        #expect(try Common.sent(done).map(Self.tcp).map(\.sequence) == [talk.said, talk.sequence &+ 1])
        #expect(talk.prober.advance(at: Common.start + .milliseconds(2400)) == [.forget(talk.key)])
    }

    @Test("an answer without end is read up to a bound") func bounded() throws {
        let talk = try Talk()
        let line = Array("HTTP/1.1 200 OK\r\nA: ".utf8) + [UInt8](repeating: 65, count: 1000)
        var offset: UInt32 = 0
        var done: [ProbeStep] = []
        while done.isEmpty, offset < 10_000 {
            done = talk.hear(talk.segment(offset == 0 ? line : Array(line.suffix(1000)), at: offset))
            offset += offset == 0 ? UInt32(line.count) : 1000
        }
        guard case .bytes(let bytes) = Self.responses(done).first?.ending else {
            Issue.record("\(done)")
            return
        }
        #expect(bytes.count == HTTPSession.most)
    }

    @Test("one at a time for a target; a port that goes takes its own along") func single() throws {
        let talk = try Talk()
        var target = try Common.target()
        target.request = Self.request
        let steps = talk.prober.start(target, at: Common.start, using: &talk.random)
        let second = talk.prober.answered(try Common.answer(steps, flags: [.syn, .ack]), at: Common.start)
        #expect(try Common.sent(second).map(Self.tcp).map(\.flags) == [.rst])
        #expect(talk.prober.portVanished(PortName("vm0")) == [.forget(talk.key)])
        #expect(talk.prober.count == 0)
    }

    @Test("over the rate nothing is asked, and nothing stays open") func rate() throws {
        var settings = Prober.Settings()
        (settings.rate, settings.ratePerPort) = (1, 1)
        var prober = Prober(settings: settings, at: Common.start)
        var random = SeededGenerator(state: 71)
        for index in 1...2 as ClosedRange<UInt32> {
            var target = try Common.target(index)
            target.request = Self.request
            let steps = prober.start(target, at: Common.start, using: &random)
            guard index == 2 else { continue }
            let done = prober.answered(try Common.answer(steps, flags: [.syn, .ack]), at: Common.start)
            #expect(try Common.sent(done).map(Self.tcp).map(\.flags) == [.rst])
        }
    }

    @Test("the request is one of HTTP/1.1 that ends the connection, and says who asks") func text() throws {
        let web = InstanceID(network: NetworkID(0), address: try #require(IPAddress("fd00::1")), port: 8080)
        let text = String(decoding: HTTPProbe.request(path: "/health", of: web, agent: "remora/1"), as: UTF8.self)
        #expect(
            text == "HEAD /health HTTP/1.1\r\nHost: [fd00::1]:8080\r\nUser-Agent: remora/1\r\n"
                + "Connection: close\r\n\r\n")
    }
}
