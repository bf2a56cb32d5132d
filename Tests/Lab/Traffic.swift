import Foundation
import Synchronization

/// A client that asks for a page again and again, each time over a new connection, and counts what comes of it.
public final class Traffic: Sendable {
    public struct Tally: Sendable {
        public var answered = 0
        public var failed = 0
        /// How often each body came.
        public var bodies: [String: Int] = [:]
        /// How often each failure came.
        public var failures: [String: Int] = [:]
        public var slowest = Duration.zero

        /// For a failure's sentence.
        public var summary: String {
            let causes = failures.map { "\($0.value) times \($0.key)" }.sorted().joined(separator: ", ")
            return "\(answered) answered, \(failed) failed\(causes.isEmpty ? "" : ": \(causes)")"
        }
    }
    private struct State {
        var tally = Tally()
        var stopping = false
        var done = false
    }
    private let state = Mutex(State())

    /// Starts at once, on a thread of its own.
    /// - Parameters:
    ///   - pause: between two requests.
    ///   - timeout: of each step of a request; a failure counts, and the client goes on.
    public init(
        from namespace: Namespace, to endpoint: Endpoint, path: String = "/", pause: Duration = .milliseconds(5),
        timeout: Duration = .seconds(3)
    ) {
        Thread.detachNewThread { [self] in
            while !state.withLock({ $0.stopping }) {
                ask(path, from: namespace, at: endpoint, timeout: timeout)
                usleep(UInt32(pause.components.attoseconds / 1_000_000_000_000))
            }
            state.withLock { $0.done = true }
        }
    }

    private func ask(_ path: String, from namespace: Namespace, at endpoint: Endpoint, timeout: Duration) {
        let start = ContinuousClock.now
        let result = Result { () throws(ConnectionError) in
            try Page.get(path, from: namespace, at: endpoint, timeout: timeout)
        }
        let time = ContinuousClock.now - start
        state.withLock { state in
            state.tally.slowest = max(state.tally.slowest, time)
            switch result {
            case .success(let page) where page.status == 200:
                state.tally.answered += 1
                state.tally.bodies[page.body, default: 0] += 1
            case .success(let page):
                state.tally.failed += 1
                state.tally.failures["HTTP \(page.status)", default: 0] += 1
            case .failure(let error):
                state.tally.failed += 1
                state.tally.failures[error.description, default: 0] += 1
            }
        }
    }

    public var tally: Tally { state.withLock { $0.tally } }

    /// Waits for this many more answers. - Throws: a Failure that says what came instead.
    public func waitForAnswers(_ count: Int, limit: Duration = .seconds(15)) throws {
        let start = tally.answered
        try wait(for: "\(count) more answers", limit: limit, seen: self.tally.summary) {
            tally.answered >= start + count
        }
    }

    public func waitForFailures(_ count: Int, limit: Duration = .seconds(15)) throws {
        let start = tally.failed
        try wait(for: "\(count) more failures", limit: limit, seen: self.tally.summary) {
            tally.failed >= start + count
        }
    }

    /// Ends it; the request under way is finished and counted.
    @discardableResult
    public func stop() throws -> Tally {
        state.withLock { $0.stopping = true }
        try wait(for: "the last request", limit: .seconds(60)) { state.withLock { $0.done } }
        return tally
    }
}
