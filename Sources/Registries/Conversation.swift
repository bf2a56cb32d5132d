import Model
import Packets

/// One connection of a guest to a registry: both directions are put in order, and read by whoever understands them.
final class Conversation {
    struct Counts {
        var gaps = 0
        var skippedBytes = 0
        var messages = 0
        var parseErrors = 0
        var tlsStreams = 0
        var ignoredStreams = 0
    }

    private typealias Stream = TCPStream<Origin>

    private struct Ends {
        var guest = false
        var answers = false
        /// The reader knows that nothing follows from the registry.
        var registry = false
    }

    let tuple: FiveTuple
    private let allowed: AllowedDialects
    private let limits: Ear.Limits
    private var requests: Stream
    private var answers: Stream
    private var opening = Opening()
    private var reader: (any StreamReader)?
    /// Nothing is to be heard here.
    private var isIgnored = false
    /// Answers that acknowledge requests which are not in order yet, or that nobody reads yet.
    private var early: [Stream.Chunk] = []
    private var earlyBytes = 0
    /// Of answers that nobody read in time.
    private var droppedBytes = 0
    private var ends = Ends()
    private var resetDeadline: Instant?
    private var counts = Counts()
    private var told: [Told] = []

    /// - Parameter tuple: from the guest to the registry.
    init(_ tuple: FiveTuple, allowed: AllowedDialects, limits: Ear.Limits) {
        self.tuple = tuple
        self.allowed = allowed
        self.limits = limits
        requests = Stream(limits: limits.stream)
        answers = Stream(limits: limits.stream)
    }

    /// Bytes held back, roughly.
    var footprint: Int {
        requests.waitingBytes + answers.waitingBytes + earlyBytes + opening.heldBytes + (reader?.footprint ?? 0)
    }

    var deadline: Instant? {
        guard !isIgnored else { return nil }
        return [requests.deadline, answers.deadline, reader?.deadline, resetDeadline].compactMap { $0 }.min()
    }

