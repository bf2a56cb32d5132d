import CZlib
import Model
import Packets
import Testing

@testable import Registries

/// Tells each request as a service, with its answer as id. Without a method it knows "known...".
private final class Echo: GRPCDialect {
    static let name = "echo"
    static let usualPorts: [UInt16] = []
    var unreadable = 0
    var begun = 0
    func knows(method: String) -> Bool { method.hasPrefix("/echo.") }
    func reads(method: String) -> Bool { knows(method: method) && !method.hasSuffix("Ignored") }
    func began(_ connection: FiveTuple) { begun += 1 }
    func ended(_ connection: FiveTuple) -> [Advertisement] {
        [Advertisement(registry: Self.name, op: .deregister)]
    }
    func settled(_ exchange: GRPCExchange, on connection: FiveTuple) -> [Advertisement] {
        let text = String(decoding: exchange.request, as: UTF8.self)
        guard exchange.method != nil || text.hasPrefix("known") else { return [] }
        var told = Advertisement(registry: Self.name, op: .register)
        told.service = text
        told.id = exchange.answer?.message.map { String(decoding: $0, as: UTF8.self) }
        told.accepted = exchange.answer?.agrees
        return [told]
    }
}

@Suite("gRPC over HTTP/2") struct HTTP2ReaderTests {
    static let method = "/echo.Registry/Say"
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func talk() throws -> HTTP2Wire {
        var wire = HTTP2Wire()
        wire.open()
        try wire.unary(Self.method, bytes("one"), bytes("1"))
        try wire.unary(Self.method, bytes("two"), nil)
        try wire.unary("/other.Thing/Do", bytes("strange"), bytes("x"))
        try wire.unary("/echo.Registry/Ignored", bytes("not read"), bytes("x"))
        let stream = try wire.call(Self.method)
        wire.send(bytes("three"), on: stream, ends: false)
        wire.send(bytes("four"), on: stream, ends: false)
        try wire.head(on: stream)
        wire.answer(bytes("3"), on: stream)
        wire.answer(bytes("4"), on: stream)
        return wire
    }

    private static let heard = [
        "register one 1 true", "register two false", "register three 3 true", "register four 4 true",
    ]

    @Test(
        "requests pair with answers, however they are cut into segments", arguments: [1, 2, 3, 5, 8, 9, 10, 64, 9999])
    func cut(size: Int) throws {
        for (blockPart, padding) in [(Int.max, nil), (7, nil), (Int.max, 0), (1, 200)] as [(Int, Int?)] {
            var wire = HTTP2Wire()
            wire.blockPart = blockPart
            wire.padding = padding
            wire.open()
            try wire.unary(Self.method, bytes("one"), bytes("1"))
            try wire.unary(Self.method, bytes("two"), nil)
            let listening = HTTP2Listening(Echo())
            let told = listening.hear(wire.pieces, size: size).map(\.summary)
            #expect(told == ["register one 1 true", "register two false"])
        }
        let listening = HTTP2Listening(Echo())
        #expect(listening.hear(try talk().pieces, size: size).map(\.summary) == Self.heard)
        let counts = listening.reader.takeCounts()
        #expect(counts.parseErrors == 0 && counts.skippedBytes == 0 && counts.messages == 7)
    }

    @Test("messages are cut across frames, and several stand in one") func framing() throws {
        var wire = HTTP2Wire()
        wire.open()
        let stream = try wire.call(Self.method)
        let messages = HTTP2Wire.message(bytes("first")) + HTTP2Wire.message(bytes("second"))
        for part in [messages[0..<3], messages[3..<7], messages[7...]] {
            wire.add(fromGuest: true, HTTP2Wire.frame(0, stream: stream, Array(part)))
        }
        try wire.head(on: stream)
        wire.add(
            fromGuest: false,
            HTTP2Wire.frame(0, stream: stream, HTTP2Wire.message(bytes("a")) + HTTP2Wire.message(bytes("b"))))
        let listening = HTTP2Listening(Echo())
        #expect(listening.hear(wire.pieces).map(\.summary) == ["register first a true", "register second b true"])
    }

