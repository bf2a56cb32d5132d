import Model
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Packets

/// Requests of one stretch of a connection, each with its answer, from a point where both directions stand between two
/// messages. Anything that breaks the pairing ends the stretch; whoever owns it begins a new one.
///
/// SwiftNIO's embedded event loop belongs to the thread that made it, so this does too.
final class HTTPExchanges {
    struct Exchange {
        var origin: Origin
        /// Who the path belongs to.
        var dialect: (any HTTPDialect)?
        /// Nil until the request is whole, and where it asks for nothing that is advertised.
        var asked: Asked?
        var isWhole = false
        var answer: HTTPAnswer?
        var answerIsWhole = false
        /// Without an answer by then it is settled without.
        var deadline: Instant
        var isSettled = false
        var bytes = 0
    }

    /// The answers' sequence number at which the first of them begins; nil: not known, the next that comes.
    let answersFrom: UInt32?
    private(set) var messages = 0
    private(set) var hasHead = false
    private(set) var isFamiliar = false
    /// The answers can no longer be told apart; requests are settled without.
    private(set) var isDeaf = false
    private(set) var pending: [Exchange] = []

    private let dialects: [any HTTPDialect]
    private let guest: IPAddress
    private let place: RegistryPlace
    private let limits: Ear.Limits
    private let requests: EmbeddedChannel
    private let answers: EmbeddedChannel
    private let answerDecoder: HTTPResponseDecoder
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var bodyIsCut = false
    private var answerBody: [UInt8] = []
    private var answerHead: HTTPResponseHead?
    /// Bytes since the last message ended: an upper bound of what the decoders hold.
    private var requestBytes = 0
    private var answerBytes = 0
    private var told: [Told] = []

