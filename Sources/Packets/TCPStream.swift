public import Model

/// One direction of a TCP connection, put in order as a bystander sees it: segments may come split, merged, repeated,
/// overlapping, out of order, or not at all, and the stream may be older than its observer. The first copy of a byte
/// counts. `Origin` is what the caller wants to know again of the frame that brought a byte.
public struct TCPStream<Origin> {
    public struct Chunk {
        public var bytes: ArraySlice<UInt8>
        /// Of the first byte.
        public var sequence: UInt32
        /// What the segment's sender had received of the other direction; nil without the flag.
        public var acknowledged: UInt32?
        /// The first byte is the first of its segment: programs mostly begin a message there.
        public var startsSegment: Bool
        /// The first byte is the first of the connection.
        public var startsStream: Bool
        public var origin: Origin
    }

    public enum Event {
        case data(Chunk)
        /// This many bytes will not be seen.
        case gap(Int)
        /// FIN: nothing follows.
        case end
    }

    private struct Waiting {
        var chunk: Chunk
        var fin: Bool
    }

    public let limits: TCPStreamLimits
    /// The next byte wanted; nil until the stream is joined.
    public private(set) var expected: UInt32?
    public private(set) var hasEnded = false
    /// Bytes held back because something before them is missing.
    public private(set) var waitingBytes = 0
    /// Segments so far off that they belong to another connection or to nobody.
    public private(set) var strays = 0
    private var waiting: [Waiting] = []
    private var initial: UInt32?
    private var isFresh = false
    private var acknowledgedBeyond: UInt32?
    private var holeSince: Instant?
    private var holeSegments = 0
    private var straysInARow = 0

    public init(limits: TCPStreamLimits = TCPStreamLimits()) { self.limits = limits }

    /// The initial sequence number, where the SYN was seen.
    public var initialSequence: UInt32? { initial }

    /// A segment of this direction.
    public mutating func take(
        _ header: TCPHeader, payload: UnsafeRawBufferPointer, origin: Origin, at now: Instant,
        into events: inout [Event]
    ) {
        var sequence = header.sequence
        if header.flags.contains(.syn) {
            if initial != sequence { begin(at: sequence) }
            sequence &+= 1
        }
        let fin = header.flags.contains(.fin)
        guard !payload.isEmpty || fin else { return }
        if expected == nil { expected = sequence }
        let chunk = Chunk(
            bytes: ArraySlice(payload), sequence: sequence,
            acknowledged: header.flags.contains(.ack) ? header.acknowledged : nil, startsSegment: true,
            startsStream: false, origin: origin)
        guard isPlausible(chunk, into: &events) else { return }
        if distance(to: sequence) <= 0 {
            deliver(Waiting(chunk: chunk, fin: fin), into: &events)
            drain(into: &events)
        } else {
            hold(Waiting(chunk: chunk, fin: fin), at: now, into: &events)
        }
    }

    /// The other side says that it has received everything before `sequence`.
    public mutating func acknowledged(_ sequence: UInt32, at now: Instant) {
        guard !hasEnded, expected != nil, (1...limits.reach).contains(distance(to: sequence)) else { return }
        if let known = acknowledgedBeyond, Int32(bitPattern: sequence &- known) <= 0 { return }
        acknowledgedBeyond = sequence
        if holeSince == nil { beginHole(at: now) }
    }

    /// To be called with every segment of the connection, and from time to time: gives up on a hole that will not fill.
    public mutating func wait(segments: Int, at now: Instant, into events: inout [Event]) {
        guard let since = holeSince else { return }
        holeSegments += segments
        let waited = now - since
        let enough =
            acknowledgedBeyond != nil
            ? holeSegments >= limits.patienceSegments || waited >= limits.patience
            : waited >= limits.patienceUnacknowledged
        if enough { skip(at: now, into: &events) }
    }

    /// When `wait` will have something to do, if nothing else comes.
    public var deadline: Instant? {
        holeSince.map { $0 + (acknowledgedBeyond != nil ? limits.patience : limits.patienceUnacknowledged) }
    }

    // MARK: - Order

    private mutating func begin(at sequence: UInt32) {
        self = TCPStream(limits: limits)
        initial = sequence
        expected = sequence &+ 1
        isFresh = true
    }

    /// From the byte wanted next: negative for what is old, positive for what comes later.
    private func distance(to sequence: UInt32) -> Int {
        Int(Int32(bitPattern: sequence &- (expected ?? sequence)))
    }