    @Test("compressed messages, whichever way") func compressed() throws {
        for wrapping in [31, 15] as [Int32] {
            var wire = HTTP2Wire()
            wire.open()
            let stream = try wire.call(Self.method)
            wire.send(deflated(bytes("compressed"), wrapping), on: stream, isCompressed: true)
            try wire.head(on: stream)
            wire.answer(deflated(bytes("yes"), wrapping), on: stream, isCompressed: true)
            let listening = HTTP2Listening(Echo())
            #expect(listening.hear(wire.pieces).map(\.summary) == ["register compressed yes true"])
        }
    }

    @Test("a bomb is not blown up, and its answer is not another's") func bomb() throws {
        var wire = HTTP2Wire()
        wire.open()
        let stream = try wire.call(Self.method)
        wire.send(deflated([UInt8](repeating: 0, count: 4 << 20), 31), on: stream, ends: false, isCompressed: true)
        wire.send(bytes("next"), on: stream, isCompressed: false)
        try wire.head(on: stream)
        wire.answer(bytes("to the bomb"), on: stream)
        wire.answer(bytes("to the next"), on: stream)
        let listening = HTTP2Listening(Echo())
        #expect(listening.hear(wire.pieces).map(\.summary) == ["register next to the next true"])
        #expect(listening.reader.takeCounts().parseErrors == 1)
    }

    @Test("without an answer it is told after a while, and once more with a late one") func late() throws {
        var wire = HTTP2Wire()
        wire.open()
        let stream = try wire.call(Self.method)
        wire.send(bytes("slow"), on: stream)
        let listening = HTTP2Listening(Echo())
        #expect(listening.hear(wire.pieces).isEmpty)
        let deadline = try #require(listening.reader.deadline)
        #expect(deadline == listening.now + Ear.Limits().answerTimeout)
        #expect(listening.wait(.seconds(6)).map(\.summary) == ["register slow unseen"])
        #expect(listening.reader.deadline == nil)
        let before = wire.pieces.count
        try wire.head(on: stream)
        wire.answer(bytes("at last"), on: stream)
        #expect(listening.hear(wire.pieces[before...]).map(\.summary) == ["register slow at last true"])
    }

    @Test(
        "a call that the server does not take is refused", arguments: ["trailers", "reset", "goaway", "http"])
    func refused(how: String) throws {
        var wire = HTTP2Wire()
        wire.open()
        let stream = try wire.call(Self.method)
        wire.send(bytes("please"), on: stream)
        switch how {
        case "trailers": try wire.trailers(14, on: stream, isWhole: true)
        case "reset": wire.add(fromGuest: false, HTTP2Wire.frame(3, stream: stream, [0, 0, 0, 7]))
        case "goaway": wire.add(fromGuest: false, HTTP2Wire.frame(7, [UInt8](repeating: 0, count: 8) + bytes("bye")))
        // ":status: 404", by its place in the static table.
        default: wire.add(fromGuest: false, HTTP2Wire.frame(1, flags: 5, stream: stream, [0x8d]))
        }
        #expect(HTTP2Listening(Echo()).hear(wire.pieces).map(\.summary) == ["register please false"])
    }

    @Test("a call that is broken off otherwise may have been done", arguments: [true, false]) func canceled(
        byGuest: Bool
    ) throws {
        var wire = HTTP2Wire()
        wire.open()
        let stream = try wire.call(Self.method)
        wire.send(bytes("please"), on: stream)
        wire.add(fromGuest: byGuest, HTTP2Wire.frame(3, stream: stream, [0, 0, 0, 8]))
        #expect(HTTP2Listening(Echo()).hear(wire.pieces).map(\.summary) == ["register please unseen"])
    }

    // MARK: - Joined in the middle

