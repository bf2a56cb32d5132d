import Model
import Packets

/// Reads gRPC over one plaintext HTTP/2 connection, both ways, also from the middle on: a call whose beginning was not
/// seen has no method then, and its dialect may know its messages by what they hold.
final class HTTP2Reader: StreamReader {
    private struct Side {
        var frames = HTTP2Frames()
        var headers = HTTP2Headers()
    }

    /// Calls that one connection may have under way; the longest unused goes for a new one.
    private static let mostCalls = 256
    /// Messages of the longest kind that all calls together may hold back.
    private static let mostBodies = 4
    /// REFUSED_STREAM (RFC 9113, section 7): the server did nothing with the request.
    private static let refusedStream: UInt32 = 7

    private(set) var isListening = true
    private let dialects: [any GRPCDialect]
    private let connection: FiveTuple
    private let place: RegistryPlace
    private let limits: Ear.Limits
    private var requests = Side()
    private var answers = Side()
    private var calls = LeastRecent<UInt32, GRPCCall>(capacity: mostCalls)
    private var callBytes = 0
    private var nextDeadline: Instant?
    private var hasEnded = false
    private var isFamiliar = false
    /// Of requests, while nothing was familiar.
    private var strangeBytes = 0
    private var strangeCalls = 0
    private var lastOrigin: Origin?
    private var counts = ReaderCounts()
    /// What was counted by sides and is taken already.
    private var taken = ReaderCounts()
    private var told: [Told] = []

    init(dialects: [any GRPCDialect], connection: FiveTuple, limits: Ear.Limits) {
        self.dialects = dialects
        self.connection = connection
        self.limits = limits
        place = RegistryPlace(of: connection)
    }

    var footprint: Int {
        callBytes + requests.frames.heldBytes + answers.frames.heldBytes + requests.headers.footprint
            + answers.headers.footprint
    }

    var deadline: Instant? { nextDeadline }

    func takeCounts() -> ReaderCounts {
        let skipped = requests.frames.skippedBytes + answers.frames.skippedBytes
        let errors = requests.frames.errors + answers.frames.errors
        counts.skippedBytes += skipped - taken.skippedBytes
        counts.parseErrors += errors - taken.parseErrors
        taken.skippedBytes = skipped
        taken.parseErrors = errors
        defer { counts = ReaderCounts() }
        return counts
    }

    private func takeTold(at now: Instant) -> [Told] {
        if requests.frames.errors + answers.frames.errors > limits.parseErrors { giveUp(at: now) }
        defer { told = [] }
        return told
    }

    // MARK: - Requests

    func hear(request chunk: TCPStream<Origin>.Chunk) -> [Told] {
        guard isListening else { return [] }
        lastOrigin = chunk.origin
        if chunk.startsStream { requests.frames.begin() }
        if !isFamiliar { strangeBytes += chunk.bytes.count }
        for event in requests.frames.read(chunk.bytes, startsSegment: chunk.startsSegment) {
            hear(request: event, from: chunk.origin)
        }
        if !isFamiliar, strangeBytes > (strangeCalls > 0 ? limits.earlyBytes : limits.joinedBytes) {
            giveUp(at: chunk.origin.time)
        }
        return takeTold(at: chunk.origin.time)
    }

    private func hear(request event: HTTP2Frames.Event, from origin: Origin) {
        let now = origin.time
        switch event {
        case .preface: begin(at: now)
        case .headers(let stream, let block):
            guard let fields = Self.read(block, by: &requests.headers) else { return countError() }
            if stream % 2 == 1, calls.peek(stream) == nil { open(stream, fields[":path"], isWhole: true, at: now) }
        case .data(let stream, let bytes, let frameLength):
            if calls.peek(stream) == nil {
                // Begun before anybody listened; a frame that is none of its messages' beginning is no reason.
                guard stream % 2 == 1, frameLength != nil else { return }
                open(stream, nil, isWhole: false, at: now)
            }
            change(stream, at: now) { call in
                call.hear(request: bytes, frameLength: frameLength, from: origin)
            }
        case .ended(let stream):
            change(stream, at: now) { call in
                call.endRequests()
                return []
            }
        // The guest is no longer interested; what became of it nobody knows.
        case .reset(let stream, _): drop(stream, at: now) { $0.settleAll(with: nil) }
        case .goAway: break
        case .lost: lostRequests(at: now)
        }
    }

    /// On the addresses and ports of an older connection, whose end was not seen.
    private func begin(at now: Instant) {
        for stream in calls.keys.sorted() { drop(stream, at: now) { $0.settleAll(with: nil) } }
        requests.headers.forget()
        answers.headers.forget()
        hasEnded = false
        for dialect in dialects { dialect.began(connection) }
    }

    private func open(_ stream: UInt32, _ method: String?, isWhole: Bool, at now: Instant) {
        var isRead = true
        if let method {
            let isKnown = dialects.contains { $0.knows(method: method) }
            isFamiliar = isFamiliar || isKnown
            if !isKnown { strangeCalls += 1 }
            isRead = dialects.contains { $0.reads(method: method) }
        }
        let call = GRPCCall(method: method, isRead: isRead, isWhole: isWhole, limits: limits)
        callBytes += call.footprint
        if let evicted = calls.set(stream, call) {
            callBytes -= evicted.value.footprint
            tell(evicted.value.settleAll(with: nil), at: now)
        }
    }

