import Model
import NIOCore
import NIOHPACK
import Testing

@testable import Packets
@testable import Registries

/// Both directions of a gRPC connection as its peers write them, in the order of `pieces`.
struct HTTP2Wire {
    struct Piece {
        var fromGuest: Bool
        var bytes: [UInt8]
    }

    private(set) var pieces: [Piece] = []
    private var guest = HPACKEncoder(allocator: ByteBufferAllocator())
    private var registry = HPACKEncoder(allocator: ByteBufferAllocator())
    private var nextStream: UInt32 = 1

    static func frame(_ kind: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let length = UInt32(payload.count)
        return [UInt8(length >> 16), UInt8(length >> 8 & 0xff), UInt8(length & 0xff), kind, flags]
            + (0..<4).map { UInt8(stream >> (24 - 8 * $0) & 0xff) } + payload
    }

    static func message(_ bytes: [UInt8], isCompressed: Bool = false) -> [UInt8] {
        [isCompressed ? 1 : 0] + (0..<4).map { UInt8(bytes.count >> (24 - 8 * $0) & 0xff) } + bytes
    }

    mutating func add(fromGuest: Bool, _ bytes: [UInt8]) { pieces.append(Piece(fromGuest: fromGuest, bytes: bytes)) }

    mutating func open() {
        let windowAndTable: [UInt8] = [0, 4, 0, 1, 0, 0, 0, 1, 0, 0, 0x20, 0]
        add(fromGuest: true, HTTP2FrameHeader.preface + Self.frame(4, windowAndTable))
        add(fromGuest: false, Self.frame(4, []) + Self.frame(4, flags: 1))
        add(fromGuest: true, Self.frame(4, flags: 1) + Self.frame(6, [UInt8](repeating: 7, count: 8)))
        add(fromGuest: false, Self.frame(6, flags: 1, [UInt8](repeating: 7, count: 8)))
    }

    /// Header blocks are cut into continuations of this size.
    var blockPart = Int.max
    /// Data is padded by this.
    var padding: Int?

    private func headers(_ block: [UInt8], stream: UInt32, ends: Bool) -> [UInt8] {
        var flags: UInt8 = ends ? 1 : 0
        guard block.count > blockPart else { return Self.frame(1, flags: flags | 4, stream: stream, block) }
        var bytes = Self.frame(1, flags: flags, stream: stream, Array(block.prefix(blockPart)))
        var rest = block.dropFirst(blockPart)
        flags = 0
        while !rest.isEmpty {
            let part = Array(rest.prefix(blockPart))
            rest = rest.dropFirst(part.count)
            bytes += Self.frame(9, flags: rest.isEmpty ? 4 : 0, stream: stream, part)
        }
        return bytes
    }

    private func data(_ bytes: [UInt8], stream: UInt32, ends: Bool) -> [UInt8] {
        guard let padding else { return Self.frame(0, flags: ends ? 1 : 0, stream: stream, bytes) }
        let padded = [UInt8(padding)] + bytes + [UInt8](repeating: 0xaa, count: padding)
        return Self.frame(0, flags: 8 | (ends ? 1 : 0), stream: stream, padded)
    }

    /// Begins a call; its stream is returned.
    mutating func call(_ method: String) throws -> UInt32 {
        let stream = nextStream
        nextStream += 2
        let fields: HPACKHeaders = [
            ":method": "POST", ":scheme": "http", ":path": method, ":authority": "registry:2379",
            "te": "trailers", "content-type": "application/grpc", "user-agent": "grpc-test/1",
        ]
        var block = ByteBuffer()
        try guest.encode(headers: fields, to: &block)
        add(fromGuest: true, headers(Array(block.readableBytesView), stream: stream, ends: false))
        return stream
    }

    mutating func send(_ message: [UInt8], on stream: UInt32, ends: Bool = true, isCompressed: Bool = false) {
        add(fromGuest: true, data(Self.message(message, isCompressed: isCompressed), stream: stream, ends: ends))
    }