    init?(dialects: [any HTTPDialect], connection: FiveTuple, limits: Ear.Limits, answersFrom: UInt32?) {
        self.dialects = dialects
        guest = connection.source
        place = RegistryPlace(of: connection)
        self.limits = limits
        self.answersFrom = answersFrom
        requests = EmbeddedChannel()
        answers = EmbeddedChannel()
        let requestDecoder = HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: Self.bounds)
        answerDecoder = HTTPResponseDecoder(
            leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .drop,
            limitConfiguration: Self.bounds)
        do {
            try requests.pipeline.syncOperations.addHandler(ByteToMessageHandler(requestDecoder))
            try answers.pipeline.syncOperations.addHandler(ByteToMessageHandler(answerDecoder))
        } catch {
            return nil
        }
    }

    static var bounds: NIOHTTPDecoderLimitConfiguration {
        var bounds = NIOHTTPDecoderLimitConfiguration()
        bounds.maxHeaderFieldSize = 16 * 1024
        bounds.maxHeaderListSize = 64 * 1024
        return bounds
    }

    /// A channel that is not closed keeps itself alive.
    deinit {
        _ = try? requests.finish(acceptAlreadyClosed: true)
        _ = try? answers.finish(acceptAlreadyClosed: true)
    }

    /// No request is under way.
    var isBetweenRequests: Bool { head == nil && requestBytes == 0 }
    var expectsAnswer: Bool { !pending.isEmpty }
    /// What is held, roughly: bodies, and what waits for its answer.
    var footprint: Int {
        min(requestBytes, limits.bodyBytes) + min(answerBytes, limits.bodyBytes) + pending.reduce(0) { $0 + $1.bytes }
    }
    var deadline: Instant? { pending.lazy.filter { !$0.isSettled && $0.isWhole }.map(\.deadline).min() }

    /// What was settled since it was last taken.
    func takeTold() -> [Told] {
        defer { told = [] }
        return told
    }

    // MARK: - Requests

    /// - Throws: NIO's parse error; the stretch is over then.
    func hear(request bytes: ArraySlice<UInt8>, from origin: Origin) throws {
        requestBytes += bytes.count
        try requests.writeInbound(ByteBuffer(bytes: bytes))
        while let part = try requests.readInbound(as: HTTPServerRequestPart.self) {
            switch part {
            case .head(let head): begin(head, from: origin)
            case .body(let buffer): take(buffer)
            case .end: finishRequest(at: origin.time)
            }
        }
    }

    private func begin(_ head: HTTPRequestHead, from origin: Origin) {
        self.head = head
        hasHead = true
        body = []
        bodyIsCut = false
        let request = request(head, body: nil)
        let dialect = dialects.first { $0.knows(path: request.path[...]) } ?? dialects.first { $0.mayKnow(request) }
        isFamiliar = isFamiliar || dialect != nil
        pending.append(Exchange(origin: origin, dialect: dialect, deadline: origin.time + limits.answerTimeout))
        if !isDeaf { answerDecoder.write(data: .head(head)) }
        if pending.count > limits.pendingRequests { abandon(at: origin.time) }
    }

    private func take(_ buffer: ByteBuffer) {
        guard !bodyIsCut, body.count + buffer.readableBytes <= limits.bodyBytes else {
            bodyIsCut = true
            body = []
            return
        }
        body.append(contentsOf: buffer.readableBytesView)
    }

    private func finishRequest(at now: Instant) {
        defer {
            head = nil
            body = []
            requestBytes = 0
        }
        messages += 1
        guard let head, let index = pending.indices.last else { return }
        let plain =
            bodyIsCut ? nil : ContentCoding.plain(body, encoded: head.headers.coding, atMost: limits.bodyBytes)
        pending[index].asked = pending[index].dialect?.asked(request(head, body: plain), of: place)
        pending[index].isWhole = true
        pending[index].deadline = now + limits.answerTimeout
        pending[index].bytes = pending[index].asked == nil ? 0 : min(requestBytes, limits.bodyBytes)
        if isDeaf {
            settle(index, at: now)
            pending.removeAll { $0.isSettled }
        } else {
            settleAnswered(at: now)
        }
    }

    private func request(_ head: HTTPRequestHead, body: [UInt8]?) -> HTTPRequest {
        let names = head.headers.map { ($0.name.lowercased(), $0.value) }
        return HTTPRequest(
            method: head.method.rawValue, target: head.uri,
            headers: Dictionary(names, uniquingKeysWith: { first, _ in first }), body: body)
    }

    // MARK: - Answers

    /// - Throws: NIO's parse error, also for an answer that nobody asked for; call `abandon` then.
    func hear(answer bytes: ArraySlice<UInt8>, at now: Instant) throws {
        guard !isDeaf else { return }
        answerBytes += bytes.count
        defer { settleAnswered(at: now) }
        try answers.writeInbound(ByteBuffer(bytes: bytes))
        try readAnswers()
    }

    /// The registry closed: an answer without a length ends here. The rest is settled without.
    func answersEnded(at now: Instant) {
        guard !isDeaf else { return }
        _ = try? answers.finish(acceptAlreadyClosed: true)
        try? readAnswers()
        settleAnswered(at: now)
        abandon(at: now)
    }

    private func readAnswers() throws {
        while let part = try answers.readInbound(as: HTTPClientResponsePart.self) {
            guard let index = pending.firstIndex(where: { !$0.answerIsWhole }) else { return }
            switch part {
            case .head(let head):
                answerHead = head
                answerBody = []
                pending[index].answer = HTTPAnswer(status: Int(head.status.code), body: nil)
            case .body(let buffer):
                if answerBody.count + buffer.readableBytes <= answerRoom(pending[index]) {
                    answerBody.append(contentsOf: buffer.readableBytesView)
                } else {
                    answerHead = nil  // too long: its body is not read
                }
            case .end:
                messages += 1
                answerBytes = 0
                if let head = answerHead {
                    let room = answerRoom(pending[index])
                    pending[index].answer?.body =
                        ContentCoding.plain(answerBody, encoded: head.headers.coding, atMost: room)
                }
                pending[index].answerIsWhole = true
                answerBody = []
                answerHead = nil
            }
        }
    }

    /// Bytes of the answer's body that are wanted.
    private func answerRoom(_ exchange: Exchange) -> Int {
        guard exchange.asked != nil || !exchange.isWhole, let dialect = exchange.dialect else { return 0 }
        return type(of: dialect).answerBytes
    }

    // MARK: - Settling

    /// Nothing pairs any more: all that waits is settled without an answer.
    func abandon(at now: Instant) {
        isDeaf = true
        for index in pending.indices where pending[index].isWhole { settle(index, at: now) }
        pending.removeAll { $0.isWhole }
    }

    /// Settles without an answer what has waited for long enough. It stays in the queue: its answer may come late.
    func tick(at now: Instant) {
        for index in pending.indices where pending[index].isWhole && !pending[index].isSettled {
            if pending[index].deadline <= now { settle(index, at: now) }
        }
    }

    private func settleAnswered(at now: Instant) {
        for index in pending.indices where pending[index].isWhole {
            guard pending[index].answer != nil else { break }
            // The status line is the registry's word, unless the dialect must read on.
            if pending[index].answerIsWhole || pending[index].asked?.needsBody == false { settle(index, at: now) }
        }
        while let first = pending.first, first.isWhole, first.answerIsWhole { pending.removeFirst() }
    }

    private func settle(_ index: Int, at now: Instant) {
        // Once with its answer is enough; once without may be followed by a late answer.
        let answer = pending[index].answer
        guard !pending[index].isSettled || (answer != nil && pending[index].asked != nil) else { return }
        pending[index].isSettled = true
        guard let asked = pending[index].asked, let dialect = pending[index].dialect else { return }
        if answer != nil { pending[index].asked = nil }
        told += dialect.settled(asked, by: answer, of: place).map {
            Told(advertisement: $0, guest: guest, registry: place, origin: pending[index].origin, time: now)
        }
    }
}

extension HTTPHeaders {
    /// What was done to the body; nil: nothing.
    fileprivate var coding: String? {
        let names = self["content-encoding"]
        return names.isEmpty ? nil : names.joined(separator: ",")
    }
}