    @Test("joined before any piece, later calls are still known as far as they can be") func joined() throws {
        var wire = HTTP2Wire()
        wire.open()
        for index in 0..<4 { try wire.unary(Self.method, bytes("known\(index)"), bytes("\(index)")) }
        for start in wire.pieces.indices.dropFirst(4) {
            let listening = HTTP2Listening(Echo(), isWhole: false)
            let told = listening.hear(wire.pieces[start...])
            let whole = wire.pieces[start...].filter { $0.fromGuest }.count / 2
            // Of a request whose headers went by, its data is enough.
            #expect(told.count >= whole && told.allSatisfy { $0.accepted != false }, "from piece \(start)")
            #expect(told.last?.summary == "register known3 3 true" || start > wire.pieces.count - 4)
        }
    }

    @Test("a method that is written out is read even where the table is not known") func literals() throws {
        var wire = HTTP2Wire()
        try wire.unary(Self.method, bytes("one"), bytes("1"))
        let whole = wire.pieces.count
        // The first is in the table now, the second is new.
        try wire.unary("/echo.Registry/New", bytes("two"), bytes("2"))
        try wire.unary("/echo.Registry/New", bytes("three"), bytes("3"))
        try wire.unary(Self.method, bytes("four"), bytes("4"))
        let listening = HTTP2Listening(Echo(), isWhole: false)
        #expect(
            listening.hear(wire.pieces[whole...]).map(\.summary) == ["register two 2 true", "register three 3 true"])
    }

    @Test("joined within a frame, it goes on where frames begin again", arguments: [1, 5, 9, 10, 14, 30, 44])
    func within(offset: Int) throws {
        var wire = HTTP2Wire()
        wire.open()
        try wire.unary(Self.method, [UInt8](repeating: UInt8(ascii: "x"), count: 60), bytes("0"))
        try wire.unary(Self.method, bytes("known"), bytes("1"))
        var pieces = Array(wire.pieces[5...])
        pieces[0].bytes = Array(pieces[0].bytes.dropFirst(offset)) + pieces[4].bytes + pieces[5].bytes
        pieces.removeSubrange(4...5)
        let listening = HTTP2Listening(Echo(), isWhole: false)
        #expect(listening.hear(pieces).map(\.summary) == ["register known 1 true"])
        #expect(listening.reader.takeCounts().skippedBytes == 74 - offset)
    }

    @Test("after a gap both ways are found again", arguments: [true, false]) func gap(inRequests: Bool) throws {
        var wire = HTTP2Wire()
        wire.open()
        for index in 0..<6 { try wire.unary(Self.method, bytes("known\(index)"), bytes("\(index)")) }
        let listening = HTTP2Listening(Echo())
        var told: [Advertisement] = []
        for (index, piece) in wire.pieces.enumerated() {
            let range = inRequests ? 9...10 : 11...13
            if range.contains(index) {
                told += listening.miss(piece.bytes.count, fromGuest: piece.fromGuest)
            } else {
                told += listening.hear([piece])
            }
        }
        told += listening.wait(.seconds(10))
        let expected = (0..<6).filter { !(inRequests && $0 == 1) }.map { "register known\($0)" }
        #expect(Set(told.compactMap(\.service)) == Set(expected.map { String($0.dropFirst(9)) }))
        #expect(told.allSatisfy { $0.accepted != false && ($0.id == nil || $0.service == "known\($0.id ?? "")") })
    }

    @Test("the first bytes tell it: the preface, or frames") func recognition() throws {
        let preface = HTTP2FrameHeader.preface
        #expect(HTTP2FrameHeader.recognition(of: preface[...], isStart: true) == .yes)
        #expect(HTTP2FrameHeader.recognition(of: preface[..<5], isStart: true) == .tooShort)
        #expect(HTTP2FrameHeader.recognition(of: bytes("PUT /v1/agent")[...], isStart: true) == .no)
        let data = HTTP2Wire.frame(0, flags: 1, stream: 7, HTTP2Wire.message(bytes("x")))
        #expect(HTTP2FrameHeader.recognition(of: data[...], isStart: false) == .yes)
        #expect(HTTP2FrameHeader.recognition(of: data[...], isStart: true) == .no)
        #expect(HTTP2FrameHeader.recognition(of: data[..<4], isStart: false) == .tooShort)
        #expect(
            HTTP2FrameHeader.recognition(of: bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n")[...], isStart: false) == .no)
        let random = (0..<400).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
        #expect(HTTP2FrameHeader.recognition(of: random[...], isStart: false) == .no)
    }

    // MARK: - Ends

    @Test("the connection's end is told once, and not where it is only forgotten") func ends() throws {
        let listening = HTTP2Listening(Echo())
        _ = listening.hear(try talk().pieces)
        #expect(listening.end(.forgotten).isEmpty)
        #expect(listening.end(.guest).map(\.op) == [.deregister])
        #expect(listening.end(.registry).isEmpty && listening.end(.reset).isEmpty)
    }

    @Test("what waits is told when the registry's side ends") func waiting() throws {
        var wire = HTTP2Wire()
        wire.open()
        let stream = try wire.call(Self.method)
        wire.send(bytes("please"), on: stream)
        let listening = HTTP2Listening(Echo())
        _ = listening.hear(wire.pieces)
        #expect(listening.end(.registry).map(\.op) == [.register, .deregister])
        #expect(listening.reader.deadline == nil)
    }

    @Test("a stranger's gRPC is given up") func stranger() throws {
        var wire = HTTP2Wire()
        wire.open()
        for _ in 0..<200 { try wire.unary("/other.Thing/Do", [UInt8](repeating: 1, count: 40), []) }
        let listening = HTTP2Listening(Echo())
        #expect(listening.hear(wire.pieces).isEmpty && !listening.reader.isListening)
    }

    // MARK: - Hostile

    @Test("floods and absurd lengths cost no memory") func floods() throws {
        var limits = Ear.Limits()
        limits.bodyBytes = 10_000
        let block = [UInt8](repeating: 0, count: 16_000)
        let headers = HTTP2Wire.frame(1, stream: 1, block)
        let continuation = HTTP2Wire.frame(9, stream: 1, block)
        let huge = HTTP2Wire.frame(0, stream: 3, [0, 0xff, 0xff, 0xff, 0xff] + block)
        let more = HTTP2Wire.frame(0, stream: 3, block)
        for flood in [
            headers + Array(repeating: continuation, count: 100).joined(),
            huge + Array(repeating: more, count: 100).joined(),
            [0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 5] + Array(repeating: block, count: 100).joined(),
        ] {
            var wire = HTTP2Wire()
            wire.open()
            _ = try wire.call(Self.method)
            _ = try wire.call(Self.method)
            wire.add(fromGuest: true, flood)
            let listening = HTTP2Listening(Echo(), limits: limits)
            _ = listening.hear(wire.pieces, size: 1400)
            #expect(listening.reader.footprint < 80_000)
        }
    }

    @Test("many calls and messages that nobody answers are bounded, none is lost") func unanswered() throws {
        var limits = Ear.Limits()
        limits.bodyBytes = 10_000
        var wire = HTTP2Wire()
        wire.open()
        for _ in 0..<300 {
            let stream = try wire.call(Self.method)
            for _ in 0..<4 { wire.send([UInt8](repeating: 65, count: 900), on: stream, ends: false) }
        }
        let listening = HTTP2Listening(Echo(), limits: limits)
        let told = listening.hear(wire.pieces).count
        #expect(listening.reader.footprint < 60_000)
        #expect(told + listening.wait(.seconds(10)).count == 1200)
    }

    @Test("padding beyond the frame, continuations out of place and bad headers are errors, and soon too many")
    func bad()
        throws
    {
        let bad = [
            HTTP2Wire.frame(0, flags: 8, stream: 1, [9, 1, 2]), HTTP2Wire.frame(1, flags: 0xc, stream: 1, [9, 1, 2]),
            HTTP2Wire.frame(9, flags: 4, stream: 1, [1]), HTTP2Wire.frame(0, stream: 0, [1]),
            HTTP2Wire.frame(6, [1, 2, 3]), HTTP2Wire.frame(1, stream: 1) + HTTP2Wire.frame(0, stream: 1),
        ]
        for frame in bad {
            var wire = HTTP2Wire()
            wire.open()
            wire.add(fromGuest: true, frame)
            try wire.unary(Self.method, bytes("still heard"), bytes("yes"))
            let listening = HTTP2Listening(Echo())
            #expect(listening.hear(wire.pieces).map(\.summary) == ["register still heard yes true"])
            #expect(listening.reader.takeCounts().parseErrors == 1)
        }
        var wire = HTTP2Wire()
        wire.open()
        for _ in 0..<20 { wire.add(fromGuest: true, bad[0]) }
        let listening = HTTP2Listening(Echo())
        _ = listening.hear(wire.pieces)
        #expect(!listening.reader.isListening)
    }

    @Test("a header block that repeats a long entry is read without keeping it all") func repeated() throws {
        var headers = HTTP2Headers()
        let long: [UInt8] = [0x40, 1, 0x61, 0x7f, 0x81, 0x1e] + [UInt8](repeating: 0x62, count: 3968)
        let path = [0x44, 2] + bytes("/x")
        #expect(headers.read(long + [UInt8](repeating: 0xbe, count: 510) + path) == [":path": "/x"])
        #expect(headers.footprint > 0 && headers.footprint <= 4096)
        // One more is too many, and what they did to the table is not known.
        #expect(headers.read(long + [UInt8](repeating: 0xbe, count: 511) + path) == nil)
        #expect(headers.footprint == 0 && headers.read([0xbe]) == [:])
    }

    @Test("an entry whose name is not known keeps its place in the table") func unknownName() {
        var headers = HTTP2Headers()
        #expect(headers.read([0x44, 6] + bytes("/known")) == [":path": "/known"])
        // The name is that of entry 70, from before; the value is new.
        #expect(headers.read([0x7f, 7, 1, 0x78]) == [:])
        #expect(headers.read([0xbf]) == [":path": "/known"])
    }

    @Test("mutated connections never crash the reader, nor make it hoard", arguments: 0..<32) func mutated(seed: Int)
        throws
    {
        var random = SplitMix(seed: UInt64(seed))
        var limits = Ear.Limits()
        limits.bodyBytes = 4096
        for _ in 0..<8 {
            var pieces = try talk().pieces
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let index = Int.random(in: pieces.indices, using: &random)
                let byte = Int.random(in: pieces[index].bytes.indices, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: pieces[index].bytes[byte] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 1: pieces[index].bytes.removeSubrange(byte...)
                case 2: pieces.swapAt(index, Int.random(in: pieces.indices, using: &random))
                default: pieces[index].bytes.insert(UInt8.random(in: 0...255, using: &random), at: byte)
                }
                pieces.removeAll { $0.bytes.isEmpty }
            }
            let listening = HTTP2Listening(Echo(), limits: limits, isWhole: seed % 2 == 0)
            _ = listening.hear(pieces, size: [1, 7, 1460].randomElement(using: &random) ?? 7)
            _ = listening.wait(.seconds(10))
            #expect(listening.reader.footprint < 100_000)
            _ = listening.end(.reset)
        }
    }
}

private func deflated(_ bytes: [UInt8], _ wrapping: Int32) -> [UInt8] {
    var stream = z_stream()
    let size = Int32(MemoryLayout<z_stream>.size)
    guard deflateInit2_(&stream, 9, Z_DEFLATED, wrapping, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, size) == Z_OK else {
        return []
    }
    defer { deflateEnd(&stream) }
    var input = bytes
    var output = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(bytes.count))) + 64)
    return input.withUnsafeMutableBufferPointer { input in
        output.withUnsafeMutableBufferPointer { output in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            stream.next_out = output.baseAddress
            stream.avail_out = UInt32(output.count)
            _ = deflate(&stream, Z_FINISH)
            return Array(output.prefix(output.count - Int(stream.avail_out)))
        }
    }
}
