import Model
import Testing

@testable import Packets

@Suite("TCP streams") struct TCPStreamTests {
    @Test("segments in order come out as they are") func inOrder() {
        var talk = Listener(initial: 1000)
        talk.send("GET ", at: 0)
        talk.send("/", at: 4)
        #expect(talk.text == "GET /" && talk.chunks == 2)
    }

    @Test("repeated, overlapping and merged segments give every byte once, the first copy") func overlaps() {
        var talk = Listener(initial: 1000)
        talk.send("abcd", at: 0)
        talk.send("abcd", at: 0)
        talk.send("XXefg", at: 2)
        talk.send("abcdefghi", at: 0)
        #expect(talk.text == "abcdefghi")
        #expect(talk.gaps == [])
    }

    @Test("segments out of order wait for what is missing") func reordered() {
        var talk = Listener(initial: 1000)
        talk.send("ghi", at: 6)
        talk.send("def", at: 3)
        talk.send("def", at: 3)
        #expect(talk.text == "" && talk.stream.waitingBytes == 6)
        talk.send("abc", at: 0)
        #expect(talk.text == "abcdefghi" && talk.stream.waitingBytes == 0)
        #expect(talk.stream.deadline == nil)
    }

    @Test("seven segments, each sent twice, give the same text in any order") func permutations() {
        let text = Array("abcdefghijklmnopqrstu")
        for round in 0..<500 {
            var talk = Listener(initial: UInt32.max - 9)
            let order = (0..<14).sorted { ($0 * 389 + $0 * $0 * round) % 1009 < ($1 * 389 + $1 * $1 * round) % 1009 }
            for piece in order.map({ $0 / 2 }) {
                talk.send(String(text[piece * 3..<min(text.count, piece * 3 + 5)]), at: piece * 3)
            }
            #expect(talk.text == String(text))
        }
    }

    @Test("sequence numbers wrap") func wraps() {
        var talk = Listener(initial: UInt32.max - 2)
        talk.send("abc", at: 0)
        talk.send("ghi", at: 6)
        talk.send("def", at: 3)
        #expect(talk.text == "abcdefghi")
    }

    @Test("a stream may be joined in the middle") func joined() {
        var talk = Listener(initial: nil)
        talk.send("def", at: 3)
        talk.send("ghi", at: 6)
        #expect(talk.text == "defghi" && talk.startsOfStream == 0)
        #expect(Listener.of("x").startsOfStream == 1)
    }

    @Test("a hole that was acknowledged is given up after some more segments, and reported") func acknowledgedHole() {
        var talk = Listener(initial: 1000)
        talk.send("abc", at: 0)
        talk.send("ghi", at: 6)
        talk.acknowledge(9)
        for _ in 0..<talk.stream.limits.patienceSegments { talk.wait(segments: 1) }
        #expect(talk.text == "abcghi" && talk.gaps == [3])
    }

    @Test("a hole that was acknowledged is given up after some time") func acknowledgedHoleInTime() {
        var talk = Listener(initial: 1000)
        talk.send("abc", at: 0)
        talk.acknowledge(30)
        talk.now = talk.now + talk.stream.limits.patience
        talk.wait(segments: 0)
        #expect(talk.gaps == [27])
        talk.send("next", at: 30)
        #expect(talk.text == "abcnext")
    }

    @Test("a hole without an acknowledgement in view waits longer") func silentHole() {
        var talk = Listener(initial: 1000)
        talk.send("def", at: 3)
        talk.now = talk.now + talk.stream.limits.patience
        talk.wait(segments: 0)
        #expect(talk.gaps == [])
        talk.now = talk.now + talk.stream.limits.patienceUnacknowledged
        talk.wait(segments: 0)
        #expect(talk.gaps == [3] && talk.text == "def")
    }

    @Test("what waits behind a hole is bounded") func bounded() {
        var talk = Listener(initial: 1000)
        for index in 0..<5000 { talk.send("x", at: 2 * index + 1) }
        #expect(talk.stream.waitingBytes <= talk.stream.limits.waitingSegments)
        let large = String(repeating: "y", count: 60_000)
        for index in 0..<40 { talk.send(large, at: 20_000 + index * 70_000) }
        #expect(talk.stream.waitingBytes <= talk.stream.limits.waitingBytes)
        #expect(talk.gaps.count > 100)
    }