    private mutating func isPlausible(_ chunk: Chunk, into events: inout [Event]) -> Bool {
        let distance = distance(to: chunk.sequence)
        // Behind a FIN nothing comes, before it only what was seen.
        guard abs(distance) > limits.reach || hasEnded && distance > 0 else {
            straysInARow = 0
            return !hasEnded
        }
        strays += 1
        straysInARow += 1
        guard straysInARow >= limits.straysToRejoin else { return false }
        // The connection's beginning was missed: another one lives on these addresses and ports now.
        straysInARow = 0
        forget()
        initial = nil
        isFresh = false
        hasEnded = false
        expected = chunk.sequence
        events.append(.gap(0))
        return true
    }

    private mutating func deliver(_ segment: Waiting, into events: inout [Event]) {
        let old = -distance(to: segment.chunk.sequence)
        var chunk = segment.chunk
        guard old >= 0, old <= chunk.bytes.count, !hasEnded else { return }
        if old < chunk.bytes.count {
            chunk.bytes = chunk.bytes.dropFirst(old)
            chunk.sequence = chunk.sequence &+ UInt32(old)
            chunk.startsSegment = old == 0
            chunk.startsStream = isFresh
            isFresh = false
            expected = chunk.sequence &+ UInt32(chunk.bytes.count)
            events.append(.data(chunk))
        }
        if segment.fin {
            expected = expected.map { $0 &+ 1 }
            hasEnded = true
            forget()
            events.append(.end)
        }
        if let beyond = acknowledgedBeyond, distance(to: beyond) <= 0 { acknowledgedBeyond = nil }
    }

    private mutating func drain(into events: inout [Event]) {
        while let first = waiting.first, distance(to: first.chunk.sequence) <= 0 {
            waiting.removeFirst()
            waitingBytes -= first.chunk.bytes.count
            deliver(first, into: &events)
        }
        if waiting.isEmpty && acknowledgedBeyond == nil { holeSince = nil }
    }

    private mutating func hold(_ segment: Waiting, at now: Instant, into events: inout [Event]) {
        let sequence = segment.chunk.sequence
        var place = waiting.count
        while place > 0, Int32(bitPattern: waiting[place - 1].chunk.sequence &- sequence) > 0 { place -= 1 }
        if place > 0, waiting[place - 1].chunk.sequence == sequence,
            waiting[place - 1].chunk.bytes.count >= segment.chunk.bytes.count,
            waiting[place - 1].fin || !segment.fin
        {
            return
        }
        waiting.insert(segment, at: place)
        waitingBytes += segment.chunk.bytes.count
        if holeSince == nil { beginHole(at: now) }
        while waiting.count > limits.waitingSegments || waitingBytes > limits.waitingBytes {
            skip(at: now, into: &events)
        }
    }

    private mutating func beginHole(at now: Instant) {
        holeSince = now
        holeSegments = 0
    }

    /// Over the hole, to what was seen behind it or, failing that, to what the other side acknowledged.
    private mutating func skip(at now: Instant, into events: inout [Event]) {
        let seen = waiting.first?.chunk.sequence
        let known = acknowledgedBeyond
        var target = seen ?? known
        if let seen, let known, Int32(bitPattern: seen &- known) > 0 { target = known }
        guard let target, distance(to: target) > 0 else {
            holeSince = nil
            acknowledgedBeyond = nil
            drain(into: &events)
            return
        }
        events.append(.gap(distance(to: target)))
        expected = target
        isFresh = false
        if known == target { acknowledgedBeyond = nil }
        drain(into: &events)
        if holeSince != nil { beginHole(at: now) }
    }

    /// Lets go of what is held back.
    public mutating func forget() {
        waiting = []
        waitingBytes = 0
        acknowledgedBeyond = nil
        holeSince = nil
    }
}

/// How much a stream holds back, and how long it waits for what is missing.
public struct TCPStreamLimits: Sendable {
    public var waitingBytes = 262_144
    public var waitingSegments = 256
    /// After the other side acknowledged the missing bytes: they did pass, the copy was lost.
    public var patienceSegments = 32
    public var patience = Duration.milliseconds(300)
    /// Where no acknowledgement is in view.
    public var patienceUnacknowledged = Duration.seconds(2)
    /// Bytes that a segment may be off and still belong to the stream: larger than windows are in practice.
    public var reach = 1 << 24
    public var straysToRejoin = 4

    public init() {}
}
