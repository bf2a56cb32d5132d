import Model
import Packets

/// One connection of a guest to a registry: both directions put in order, cut into stretches of HTTP that can be
/// trusted to pair, and what was settled on them.
final class Conversation {
    struct Counts {
        var gaps = 0
        var skippedBytes = 0
        var messages = 0
        var parseErrors = 0
        var tlsStreams = 0
        var ignoredStreams = 0
    }

    let tuple: FiveTuple
    let dialect: any HTTPDialect
    private(set) var isIgnored = false
    /// What came up since it was last taken.
    private(set) var counts = Counts()

    private typealias Stream = TCPStream<Origin>
    private let place: RegistryPlace
    private let limits: Ear.Limits
    private var requests: Stream
    private var answers: Stream
    /// In the order of their answers. Requests go to the last.
    private var stretches: [HTTPExchanges] = []
    /// Answers that acknowledge requests which are not in order yet.
    private var early: [Stream.Chunk] = []
    private var earlyBytes = 0
    private var answersEnded = false
    /// The answers' next byte, in order, whatever was done with it.
    private var answersHeard: UInt32?
    private var requestBytes = 0
    private var isFamiliar = false
    private var errors = 0

    /// - Parameter tuple: from the guest to the registry.
    init(_ tuple: FiveTuple, dialect: any HTTPDialect, limits: Ear.Limits) {
        self.tuple = tuple
        self.dialect = dialect
        self.limits = limits
        place = RegistryPlace(network: tuple.network, address: tuple.destination, port: tuple.destinationPort)
        requests = Stream(limits: limits.stream)
        answers = Stream(limits: limits.stream)
    }

    var footprint: Int {
        requests.waitingBytes + answers.waitingBytes + earlyBytes + stretches.reduce(0) { $0 + $1.footprint }
    }

    var deadline: Instant? {
        ([requests.deadline, answers.deadline] + stretches.map(\.deadline)).compactMap { $0 }.min()
    }

    func takeCounts() -> Counts {
        defer { counts = Counts() }
        return counts
    }

    /// Would this SYN of the guest open another connection on the same addresses and ports?
    func isReplaced(by header: TCPHeader) -> Bool {
        guard header.flags.contains(.syn), let initial = requests.initialSequence else {
            return header.flags.contains(.syn)
        }
        return initial != header.sequence
    }

    func hear(
        _ header: TCPHeader, payload: UnsafeRawBufferPointer, fromGuest: Bool, origin: Origin
    ) -> [HTTPExchanges.Settlement] {
        guard !isIgnored else { return [] }
        let now = origin.time
        var asked: [Stream.Event] = []
        var answered: [Stream.Event] = []
        if fromGuest {
            requests.take(header, payload: payload, origin: origin, at: now, into: &asked)
            if header.flags.contains(.ack) { answers.acknowledged(header.acknowledged, at: now) }
        } else {
            answers.take(header, payload: payload, origin: origin, at: now, into: &answered)
            if header.flags.contains(.ack) { requests.acknowledged(header.acknowledged, at: now) }
        }
        requests.wait(segments: 1, at: now, into: &asked)
        answers.wait(segments: 1, at: now, into: &answered)
        process(asked, answered, at: now)
        if header.flags.contains(.rst) {
            for stretch in stretches { stretch.hurry(until: now + limits.resetTimeout) }
        }
        return takeSettlements()
    }

    func tick(at now: Instant) -> [HTTPExchanges.Settlement] {
        var asked: [Stream.Event] = []
        var answered: [Stream.Event] = []
        requests.wait(segments: 0, at: now, into: &asked)
        answers.wait(segments: 0, at: now, into: &answered)
        process(asked, answered, at: now)
        for stretch in stretches { stretch.tick(at: now) }
        return takeSettlements()
    }

    /// It is forgotten: what waits is settled without an answer.
    func close(at now: Instant) -> [HTTPExchanges.Settlement] {
        for stretch in stretches { stretch.abandon(at: now) }
        return takeSettlements()
    }

    private func takeSettlements() -> [HTTPExchanges.Settlement] {
        var all = leftOver
        leftOver = []
        for stretch in stretches { all += stretch.takeSettlements() }
        if answersEnded { stretches.removeAll { $0.isDeaf && $0.pending.isEmpty } }
        while stretches.count > 1, let first = stretches.first, first.isDeaf, first.pending.isEmpty {
            stretches.removeFirst()
        }
        return all
    }

    // MARK: - Both directions

    private func process(_ asked: [Stream.Event], _ answered: [Stream.Event], at now: Instant) {
        for event in asked where !isIgnored {
            switch event {
            case .data(let chunk): hear(request: chunk)
            case .gap(let bytes): requestGap(bytes, at: now)
            case .end: break
            }
        }
        for event in answered where !isIgnored {
            switch event {
            case .data(let chunk): enqueue(chunk)
            case .gap(let bytes): answerGap(bytes, at: now)
            case .end: answersEnded = true
            }
        }
        releaseAnswers()
        if answersEnded && early.isEmpty {
            for stretch in stretches { stretch.answersEnded(at: now) }
        }
    }

    private func requestGap(_ bytes: Int, at now: Instant) {
        counts.gaps += 1
        counts.skippedBytes += bytes
        // What was under way is lost. Answers to earlier requests still pair, up to where the next stretch begins.
        if stretches.last?.isBetweenRequests == false { stretches.last?.abandon(at: now) }
        requestsBroken = true
    }