    mutating func head(on stream: UInt32) throws {
        var block = ByteBuffer()
        try registry.encode(headers: [":status": "200", "content-type": "application/grpc"], to: &block)
        add(fromGuest: false, headers(Array(block.readableBytesView), stream: stream, ends: false))
    }

    mutating func answer(_ message: [UInt8], on stream: UInt32, isCompressed: Bool = false) {
        add(fromGuest: false, data(Self.message(message, isCompressed: isCompressed), stream: stream, ends: false))
    }

    mutating func trailers(_ status: Int = 0, on stream: UInt32, isWhole: Bool = false) throws {
        var block = ByteBuffer()
        var fields: HPACKHeaders = isWhole ? [":status": "200", "content-type": "application/grpc"] : [:]
        fields.add(name: "grpc-status", value: String(status))
        fields.add(name: "grpc-message", value: "whatever")
        try registry.encode(headers: fields, to: &block)
        add(fromGuest: false, headers(Array(block.readableBytesView), stream: stream, ends: true))
    }

    /// A call with one message each way; without an answer it is refused.
    mutating func unary(_ method: String, _ request: [UInt8], _ answer: [UInt8]?) throws {
        let stream = try call(method)
        send(request, on: stream)
        if let answer {
            try head(on: stream)
            self.answer(answer, on: stream)
            try trailers(on: stream)
        } else {
            try trailers(5, on: stream, isWhole: true)
        }
    }
}

/// A reader that is given pieces as chunks of a TCP stream.
final class HTTP2Listening {
    let reader: HTTP2Reader
    var now = Instant(milliseconds: 1_000_000)
    private var begun: Set<Bool> = []
    private var sequences: [Bool: UInt32] = [true: 1, false: 1]

    static let connection = FiveTuple(
        network: NetworkID(0), source: .v4(IPv4Address(bits: 0x0a4d_000b)), sourcePort: 40_000,
        destination: .v4(IPv4Address(bits: 0x0a4d_0002)), destinationPort: 2379)

    /// - Parameter isWhole: the connection's beginning is seen.
    init(_ dialect: any GRPCDialect, limits: Ear.Limits = Ear.Limits(), isWhole: Bool = true) {
        reader = HTTP2Reader(dialects: [dialect], connection: Self.connection, limits: limits)
        if !isWhole { begun = [true, false] }
    }

    /// - Parameter size: of the segments that each piece is cut into.
    func hear(_ pieces: some Sequence<HTTP2Wire.Piece>, size: Int = .max) -> [Advertisement] {
        pieces.flatMap { piece in
            stride(from: 0, to: piece.bytes.count, by: min(size, max(1, piece.bytes.count))).flatMap { start in
                let end = start + min(size, piece.bytes.count - start)
                return hear(piece.bytes[start..<end], fromGuest: piece.fromGuest)
            }
        }
    }

    func hear(_ bytes: ArraySlice<UInt8>, fromGuest: Bool) -> [Advertisement] {
        now = now + .milliseconds(1)
        let chunk = TCPStream<Origin>.Chunk(
            bytes: bytes, sequence: sequences[fromGuest] ?? 0, acknowledged: nil, startsSegment: true,
            startsStream: begun.insert(fromGuest).inserted,
            origin: Origin(mac: Wire.guestMAC, port: 1, time: now))
        sequences[fromGuest]? &+= UInt32(bytes.count)
        let told = fromGuest ? reader.hear(request: chunk) : reader.hear(answer: chunk)
        return told.map(\.advertisement)
    }

    func miss(_ bytes: Int, fromGuest: Bool) -> [Advertisement] {
        (fromGuest ? reader.missed(requestBytes: bytes, at: now) : reader.missed(answerBytes: bytes, at: now))
            .map(\.advertisement)
    }

    func wait(_ time: Duration) -> [Advertisement] {
        now = now + time
        return reader.tick(at: now).map(\.advertisement)
    }

    func end(_ end: StreamEnd) -> [Advertisement] { reader.ended(end, at: now).map(\.advertisement) }
}
