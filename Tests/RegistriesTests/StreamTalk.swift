import Model

@testable import Packets
@testable import Registries

/// A guest's connection as a stream reader hears it: in order, a millisecond a chunk.
struct StreamTalk {
    var reader: any StreamReader
    let connection: FiveTuple
    /// The next bytes are the connection's first.
    var isFresh: Bool
    /// Bytes a chunk.
    var piece = Int.max
    var startsSegment = true
    private(set) var now = Instant(milliseconds: 1_000_000)
    private var sent: UInt32 = 0
    private var answered: UInt32 = 0
    private var hasAsked = false
    private var hasAnswered = false

    static func connection(port: UInt16, guest: UInt32 = 0x0a4d_000b, registry: UInt32 = 0x0a4d_0002) -> FiveTuple {
        FiveTuple(
            network: NetworkID(0), source: .v4(IPv4Address(bits: guest)), sourcePort: 40_000,
            destination: .v4(IPv4Address(bits: registry)), destinationPort: port)
    }

    init(_ dialect: some StreamDialect, _ connection: FiveTuple, isFresh: Bool = true) {
        reader = dialect.reader(of: connection)
        self.connection = connection
        self.isFresh = isFresh
    }

    mutating func ask(_ bytes: [UInt8]) -> [Advertisement] {
        var told: [Told] = []
        for part in cut(bytes) {
            told += reader.hear(request: chunk(part, sequence: sent, startsStream: isFresh && !hasAsked))
            hasAsked = true
            sent &+= UInt32(part.count)
        }
        return told.map(\.advertisement)
    }

    mutating func answer(_ bytes: [UInt8]) -> [Advertisement] {
        var told: [Told] = []
        for part in cut(bytes) {
            told += reader.hear(answer: chunk(part, sequence: answered, startsStream: isFresh && !hasAnswered))
            hasAnswered = true
            answered &+= UInt32(part.count)
        }
        return told.map(\.advertisement)
    }

    mutating func miss(request count: Int) -> [Advertisement] {
        reader.missed(requestBytes: count, at: now).map(\.advertisement)
    }

    mutating func miss(answer count: Int) -> [Advertisement] {
        reader.missed(answerBytes: count, at: now).map(\.advertisement)
    }

    mutating func wait(_ time: Duration) -> [Advertisement] {
        now = now + time
        return reader.tick(at: now).map(\.advertisement)
    }

    mutating func end(_ end: StreamEnd) -> [Advertisement] { reader.ended(end, at: now).map(\.advertisement) }

    private func cut(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        stride(from: 0, to: bytes.count, by: min(piece, max(1, bytes.count))).map {
            bytes[$0..<min(bytes.count, $0 + min(piece, bytes.count))]
        }
    }

    private mutating func chunk(
        _ bytes: ArraySlice<UInt8>, sequence: UInt32, startsStream: Bool
    ) -> TCPStream<Origin>.Chunk {
        now = now + .milliseconds(1)
        return TCPStream<Origin>.Chunk(
            bytes: bytes, sequence: sequence, acknowledged: nil, startsSegment: startsSegment,
            startsStream: startsStream, origin: Origin(mac: Wire.guestMAC, port: 1, time: now))
    }
}
