import Model
import Packets

/// One call on a connection: its messages, and which of them wait for their answer.
final class GRPCCall {
    struct Waiting {
        var request: [UInt8]
        var origin: Origin
        /// Without an answer by then it is told without.
        var deadline: Instant
        var isTold = false
    }

    /// A request, its answer if one was seen, and the frame that brought it.
    struct Settlement {
        var exchange: GRPCExchange
        var origin: Origin
    }

    private let method: String?
    private let isRead: Bool
    private let limits: Ear.Limits
    private(set) var waiting: [Waiting] = []
    private var requests: GRPCMessages
    private var answers: GRPCMessages
    /// As the trailers told it, 0 for success.
    private var status: Int?
    private var httpStatus: Int?
    /// The last that came was a header block with an HTTP status: at the call's end it has failed.
    private var hasOnlyHead = false
    private var requestsEnded = false
    /// Messages, both ways.
    private(set) var messages = 0
    private(set) var unreadable = 0

    /// - Parameters:
    ///   - isRead: else it is known so that its data is not taken for another's.
    ///   - isWhole: it was seen from its beginning.
    init(method: String?, isRead: Bool, isWhole: Bool, limits: Ear.Limits) {
        self.method = method
        self.isRead = isRead
        self.limits = limits
        requests = GRPCMessages(limit: limits.bodyBytes, isAligned: isWhole)
        answers = GRPCMessages(limit: limits.bodyBytes, isAligned: isWhole)
    }

    var footprint: Int {
        requests.heldBytes + answers.heldBytes + waiting.reduce(0) { $0 + $1.request.count + 64 } + 256
    }
    var deadline: Instant? { waiting.lazy.filter { !$0.isTold }.map(\.deadline).min() }

    // MARK: - Requests

    func hear(request bytes: ArraySlice<UInt8>, frameLength: Int?, from origin: Origin) -> [Settlement] {
        guard isRead else { return [] }
        var settled: [Settlement] = []
        for message in requests.read(bytes, frameLength: frameLength) {
            messages += 1
            if message == nil { unreadable += 1 }
            // One that cannot be read keeps its place, as its answer will come.
            let deadline = origin.time + limits.answerTimeout
            waiting.append(
                Waiting(request: message ?? [], origin: origin, deadline: deadline, isTold: message == nil))
            if waiting.count > limits.pendingRequests { settled += settleFirst(with: nil) }
        }
        return settled
    }

    func endRequests() { requestsEnded = true }

    func missedRequests() { requests.lose() }

    // MARK: - Answers

    func hear(answer bytes: ArraySlice<UInt8>, frameLength: Int?) -> [Settlement] {
        guard isRead else { return [] }
        hasOnlyHead = false
        var settled: [Settlement] = []
        for message in answers.read(bytes, frameLength: frameLength) {
            messages += 1
            settled += settleFirst(with: GRPCAnswer(message: message, agrees: true))
        }
        return settled
    }

    func hear(answerHeaders fields: [String: String]) {
        httpStatus = fields[":status"].flatMap { Int($0) } ?? httpStatus
        status = fields["grpc-status"].flatMap { Int($0) } ?? status
        hasOnlyHead = fields[":status"] != nil
    }

    /// Nothing more will be answered.
    ///
    /// - Parameter isRefused: the registry did not even look at the call.
    func endAnswers(isRefused: Bool = false) -> [Settlement] {
        settleAll(with: GRPCAnswer(message: nil, agrees: isRefused || hasFailed ? false : nil))
    }

    /// A call that ends with its head alone has failed, even where its status cannot be read.
    private var hasFailed: Bool {
        if let status { return status != 0 }
        return (httpStatus ?? 200) != 200 || hasOnlyHead
    }

    /// Of a call that is still open nobody knows what the next answer answers.
    func missedAnswers() -> [Settlement] {
        answers.lose()
        hasOnlyHead = false
        return requestsEnded ? [] : settleAll(with: nil)
    }

    // MARK: - Settling

    func tick(at now: Instant) -> [Settlement] {
        var settled: [Settlement] = []
        for index in waiting.indices where !waiting[index].isTold && waiting[index].deadline <= now {
            waiting[index].isTold = true
            settled.append(settlement(of: waiting[index], with: nil))
        }
        return settled
    }

    func settleAll(with answer: GRPCAnswer?) -> [Settlement] {
        var settled: [Settlement] = []
        while !waiting.isEmpty { settled += settleFirst(with: answer) }
        return settled
    }

    private func settleFirst(with answer: GRPCAnswer?) -> [Settlement] {
        guard !waiting.isEmpty else { return [] }
        let first = waiting.removeFirst()
        // Told without an answer, it is told again with one that says something.
        guard !first.isTold || (answer?.agrees != nil && !first.request.isEmpty) else { return [] }
        return [settlement(of: first, with: answer)]
    }

    private func settlement(of waiting: Waiting, with answer: GRPCAnswer?) -> Settlement {
        Settlement(
            exchange: GRPCExchange(method: method, request: waiting.request, answer: answer), origin: waiting.origin)
    }
}
