/// Cuts one direction of a NATS connection (https://docs.nats.io/reference/reference-protocols/nats-protocol) into its
/// lines, and the payloads that some of them announce. After a loss it goes on with a line that begins as one may.
struct NATSLines {
    enum Verb: String, CaseIterable {
        case connect = "CONNECT"
        case pub = "PUB"
        case hpub = "HPUB"
        case sub = "SUB"
        case unsub = "UNSUB"
        case info = "INFO"
        case msg = "MSG"
        case hmsg = "HMSG"
        case ping = "PING"
        case pong = "PONG"
        case ok = "+OK"
        case error = "-ERR"

        static let guests: [Verb] = [.connect, .pub, .hpub, .sub, .unsub, .ping, .pong]
        static let servers: [Verb] = [.info, .msg, .hmsg, .ping, .pong, .ok, .error]

        var hasPayload: Bool { [.pub, .hpub, .msg, .hmsg].contains(self) }
        fileprivate var isAlone: Bool { [.ping, .pong, .ok].contains(self) }
    }

    struct Message {
        var verb: Verb
        var arguments: [String]
        /// Without its headers. Nil where it was not wanted, or not seen whole.
        var payload: [UInt8]?
    }

    private(set) var skippedBytes = 0
    /// Lines that are none.
    private(set) var errors = 0

    /// INFO and CONNECT are the longest; the server's bound on others is 4 KiB.
    static let longestLine = 65_536
    /// The server's own bound on max_payload.
    static let longestPayload = 64 << 20
    static let keptPayload = Bounds.longestValue
    private static let mostArguments = 16

    private let verbs: [Verb]
    private var held: [UInt8] = []
    /// Already searched for a line's end.
    private var searched = 0
    private var isLost: Bool
    /// Of the payload, with the line's end that follows it.
    private var rest = 0
    private var payload: Payload?

    private struct Payload {
        var message: Message
        var headerBytes: Int
        var bytes: [UInt8] = []
    }

    init(of verbs: [Verb], isLost: Bool) {
        self.verbs = verbs
        self.isLost = isLost
    }

    var heldBytes: Int { held.count + (payload?.bytes.count ?? 0) }

    mutating func takeCounts() -> (skippedBytes: Int, errors: Int) {
        defer { (skippedBytes, errors) = (0, 0) }
        return (skippedBytes, errors)
    }

    /// Does one of these lines begin so?
    static func begins(_ bytes: ArraySlice<UInt8>, with verbs: [Verb]) -> Recognition {
        var isOpen = false
        for verb in verbs {
            let name = Array(verb.rawValue.utf8)
            let written = bytes.prefix(name.count).map(upper)
            guard name.starts(with: written) else { continue }
            guard bytes.count > name.count else {
                isOpen = true
                continue
            }
            let next = bytes[bytes.startIndex + name.count]
            if verb.isAlone ? next == cr || next == lf : next == space || next == tab { return .yes }
        }
        return isOpen ? .tooShort : .no
    }

    /// - Parameters:
    ///   - startsSegment: programs mostly begin a line there.
    ///   - keeps: is its payload wanted?
    mutating func take(
        _ bytes: ArraySlice<UInt8>, startsSegment: Bool, keeps: (Message) -> Bool
    ) -> [Message] {
        if isLost, startsSegment, Self.begins(bytes, with: verbs) != .no {
            skippedBytes += held.count
            held = []
            isLost = false
        }
        held += bytes
        var messages: [Message] = []
        var start = 0
        while start < held.count {
            if rest > 0 {
                if let message = takePayload(&start) { messages.append(message) }
            } else if let end = lineEnd(from: start) {
                let line = held[start..<end]
                start = end + 1
                searched = start
                if let message = read(line, keeps: keeps) { messages.append(message) }
            } else {
                break
            }
        }
        held.removeFirst(start)
        searched = rest > 0 ? 0 : held.count
        if held.count > Self.longestLine { lose() }
        return messages
    }

    /// This many bytes will not be seen.
    mutating func missed(_ count: Int) {
        if rest >= count, held.isEmpty {
            rest -= count
            payload = nil
            return
        }
        skippedBytes += held.count
        held = []
        searched = 0
        payload = nil
        rest = 0
        isLost = true
    }

    private mutating func lineEnd(from start: Int) -> Int? {
        held[max(start, searched)...].firstIndex(of: Self.lf)
    }

    private mutating func lose() {
        errors += isLost ? 0 : 1
        skippedBytes += held.count
        held = []
        searched = 0
        isLost = true
    }

    private mutating func read(_ line: ArraySlice<UInt8>, keeps: (Message) -> Bool) -> Message? {
        // What is found again may be within a line or a payload: the next line may be one.
        guard Self.begins(line + [Self.cr], with: verbs) == .yes else {
            if isLost {
                skippedBytes += line.count + 1
            } else if line.contains(where: { $0 > Self.space }) {
                errors += 1
                isLost = true
            }
            return nil
        }
        isLost = false
        let text = line.last == Self.cr ? line.dropLast() : line
        let words = text.split(maxSplits: Self.mostArguments) { $0 == Self.space || $0 == Self.tab }
        guard let first = words.first, let verb = Verb(rawValue: String(decoding: first.map(Self.upper), as: UTF8.self))
        else { return nil }
        if verb == .error || verb == .info || verb == .connect {
            return Message(verb: verb, arguments: [String(decoding: text.dropFirst(first.count), as: UTF8.self)])
        }
        // What is no text names nothing, but a payload may follow it.
        let arguments = words.dropFirst().map { String(exactly: $0) ?? "" }
        let message = Message(verb: verb, arguments: arguments)
        guard verb.hasPayload else { return message }
        return announce(message, keeps: keeps)
    }

    /// The last argument is the payload's length, the one before it that of the headers in it.
    private mutating func announce(_ message: Message, keeps: (Message) -> Bool) -> Message? {
        let hasHeaders = message.verb == .hpub || message.verb == .hmsg
        guard let size = message.arguments.last.flatMap({ Int($0) }), (0...Self.longestPayload).contains(size),
            let headers = hasHeaders ? message.arguments.dropLast().last.flatMap({ Int($0) }) : 0,
            (0...size).contains(headers)
        else {
            errors += 1
            isLost = true
            return nil
        }
        rest = size + 2
        guard size <= Self.keptPayload, keeps(message) else { return message }
        payload = Payload(message: message, headerBytes: headers)
        return nil
    }

    private mutating func takePayload(_ start: inout Int) -> Message? {
        let count = min(rest, held.count - start)
        payload?.bytes += held[start..<start + count]
        start += count
        searched = start
        rest -= count
        guard rest == 0, let whole = payload else { return nil }
        payload = nil
        var message = whole.message
        message.payload = Array(whole.bytes.dropLast(2).dropFirst(whole.headerBytes))
        return message
    }

    private static let cr = UInt8(ascii: "\r")
    private static let lf = UInt8(ascii: "\n")
    private static let space = UInt8(ascii: " ")
    private static let tab = UInt8(ascii: "\t")

    private static func upper(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) ? byte - 32 : byte
    }
}
