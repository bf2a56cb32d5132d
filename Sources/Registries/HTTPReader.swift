import Model
import Packets

/// Reads HTTP/1: the connection is cut into stretches that can be trusted to pair. Each request is read by the first of
/// the dialects that knows its path.
final class HTTPReader: StreamReader {
    private typealias Chunk = TCPStream<Origin>.Chunk

    private(set) var isListening = true
    private let dialects: [any HTTPDialect]
    private let connection: FiveTuple
    private let limits: Ear.Limits
    /// In the order of their answers. Requests go to the last.
    private var stretches: [HTTPExchanges] = []
    /// The next request begins a new stretch.
    private var requestsBroken = true
    private var answersEnded = false
    /// The answers' next byte, in order, whatever was done with it.
    private var answersHeard: UInt32?
    private var requestBytes = 0
    private var isFamiliar = false
    private var errors = 0
    private var counts = ReaderCounts()
    private var leftOver: [Told] = []

    init(dialects: [any HTTPDialect], connection: FiveTuple, limits: Ear.Limits) {
        self.dialects = dialects
        self.connection = connection
        self.limits = limits
    }

    var footprint: Int { stretches.reduce(0) { $0 + $1.footprint } }
    var deadline: Instant? { stretches.compactMap(\.deadline).min() }

    func takeCounts() -> ReaderCounts {
        defer { counts = ReaderCounts() }
        return counts
    }

    func tick(at now: Instant) -> [Told] {
        for stretch in stretches { stretch.tick(at: now) }
        return takeTold()
    }

    func ended(_ end: StreamEnd, at now: Instant) -> [Told] {
        switch end {
        case .guest: break
        case .registry:
            answersEnded = true
            for stretch in stretches { stretch.answersEnded(at: now) }
        case .reset, .forgotten:
            for stretch in stretches { stretch.abandon(at: now) }
        }
        return takeTold()
    }

    private func takeTold() -> [Told] {
        var all = leftOver
        leftOver = []
        for stretch in stretches { all += stretch.takeTold() }
        if answersEnded { stretches.removeAll { $0.isDeaf && $0.pending.isEmpty } }
        while stretches.count > 1, let first = stretches.first, first.isDeaf, first.pending.isEmpty {
            stretches.removeFirst()
        }
        return all
    }

    // MARK: - Requests

    func hear(request chunk: TCPStream<Origin>.Chunk) -> [Told] {
        let now = chunk.origin.time
        requestBytes += chunk.bytes.count
        // Answers that were lost for one stretch may be found again from the next request on.
        let mayRestart =
            stretches.last?.isDeaf == true && stretches.last?.isBetweenRequests == true && begins(chunk)
        if requestsBroken || mayRestart, !restart(at: chunk) { return takeTold() }
        guard let stretch = stretches.last else { return takeTold() }
        let before = stretch.messages
        do {
            try stretch.hear(request: chunk.bytes, from: chunk.origin)
        } catch {
            broken(stretch, at: now)
        }
        counts.messages += stretch.messages - before
        isFamiliar = isFamiliar || stretch.isFamiliar
        if !isFamiliar && stretch.hasHead && requestBytes > limits.earlyBytes { giveUp(at: now) }
        if answersEnded { stretch.answersEnded(at: now) }
        return takeTold()
    }

    func missed(requestBytes: Int, at now: Instant) -> [Told] {
        // What was under way is lost. Answers to earlier requests still pair, up to where the next stretch begins.
        if stretches.last?.isBetweenRequests == false { stretches.last?.abandon(at: now) }
        requestsBroken = true
        return takeTold()
    }

    /// May a request begin here? Fewer bytes than a method has are given the benefit of the doubt.
    private func begins(_ chunk: Chunk) -> Bool {
        chunk.startsSegment && FirstBytes.http(chunk.bytes, isStart: chunk.startsStream) != .no
    }

    /// Begins a stretch if a request begins here; else the bytes are skipped.
    private func restart(at chunk: Chunk) -> Bool {
        let now = chunk.origin.time
        guard begins(chunk) else {
            counts.skippedBytes += chunk.bytes.count
            if !isFamiliar && requestBytes > limits.joinedBytes { giveUp(at: now) }
            return false
        }
        guard
            let stretch = HTTPExchanges(
                dialects: dialects, connection: connection, limits: limits, answersFrom: chunk.acknowledged)
        else { return false }
        requestsBroken = false
        if stretches.count >= limits.stretches {
            let oldest = stretches.removeFirst()
            oldest.abandon(at: now)
            leftOver += oldest.takeTold()
        }
        // Its first answer went by already, unread: nothing on this stretch can be paired.
        if let from = chunk.acknowledged, let heard = answersHeard, Int32(bitPattern: heard &- from) > 0 {
            stretch.abandon(at: now)
        }
        stretches.append(stretch)
        return true
    }

    private func broken(_ stretch: HTTPExchanges, at now: Instant) {
        counts.parseErrors += 1
        errors += 1
        stretch.abandon(at: now)
        requestsBroken = true
        if errors > limits.parseErrors { giveUp(at: now) }
    }

    private func giveUp(at now: Instant) {
        for stretch in stretches {
            stretch.abandon(at: now)
            leftOver += stretch.takeTold()
        }
        stretches = []
        isListening = false
    }

    // MARK: - Answers

    func hear(answer chunk: TCPStream<Origin>.Chunk) -> [Told] {
        var bytes = chunk.bytes
        var sequence = chunk.sequence
        answersHeard = sequence &+ UInt32(bytes.count)
        for (index, stretch) in stretches.enumerated() {
            // Before this stretch: answers to what was not understood.
            if let from = stretch.answersFrom {
                let before = Int(Int32(bitPattern: from &- sequence))
                if before >= bytes.count { break }
                if before > 0 {
                    bytes = bytes.dropFirst(before)
                    sequence = from
                }
            }
            var mine = bytes
            if index + 1 < stretches.count, let next = stretches[index + 1].answersFrom {
                mine = bytes.prefix(max(0, Int(Int32(bitPattern: next &- sequence))))
                bytes = bytes.dropFirst(mine.count)
                sequence = sequence &+ UInt32(mine.count)
            } else {
                bytes = []
            }
            if !mine.isEmpty { hear(answer: mine, on: stretch, at: chunk.origin.time) }
            // All that belongs to this stretch has passed.
            if bytes.isEmpty { break }
            stretch.abandon(at: chunk.origin.time)
        }
        return takeTold()
    }

    private func hear(answer bytes: ArraySlice<UInt8>, on stretch: HTTPExchanges, at now: Instant) {
        guard !stretch.isDeaf else { return }
        let before = stretch.messages
        do {
            try stretch.hear(answer: bytes, at: now)
        } catch {
            counts.parseErrors += 1
            stretch.abandon(at: now)
        }
        counts.messages += stretch.messages - before
    }

    func missed(answerBytes: Int, at now: Instant) -> [Told] {
        for stretch in stretches { stretch.abandon(at: now) }
        return takeTold()
    }
}
