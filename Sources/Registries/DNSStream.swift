import Model
import Packets

/// DNS on one TCP connection: messages behind their length (RFC 1035, 4.2.2), several under way, answered in any order
/// (RFC 7766, 6.2.1).
final class DNSStream: StreamReader {
    private let dialect: DNS
    private let connection: FiveTuple
    private var exchanges = DNSExchanges(messages: 256, bytes: 1 << 20)
    private var requests = DNSFrames(isAnswer: false)
    private var answers = DNSFrames(isAnswer: true)
    private var counts = ReaderCounts()
    private(set) var isListening = true
    private var errors = 0
    private static let mostErrors = 8

    init(_ connection: FiveTuple, of dialect: DNS) {
        self.connection = connection
        self.dialect = dialect
    }

    /// A length and a header that goes with it.
    static func recognizes(_ bytes: ArraySlice<UInt8>) -> Recognition {
        guard bytes.count >= DNSFrames.shortest else { return .tooShort }
        return DNSFrames.mayBegin(bytes, isAnswer: false) ? .yes : .no
    }

    func hear(request chunk: TCPStream<Origin>.Chunk) -> [Told] {
        messages(of: chunk, in: &requests).flatMap { message, id in
            dialect.ask(message[...], key(id), &exchanges, chunk.origin)
        }
    }

    func hear(answer chunk: TCPStream<Origin>.Chunk) -> [Told] {
        messages(of: chunk, in: &answers).flatMap { message, id in
            dialect.answer(message[...], key(id), &exchanges, at: chunk.origin.time)
        }
    }

    /// Messages whole, with their ids; what cannot be one here is counted, and the next one looked for.
    private func messages(
        of chunk: TCPStream<Origin>.Chunk, in frames: inout DNSFrames
    ) -> [(message: [UInt8], id: UInt16)] {
        let (messages, skipped) = frames.take(chunk)
        counts.skippedBytes += skipped
        var readable: [(message: [UInt8], id: UInt16)] = []
        for message in messages {
            guard let header = DNSHeader(message[...]), header.isAnswer == frames.isAnswer else {
                counts.parseErrors += 1
                errors += 1
                counts.skippedBytes += frames.lose()
                if errors > Self.mostErrors { isListening = false }
                break
            }
            counts.messages += 1
            readable.append((message, header.id))
        }
        return readable
    }

    func missed(requestBytes: Int, at now: Instant) -> [Told] {
        counts.skippedBytes += requests.lose()
        return []
    }

    /// What was asked before may have been answered there: it waits on, and is told as unanswered in the end.
    func missed(answerBytes: Int, at now: Instant) -> [Told] {
        counts.skippedBytes += answers.lose()
        return []
    }

    func ended(_ end: StreamEnd, at now: Instant) -> [Told] {
        switch end {
        // Questions may still be answered, or have been in frames that come late.
        case .guest, .reset: []
        case .registry, .forgotten: dialect.unanswered(exchanges.takeAll(), at: now)
        }
    }

    func tick(at now: Instant) -> [Told] { dialect.unanswered(exchanges.overdue(at: now), at: now) }

    var deadline: Instant? { exchanges.deadline }

    var footprint: Int { requests.held + answers.held + exchanges.bytes }

    func takeCounts() -> ReaderCounts {
        defer { counts = ReaderCounts() }
        return counts
    }

    private func key(_ id: UInt16) -> DNSExchanges.Key {
        DNSExchanges.Key(
            registry: RegistryPlace(of: connection),
            guest: connection.source, guestPort: connection.sourcePort, id: id)
    }
}

/// One direction's messages, each behind its length of two bytes.
struct DNSFrames {
    /// The length and the header.
    static let shortest = 2 + DNSHeader.size

    let isAnswer: Bool
    private var buffer: [UInt8] = []
    /// Nobody knows where a message begins until a segment looks like one.
    private var isLost = false

    init(isAnswer: Bool) { self.isAnswer = isAnswer }

    /// At most one message and its length, once `take` is through.
    var held: Int { buffer.count }

    /// Could a message begin so?
    static func mayBegin(_ bytes: ArraySlice<UInt8>, isAnswer: Bool) -> Bool {
        var cursor = DNSCursor(bytes)
        guard let length = cursor.number16(), let header = DNSHeader(bytes.dropFirst(2)) else { return false }
        // Each question takes five bytes or more, each record eleven.
        let least = DNSHeader.size + 5 * header.counts[0] + 11 * header.counts[1...].reduce(0, +)
        return header.isAnswer == isAnswer && header.opcode != nil && Int(length) >= least && header.counts[0] <= 16
    }

    /// Whole messages, and how many bytes were passed over before one began.
    mutating func take(_ chunk: TCPStream<Origin>.Chunk) -> (messages: [[UInt8]], skipped: Int) {
        if isLost {
            guard chunk.startsSegment, Self.mayBegin(chunk.bytes, isAnswer: isAnswer) else {
                return ([], chunk.bytes.count)
            }
            isLost = false
        }
        buffer += chunk.bytes
        var messages: [[UInt8]] = []
        var start = 0
        while buffer.count - start >= 2 {
            let end = start + 2 + (Int(buffer[start]) << 8 | Int(buffer[start + 1]))
            guard end <= buffer.count else { break }
            messages.append(Array(buffer[(start + 2)..<end]))
            start = end
        }
        buffer.removeFirst(start)
        return (messages, 0)
    }

    /// What follows is not what would have followed. Returns the bytes held, which are lost as well.
    mutating func lose() -> Int {
        defer { buffer = [] }
        isLost = true
        return buffer.count
    }
}