    /// What came up since it was last taken.
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
    ) -> [Told] {
        guard !isIgnored else { return [] }
        let now = origin.time
        var asked: [Stream.Event] = []
        var answered: [Stream.Event] = []
        if header.flags.contains(.rst), resetDeadline == nil, isPlausible(reset: header, fromGuest: fromGuest) {
            // Frames that it overtook may still come.
            resetDeadline = now + limits.resetTimeout
        }
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
        return takeTold()
    }

    func tick(at now: Instant) -> [Told] {
        guard !isIgnored else { return [] }
        var asked: [Stream.Event] = []
        var answered: [Stream.Event] = []
        requests.wait(segments: 0, at: now, into: &asked)
        answers.wait(segments: 0, at: now, into: &answered)
        process(asked, answered, at: now)
        read(at: now) { $0.tick(at: now) }
        if let deadline = resetDeadline, deadline <= now {
            resetDeadline = nil
            finish([.reset], at: now)
        }
        return takeTold()
    }

    /// It is forgotten.
    ///
    /// - Parameter isOver: another connection has taken its place, so it has ended, unseen.
    func close(isOver: Bool, at now: Instant) -> [Told] {
        finish(isOver || resetDeadline != nil ? [.reset] : [], at: now)
        return takeTold()
    }

    private func takeTold() -> [Told] {
        counts.skippedBytes += opening.takeSkipped()
        if let new = reader?.takeCounts() { add(new) }
        defer { told = [] }
        return told
    }

    private func add(_ new: ReaderCounts) {
        counts.messages += new.messages
        counts.parseErrors += new.parseErrors
        counts.skippedBytes += new.skippedBytes
    }

    // MARK: - Both directions

    private func process(_ asked: [Stream.Event], _ answered: [Stream.Event], at now: Instant) {
        for event in asked where !isIgnored {
            switch event {
            case .data(let chunk): hear(request: chunk)
            case .gap(let bytes): requestGap(bytes, at: now)
            case .end:
                ends.guest = true
                read(at: now) { $0.ended(.guest, at: now) }
            }
        }
        for event in answered where !isIgnored {
            switch event {
            case .data(let chunk): enqueue(chunk)
            case .gap(let bytes): answerGap(bytes, at: now)
            case .end: ends.answers = true
            }
        }
        releaseAnswers(at: now)
        guard ends.answers, early.isEmpty, reader != nil else { return }
        if !ends.registry { read(at: now) { $0.ended(.registry, at: now) } }
        ends.registry = true
        if ends.guest { finish([], at: now) }
    }

    /// Lets the reader read, if there is one.
    private func read(at now: Instant, _ body: (any StreamReader) -> [Told]) {
        guard let reader, !isIgnored else { return }
        told += body(reader)
        if !reader.isListening { ignore() }
    }

    private func requestGap(_ bytes: Int, at now: Instant) {
        counts.gaps += 1
        counts.skippedBytes += bytes
        opening.breakOff()
        read(at: now) { $0.missed(requestBytes: bytes, at: now) }
    }

    private func answerGap(_ bytes: Int, at now: Instant) {
        counts.gaps += 1
        counts.skippedBytes += bytes
        releaseAnswers(all: true, at: now)
        if reader == nil {
            while !early.isEmpty { dropAnswer() }
            droppedBytes += bytes
        }
        read(at: now) { $0.missed(answerBytes: bytes, at: now) }
    }

    /// Tells the reader that it is over, and why, and begins anew.
    private func finish(_ how: [StreamEnd], at now: Instant) {
        for end in how + [.forgotten] { read(at: now) { $0.ended(end, at: now) } }
        if let new = reader?.takeCounts() { add(new) }
        leave()
    }

    private func leave() {
        reader = nil
        counts.skippedBytes += opening.takeSkipped()
        opening = Opening()
        early = []
        earlyBytes = 0
        droppedBytes = 0
        ends = Ends()
    }

    /// Nothing to be heard here: the state goes, and the caller is told to stop copying.
    private func ignore() {
        guard !isIgnored else { return }
        if let new = reader?.takeCounts() { add(new) }
        leave()
        requests.forget()
        answers.forget()
        counts.ignoredStreams += 1
        isIgnored = true
    }

    /// A reset that is off by more than a window is not the connection's (RFC 5961, 3).
    private func isPlausible(reset header: TCPHeader, fromGuest: Bool) -> Bool {
        guard let expected = fromGuest ? requests.expected : answers.expected else { return true }
        return abs(Int(Int32(bitPattern: header.sequence &- expected))) <= 65_535
    }

    // MARK: - Requests

    private func hear(request chunk: Stream.Chunk) {
        let now = chunk.origin.time
        guard reader == nil else { return read(at: now) { $0.hear(request: chunk) } }
        let choice = opening.take(chunk, limits: limits) { bytes, isStart in
            allowed.choice(bytes, isStart: isStart, of: tuple, limits: limits)
        }
        switch choice {
        case .tooShort: break
        case .reader(let chosen): begin(chosen, at: now)
        case .nobody: ignore()
        case .tls:
            counts.tlsStreams += 1
            ignore()
        }
    }

    private func begin(_ chosen: any StreamReader, at now: Instant) {
        let held = opening.held
        counts.skippedBytes += opening.takeSkipped()
        opening = Opening()
        reader = chosen
        if droppedBytes > 0 { read(at: now) { $0.missed(answerBytes: droppedBytes, at: now) } }
        droppedBytes = 0
        // What the registry said before: some speak first.
        while let answer = early.first, let asked = held.first, isBefore(answer, asked) { releaseFirst() }
        for chunk in held { read(at: now) { $0.hear(request: chunk) } }
    }

    private func isBefore(_ answer: Stream.Chunk, _ request: Stream.Chunk) -> Bool {
        answer.acknowledged.map { Int32(bitPattern: $0 &- request.sequence) <= 0 } ?? true
    }

    // MARK: - Answers

    private func enqueue(_ chunk: Stream.Chunk) {
        early.append(chunk)
        earlyBytes += chunk.bytes.count
    }

    /// An answer that acknowledges request bytes which are still out of order waits for them; all wait for a reader.
    private func releaseAnswers(all: Bool = false, at now: Instant) {
        guard reader != nil else {
            // Bytes that come one by one take more room than they say.
            while earlyBytes > limits.joinedBytes || early.count > limits.stream.waitingSegments { dropAnswer() }
            return
        }
        while let chunk = early.first, reader != nil {
            let isEarly: Bool
            if let acknowledged = chunk.acknowledged, let expected = requests.expected {
                let ahead = Int32(bitPattern: acknowledged &- expected)
                isEarly = ahead > 0 && Int(ahead) <= limits.stream.reach && requests.deadline != nil
            } else {
                isEarly = false
            }
            let hasRoom = earlyBytes <= limits.stream.waitingBytes && early.count <= limits.stream.waitingSegments
            if isEarly && !all && hasRoom { return }
            releaseFirst()
        }
    }

    private func releaseFirst() {
        let chunk = early.removeFirst()
        earlyBytes -= chunk.bytes.count
        read(at: chunk.origin.time) { $0.hear(answer: chunk) }
    }

    private func dropAnswer() {
        let count = early.removeFirst().bytes.count
        earlyBytes -= count
        droppedBytes += count
    }
}
