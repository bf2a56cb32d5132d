import Foundation
import Lab
import Synchronization

/// Looks at every instance's verdict all the time, and remembers each change and when it was seen.
final class Observer: Sendable {
    struct Sighting: Sendable {
        let time: ContinuousClock.Instant
        let verdict: Finding.Verdict
    }
    private struct State {
        var history: [String: [Sighting]] = [:]
        var stopping = false
        var done = false
        var failure: String?
    }
    private let state = Mutex(State())

    /// Starts at once, on a thread of its own.
    init(of remora: Remora) {
        Thread.detachNewThread { [self] in
            while !state.withLock({ $0.stopping }) {
                do { note(try remora.fetch("/v1/instances")) } catch {
                    state.withLock { $0.failure = "\(error)" }
                }
                usleep(1000)
            }
            state.withLock { $0.done = true }
        }
    }

    private func note(_ instances: JSON) {
        let now = ContinuousClock.now
        var verdicts: [String: Finding.Verdict] = [:]
        for row in instances.array {
            guard let address = row["address"].string, let port = row["port"].number else { continue }
            let host = address.contains(":") ? "[\(address)]" : address
            verdicts["\(host):\(Int(port))"] = Self.verdict(of: row)
        }
        state.withLock { state in
            for (instance, history) in state.history
            where verdicts[instance] == nil && history.last?.verdict != .unknown {
                state.history[instance]?.append(Sighting(time: now, verdict: .unknown))
            }
            for (instance, verdict) in verdicts where state.history[instance]?.last?.verdict != verdict {
                state.history[instance, default: []].append(Sighting(time: now, verdict: verdict))
            }
        }
    }

    /// What is remembered of an instance that is gone is no verdict on who has its address next.
    private static func verdict(of row: JSON) -> Finding.Verdict {
        guard let state = row["state"].string, state != "lost", state != "guarded" else { return .unknown }
        return row["verdict"].string.flatMap(Finding.Verdict.init(rawValue:)) ?? .unknown
    }

    /// The verdict at `start`, and each later one up to `end`.
    func verdicts(
        on instance: String, from start: ContinuousClock.Instant, to end: ContinuousClock.Instant
    ) -> [Sighting] {
        let history = state.withLock { $0.history[instance] ?? [] }
        let before = history.last { $0.time <= start } ?? Sighting(time: start, verdict: .unknown)
        return [before] + history.filter { $0.time > start && $0.time <= end }
    }

    func verdict(on instance: String) -> Finding.Verdict {
        state.withLock { $0.history[instance]?.last?.verdict ?? .unknown }
    }

    func halt() { state.withLock { $0.stopping = true } }

    func stop() throws {
        halt()
        try wait(for: "the last look at the verdicts") { state.withLock { $0.done } }
    }
}