    @Test("FIN ends the stream in its place, and once") func fin() {
        var talk = Listener(initial: 1000)
        talk.send("def", at: 3, flags: [.ack, .fin])
        #expect(!talk.stream.hasEnded)
        talk.send("abc", at: 0)
        #expect(talk.text == "abcdef" && talk.stream.hasEnded && talk.ends == 1)
        talk.send("def", at: 3, flags: [.ack, .fin])
        talk.send("abc", at: 0)
        #expect(talk.text == "abcdef" && talk.ends == 1)
    }

    @Test("a new SYN begins another stream, a repeated one does not") func synAgain() {
        var talk = Listener(initial: 1000)
        talk.send("abc", at: 0)
        talk.syn(1000)
        talk.send("def", at: 3)
        #expect(talk.text == "abcdef")
        talk.syn(900_000_000)
        talk.send("new", at: 0)
        #expect(talk.text == "abcdefnew")
    }

    @Test("stray segments are dropped; when nothing else comes, the stream is joined anew") func strays() {
        var talk = Listener(initial: 1000)
        talk.send("abc", at: 0)
        talk.send("far", at: 1 << 30)
        talk.send("def", at: 3)
        #expect(talk.text == "abcdef" && talk.stream.strays == 1)
        for index in 0..<talk.stream.limits.straysToRejoin { talk.send("z", at: 1 << 30 + index) }
        talk.send("go", at: 1 << 30 + talk.stream.limits.straysToRejoin)
        #expect(talk.text == "abcdefzgo" && talk.gaps == [0])
    }

    @Test("a keep-alive probe is old data") func keepAlive() {
        var talk = Listener(initial: 1000)
        talk.send("abc", at: 0)
        talk.send("?", at: 2)
        talk.send("def", at: 3)
        #expect(talk.text == "abcdef")
    }
}

/// Collects what a stream gives.
private struct Listener {
    var stream = TCPStream<Int>()
    var start: UInt32 = 1
    var now = Instant(milliseconds: 1_000_000)
    var text = ""
    var chunks = 0
    var gaps: [Int] = []
    var ends = 0
    var startsOfStream = 0

    init(initial: UInt32?) {
        if let initial { syn(initial) }
    }

    static func of(_ text: String) -> Listener {
        var talk = Listener(initial: 5)
        talk.send(text, at: 0)
        return talk
    }

    mutating func syn(_ sequence: UInt32) {
        start = sequence &+ 1
        send("", at: -1, flags: [.syn])
    }

    mutating func send(_ text: String, at offset: Int, flags: TCPHeader.Flags = [.ack]) {
        var segment = TCPSegment.sample(isV6: false)
        segment.sequence = start &+ UInt32(truncatingIfNeeded: offset)
        segment.flags = flags
        segment.payload = Array(text.utf8)
        guard let bytes = segment.frame() else { return }
        var events: [TCPStream<Int>.Event] = []
        bytes.withUnsafeBytes { raw in
            guard let (_, tcp) = Frame(raw)?.tcp else { return }
            stream.take(
                tcp, payload: UnsafeRawBufferPointer(rebasing: raw[tcp.payload]), origin: 0, at: now, into: &events)
        }
        take(events)
    }

    mutating func acknowledge(_ offset: Int) {
        stream.acknowledged(start &+ UInt32(truncatingIfNeeded: offset), at: now)
    }

    mutating func wait(segments: Int) {
        var events: [TCPStream<Int>.Event] = []
        stream.wait(segments: segments, at: now, into: &events)
        take(events)
    }

    private mutating func take(_ events: [TCPStream<Int>.Event]) {
        for event in events {
            switch event {
            case .data(let chunk):
                text += String(decoding: chunk.bytes, as: UTF8.self)
                chunks += 1
                if chunk.startsStream { startsOfStream += 1 }
            case .gap(let bytes): gaps.append(bytes)
            case .end: ends += 1
            }
        }
    }
}