    func missed(requestBytes: Int, at now: Instant) -> [Told] {
        requests.frames.lose()
        lostRequests(at: now)
        return takeTold(at: now)
    }

    private func lostRequests(at now: Instant) {
        requests.headers.forget()
        for stream in calls.keys.sorted() {
            change(stream, at: now) { call in
                call.missedRequests()
                return []
            }
        }
    }

    // MARK: - Answers

    func hear(answer chunk: TCPStream<Origin>.Chunk) -> [Told] {
        guard isListening else { return [] }
        let now = chunk.origin.time
        if chunk.startsStream { answers.frames.begin() }
        for event in answers.frames.read(chunk.bytes, startsSegment: chunk.startsSegment) {
            hear(answer: event, at: now)
        }
        return takeTold(at: now)
    }

    private func hear(answer event: HTTP2Frames.Event, at now: Instant) {
        switch event {
        case .preface: break
        case .headers(let stream, let block):
            guard let fields = Self.read(block, by: &answers.headers) else { return countError() }
            change(stream, at: now) { call in
                call.hear(answerHeaders: fields)
                return []
            }
        case .data(let stream, let bytes, let frameLength):
            change(stream, at: now) { $0.hear(answer: bytes, frameLength: frameLength) }
        case .ended(let stream): drop(stream, at: now) { $0.endAnswers() }
        case .reset(let stream, let code):
            drop(stream, at: now) { call in
                code == Self.refusedStream ? call.endAnswers(isRefused: true) : call.settleAll(with: nil)
            }
        case .goAway(let last):
            for stream in calls.keys.sorted() where stream > last {
                drop(stream, at: now) { $0.endAnswers(isRefused: true) }
            }
        case .lost: lostAnswers(at: now)
        }
    }

    func missed(answerBytes: Int, at now: Instant) -> [Told] {
        answers.frames.lose()
        lostAnswers(at: now)
        return takeTold(at: now)
    }

    private func lostAnswers(at now: Instant) {
        answers.headers.forget()
        for stream in calls.keys.sorted() { change(stream, at: now) { $0.missedAnswers() } }
    }

    private func countError() { counts.parseErrors += 1 }

    /// Nil where the block is none. What is not known of a table is not known of it any more.
    private static func read(_ block: [UInt8]?, by headers: inout HTTP2Headers) -> [String: String]? {
        guard let block else {
            headers.forget()
            return nil
        }
        return headers.read(block)
    }

    // MARK: - Ends

    func ended(_ end: StreamEnd, at now: Instant) -> [Told] {
        switch end {
        // Answers may still come.
        case .guest: endConnection(at: now)
        case .registry, .reset:
            settleEverything(at: now)
            endConnection(at: now)
        case .forgotten: settleEverything(at: now)
        }
        return takeTold(at: now)
    }

    private func settleEverything(at now: Instant) {
        for stream in calls.keys.sorted() { drop(stream, at: now) { $0.settleAll(with: nil) } }
        nextDeadline = nil
    }

    private func endConnection(at now: Instant) {
        guard !hasEnded, let origin = lastOrigin else { return }
        hasEnded = true
        for dialect in dialects {
            for advertisement in dialect.ended(connection) { tell(advertisement, origin, at: now) }
        }
    }

    private func giveUp(at now: Instant) {
        isListening = false
        settleEverything(at: now)
    }

    func tick(at now: Instant) -> [Told] {
        guard let due = nextDeadline, due <= now else { return [] }
        nextDeadline = nil
        for stream in calls.keys.sorted() { change(stream, at: now) { $0.tick(at: now) } }
        return takeTold(at: now)
    }

    // MARK: - Calls

    private func change(_ stream: UInt32, at now: Instant, _ body: (GRPCCall) -> [GRPCCall.Settlement]) {
        guard let call = calls.find(stream) else { return }
        let before = (call.footprint, call.messages, call.unreadable)
        let settled = body(call)
        callBytes += call.footprint - before.0
        counts.messages += call.messages - before.1
        counts.parseErrors += call.unreadable - before.2
        if let deadline = call.deadline { nextDeadline = min(deadline, nextDeadline ?? deadline) }
        tell(settled, at: now)
        while callBytes > Self.mostBodies * limits.bodyBytes, let oldest = calls.oldestKey,
            let call = calls.remove(oldest)
        {
            callBytes -= call.footprint
            tell(call.settleAll(with: nil), at: now)
        }
    }

    private func drop(_ stream: UInt32, at now: Instant, _ body: (GRPCCall) -> [GRPCCall.Settlement]) {
        change(stream, at: now, body)
        if let call = calls.remove(stream) { callBytes -= call.footprint }
    }

    private func tell(_ settled: [GRPCCall.Settlement], at now: Instant) {
        for settlement in settled {
            for dialect in dialects {
                if let method = settlement.exchange.method, !dialect.reads(method: method) { continue }
                let advertisements = dialect.settled(settlement.exchange, on: connection)
                guard !advertisements.isEmpty else { continue }
                isFamiliar = true
                for advertisement in advertisements { tell(advertisement, settlement.origin, at: now) }
                break
            }
        }
    }

    private func tell(_ advertisement: Advertisement, _ origin: Origin, at now: Instant) {
        told.append(
            Told(
                advertisement: advertisement, guest: connection.source, registry: place, origin: origin, time: now))
    }
}
