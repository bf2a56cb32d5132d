/// The nine bytes before each frame's payload (RFC 9113, 4.1).
struct HTTP2FrameHeader: Equatable {
    enum Kind: UInt8 {
        case data, headers, priority, rstStream, settings, pushPromise, ping, goAway, windowUpdate, continuation
    }

    static let length = 9
    /// What a client sends before its first frame (RFC 9113, 3.4).
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    static let prefaceStart = Array(preface.prefix(length))
    /// Of a payload; a peer that allows more is rare, and answered so more rarely.
    private static let usualPayload = 16_384

    var payloadLength: Int
    /// Nil: an extension's, to be passed over.
    var kind: Kind?
    var flags: UInt8
    var stream: UInt32

    /// - Parameter bytes: at least nine.
    init(_ bytes: some Collection<UInt8>) {
        let bytes = Array(bytes.prefix(Self.length))
        func number(_ range: Range<Int>) -> UInt32 {
            bytes[range.clamped(to: bytes.indices)].reduce(0) { $0 << 8 | UInt32($1) }
        }
        payloadLength = Int(number(0..<3))
        kind = Kind(rawValue: UInt8(truncatingIfNeeded: number(3..<4)))
        flags = UInt8(truncatingIfNeeded: number(4..<5))
        stream = number(5..<9) & 0x7fff_ffff
    }

    var endsStream: Bool { flags & 0x1 != 0 }
    var endsHeaders: Bool { flags & 0x4 != 0 }
    var isPadded: Bool { flags & 0x8 != 0 }
    var hasPriority: Bool { flags & 0x20 != 0 }

    /// Could a peer mean this? What RFC 9113 (section 6) calls a connection error ends it.
    var isPlausible: Bool {
        switch kind {
        case .data: stream != 0 && (!isPadded || payloadLength > 0)
        case .headers: stream != 0 && payloadLength >= (isPadded ? 1 : 0) + (hasPriority ? 5 : 0)
        case .priority: stream != 0 && payloadLength == 5
        case .rstStream: stream != 0 && payloadLength == 4
        case .settings: stream == 0 && payloadLength % 6 == 0 && (!endsStream || payloadLength == 0)
        case .pushPromise: stream != 0 && payloadLength >= 4 + (isPadded ? 1 : 0)
        case .ping: stream == 0 && payloadLength == 8
        case .goAway: stream == 0 && payloadLength >= 8
        case .windowUpdate: payloadLength == 4
        case .continuation: stream != 0
        case nil: true
        }
    }

    // MARK: - Where frames begin

    /// Could bytes in the middle of a connection be this header, and nothing else? Stricter: only what gRPC's peers send.
    private var isLikely: Bool {
        guard isPlausible, let kind, payloadLength <= Self.usualPayload else { return false }
        let allowed: UInt8 =
            switch kind {
            case .data: 0x9
            case .headers: 0x2d
            case .settings, .ping: 0x1
            case .continuation: 0x4
            default: 0
            }
        // Streams are the client's, which have odd numbers.
        return flags & ~allowed == 0 && kind != .pushPromise && (stream == 0 || stream % 2 == 1)
    }

    private enum Chain {
        /// So many frames that follow each other, the last to the very end, or beyond it.
        case whole(Int)
        case open(Int)
        case none
    }

    /// Enough frames that follow each other to be sure.
    private static let certain = 8

    private static func chain(in bytes: ArraySlice<UInt8>) -> Chain {
        var rest = bytes
        var count = 0
        while count < certain {
            if rest.isEmpty { return count > 0 ? .whole(count) : .none }
            guard rest.count >= length else { return .open(count) }
            let header = HTTP2FrameHeader(rest)
            guard header.isLikely else { return .none }
            count += 1
            guard rest.count >= length + header.payloadLength else { return .open(count) }
            rest = rest.dropFirst(length + header.payloadLength)
        }
        return .whole(count)
    }

    /// Where the first frame begins that further ones, or the segment's end, bear out. Nil: nowhere.
    static func beginning(in bytes: ArraySlice<UInt8>, startsSegment: Bool) -> Int? {
        if startsSegment {
            if bytes.starts(with: prefaceStart) { return bytes.startIndex }
            switch chain(in: bytes) {
            case .whole, .open(1...): return bytes.startIndex
            case .open, .none: break
            }
        }
        for index in bytes.indices.dropLast(length - 1) {
            switch chain(in: bytes[index...]) {
            case .whole, .open(2...): return index
            case .open, .none: continue
            }
        }
        return nil
    }

    /// Does a guest's stream that shows these bytes speak HTTP/2?
    static func recognition(of bytes: ArraySlice<UInt8>, isStart: Bool) -> Recognition {
        if isStart {
            if bytes.starts(with: preface) { return .yes }
            return preface.starts(with: bytes) ? .tooShort : .no
        }
        if bytes.starts(with: preface) { return .yes }
        if bytes.count < length { return preface.starts(with: bytes) || bytes.first == 0 ? .tooShort : .no }
        return beginning(in: bytes, startsSegment: true) == bytes.startIndex ? .yes : .no
    }
}
