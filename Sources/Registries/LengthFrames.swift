/// Cuts a stream into messages that follow their own length (32 bits, big-endian). After a loss it goes on where a
/// message plausibly begins.
struct LengthFrames {
    struct Frame {
        /// Without the length.
        var bytes: ArraySlice<UInt8>
        /// False: its end is longer than what is kept, or was not seen.
        var isWhole: Bool
    }

    /// A frame's length is no more than this, or it is none.
    let longest: Int
    /// Bytes of a frame that are kept.
    let kept: Int
    private(set) var skippedBytes = 0
    /// Lengths that could not be.
    private(set) var errors = 0

    private var held: [UInt8] = []
    /// Of a frame whose beginning was handed out.
    private var rest = 0
    private var isLost: Bool

    private static let lengthBytes = 4
    private static let shortest = 8

    /// - Parameter isLost: the stream may have been joined within a message.
    init(longest: Int, kept: Int, isLost: Bool) {
        self.longest = longest
        self.kept = kept
        self.isLost = isLost
    }

    var heldBytes: Int { held.count }

    mutating func takeCounts() -> (skippedBytes: Int, errors: Int) {
        defer { (skippedBytes, errors) = (0, 0) }
        return (skippedBytes, errors)
    }

    /// - Parameter begins: does a frame, length and all, begin with these bytes? Only asked after a loss.
    mutating func take(
        _ bytes: ArraySlice<UInt8>, begins: (ArraySlice<UInt8>) -> Recognition
    ) -> [Frame] {
        let passed = min(rest, bytes.count)
        rest -= passed
        held += bytes.dropFirst(passed)
        var frames: [Frame] = []
        var start = 0
        while start < held.count, rest == 0 {
            if isLost, !find(from: &start, begins) { break }
            guard let length = length(at: start) else { break }
            guard (Self.shortest...longest).contains(length) else {
                errors += 1
                isLost = true
                continue
            }
            let first = start + Self.lengthBytes
            let available = held.count - first
            guard available >= min(length, kept) else { break }
            frames.append(Frame(bytes: held[first..<first + min(length, kept)], isWhole: length <= kept))
            rest = max(0, length - available)
            start = first + min(length, available)
        }
        held.removeFirst(start)
        return frames
    }

    /// This many bytes will not be seen. What is known of a frame that they belong to is handed out.
    mutating func missed(_ count: Int) -> Frame? {
        if rest > 0, count <= rest {
            rest -= count
            return nil
        }
        defer { held = [] }
        if !isLost, rest == 0, let length = length(at: 0), held.count + count <= Self.lengthBytes + length,
            held.count >= Self.lengthBytes + Self.shortest
        {
            rest = Self.lengthBytes + length - held.count - count
            return Frame(bytes: held[Self.lengthBytes...], isWhole: false)
        }
        skippedBytes += held.count
        rest = 0
        isLost = true
        return nil
    }

    /// Moves on to where a frame begins; false where more bytes are needed to know.
    private mutating func find(from start: inout Int, _ begins: (ArraySlice<UInt8>) -> Recognition) -> Bool {
        let first = start
        defer { skippedBytes += start - first }
        while start < held.count {
            switch begins(held[start...]) {
            case .yes:
                isLost = false
                return true
            case .tooShort: return false
            case .no: start += 1
            }
        }
        return false
    }

    private func length(at start: Int) -> Int? {
        var reader = JuteReader(held[min(start, held.count)...])
        return reader.int().map(Int.init)
    }
}