    private func answerGap(_ bytes: Int, at now: Instant) {
        counts.gaps += 1
        counts.skippedBytes += bytes
        releaseAnswers(all: true)
        for stretch in stretches { stretch.abandon(at: now) }
    }

    // MARK: - Requests

    /// The next request begins a new stretch.
    private var requestsBroken = true

    private func hear(request chunk: Stream.Chunk) {
        requestBytes += chunk.bytes.count
        // Answers that were lost for one stretch may be found again from the next request on.
        let mayRestart =
            stretches.last?.isDeaf == true && stretches.last?.isBetweenRequests == true && chunk.startsSegment
            && RequestStart.mayBegin(chunk.bytes)
        if requestsBroken || mayRestart, !restart(at: chunk) { return }
        guard let stretch = stretches.last else { return }
        let before = stretch.messages
        do {
            try stretch.hear(request: chunk.bytes, from: chunk.origin)
        } catch {
            broken(stretch, at: chunk.origin.time)
        }
        counts.messages += stretch.messages - before
        isFamiliar = isFamiliar || stretch.isFamiliar
        if !isFamiliar && stretch.hasHead && requestBytes > limits.earlyBytes { ignore(at: chunk.origin.time) }
    }

    /// Begins a stretch if a request begins here; else the bytes are skipped, and a stream that is no HTTP is given up.
    private func restart(at chunk: Stream.Chunk) -> Bool {
        guard chunk.startsSegment, RequestStart.mayBegin(chunk.bytes) else {
            counts.skippedBytes += chunk.bytes.count
            if chunk.startsSegment && RequestStart.isTLS(chunk.bytes) {
                counts.tlsStreams += 1
                ignore(at: chunk.origin.time)
            } else if chunk.startsStream || (!isFamiliar && requestBytes > limits.joinedBytes) {
                ignore(at: chunk.origin.time)
            }
            return false
        }
        guard
            let stretch = HTTPExchanges(
                dialect: dialect, place: place, limits: limits, answersFrom: chunk.acknowledged)
        else { return false }
        requestsBroken = false
        if stretches.count >= limits.stretches {
            let oldest = stretches.removeFirst()
            oldest.abandon(at: chunk.origin.time)
            leftOver += oldest.takeSettlements()
        }
        // Its first answer went by already, unread: nothing on this stretch can be paired.
        if let from = chunk.acknowledged, let heard = answersHeard, Int32(bitPattern: heard &- from) > 0 {
            stretch.abandon(at: chunk.origin.time)
        }
        stretches.append(stretch)
        return true
    }

    private var leftOver: [HTTPExchanges.Settlement] = []

    private func broken(_ stretch: HTTPExchanges, at now: Instant) {
        counts.parseErrors += 1
        errors += 1
        stretch.abandon(at: now)
        requestsBroken = true
        if errors > limits.parseErrors { ignore(at: now) }
    }

    /// Nothing to be heard here: the state goes, and the caller is told to stop copying.
    private func ignore(at now: Instant) {
        for stretch in stretches {
            stretch.abandon(at: now)
            leftOver += stretch.takeSettlements()
        }
        counts.ignoredStreams += 1
        isIgnored = true
        stretches = []
        early = []
        earlyBytes = 0
    }

    // MARK: - Answers

    private func enqueue(_ chunk: Stream.Chunk) {
        early.append(chunk)
        earlyBytes += chunk.bytes.count
    }

    /// An answer that acknowledges request bytes which are still out of order waits for them.
    private func releaseAnswers(all: Bool = false) {
        while let chunk = early.first {
            let isEarly: Bool
            if let acknowledged = chunk.acknowledged, let expected = requests.expected {
                let ahead = Int32(bitPattern: acknowledged &- expected)
                isEarly = ahead > 0 && Int(ahead) <= limits.stream.reach && requests.deadline != nil
            } else {
                isEarly = false
            }
            if isEarly && !all && earlyBytes <= limits.stream.waitingBytes { return }
            early.removeFirst()
            earlyBytes -= chunk.bytes.count
            hear(answer: chunk)
        }
    }

    private func hear(answer chunk: Stream.Chunk) {
        var bytes = chunk.bytes
        var sequence = chunk.sequence
        answersHeard = sequence &+ UInt32(bytes.count)
        for (index, stretch) in stretches.enumerated() {
            // Before this stretch: answers to what was not understood.
            if let from = stretch.answersFrom {
                let before = Int(Int32(bitPattern: from &- sequence))
                if before >= bytes.count { return }
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
            if bytes.isEmpty { return }
            stretch.abandon(at: chunk.origin.time)
        }
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
}

/// What the first bytes of a message tell.
enum RequestStart {
    private static let methods = ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"]
        .map { Array("\($0) ".utf8) }

    /// Could an HTTP/1 request begin so? Fewer bytes than a method has are given the benefit of the doubt.
    static func mayBegin(_ bytes: ArraySlice<UInt8>) -> Bool {
        !bytes.isEmpty && methods.contains { $0.starts(with: bytes.prefix($0.count)) }
    }

    /// A TLS record (RFC 8446, 5.1) of any kind.
    static func isTLS(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.count >= 3, let kind = bytes.first else { return false }
        return (20...23).contains(kind) && bytes[bytes.startIndex + 1] == 3 && bytes[bytes.startIndex + 2] <= 4
    }
}
