/// One direction of a gRPC call, cut into its messages: a byte that says whether it is compressed, four bytes of length,
/// and the message.
struct GRPCMessages {
    /// Nil: it is too long, or its compression cannot be undone.
    typealias Message = [UInt8]?

    private static let headLength = 5

    /// Of one message, compressed and not.
    let limit: Int
    /// It is known where messages begin.
    private var isAligned: Bool
    private var head: [UInt8] = []
    private var body: [UInt8] = []
    private var left: Int?
    private(set) var skippedBytes = 0

    init(limit: Int, isAligned: Bool) {
        self.limit = limit
        self.isAligned = isAligned
    }

    var heldBytes: Int { head.count + body.count }
    /// A message is under way.
    var isWithin: Bool { !head.isEmpty || left != nil }

    /// Bytes are missing.
    mutating func lose() { self = GRPCMessages(limit: limit, isAligned: false) }

    /// - Parameter frameLength: of the DATA frame, where its first byte is the first here.
    mutating func read(_ bytes: ArraySlice<UInt8>, frameLength: Int?) -> [Message] {
        if !isAligned {
            guard let frameLength, Self.fits(bytes, in: frameLength) else {
                skippedBytes += bytes.count
                return []
            }
            isAligned = true
        }
        var rest = bytes
        var messages: [Message] = []
        while !rest.isEmpty {
            if left == nil {
                head += take(Self.headLength - head.count, of: &rest)
                guard head.count == Self.headLength else { break }
                left = Self.length(head[...])
            }
            let part = take(left ?? 0, of: &rest)
            let after = (left ?? 0) - part.count
            left = after
            if (Self.length(head[...]) ?? 0) <= limit { body += part }
            guard after == 0 else { break }
            messages.append(finish())
        }
        return messages
    }

    private mutating func finish() -> Message {
        defer {
            head = []
            body = []
            left = nil
        }
        guard let length = Self.length(head[...]), length <= limit else { return nil }
        return head.first == 0 ? body : Self.plain(body, atMost: limit)
    }

    private func take(_ count: Int, of rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let part = rest.prefix(max(0, count))
        rest = rest.dropFirst(part.count)
        return part
    }

    private static func length(_ head: ArraySlice<UInt8>) -> Int? {
        guard head.count >= headLength else { return nil }
        return head.dropFirst().prefix(4).reduce(0) { $0 << 8 | Int($1) }
    }

    /// Do messages fill the frame to its very end? They need not, but mostly do.
    private static func fits(_ bytes: ArraySlice<UInt8>, in frameLength: Int) -> Bool {
        var offset = 0
        while offset < frameLength {
            let head = bytes.dropFirst(offset)
            guard let flag = head.first, flag <= 1, let length = length(head) else { return false }
            offset += headLength + length
        }
        return offset == frameLength && offset > 0
    }

    /// Which of the two compressions that are common it is, a message tells itself: the header that names it may not
    /// have been seen.
    private static func plain(_ message: [UInt8], atMost limit: Int) -> [UInt8]? {
        message.starts(with: [0x1f, 0x8b])
            ? Inflation.run(message, .gzip, atMost: limit) : Inflation.run(message, .zlib, atMost: limit)
    }
}
