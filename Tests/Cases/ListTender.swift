import Foundation
import Lab
import Synchronization

/// The container platform's side of the list: it is written again and again, so that everybody sees that it still holds.
final class ListTender: Sendable {
    private struct State {
        var lines: [String]
        var isTended = true
        var stopping = false
    }
    private let state: Mutex<State>
    private static let pause: UInt32 = 500_000

    /// Begins at once, on a thread of its own.
    init(of remora: Remora, _ lines: [String]) {
        state = Mutex(State(lines: lines))
        Thread.detachNewThread { [self] in
            while !state.withLock({ $0.stopping }) {
                // what fails here fails in `write`, too
                state.withLock { state in if state.isTended { try? remora.list(state.lines) } }
                usleep(Self.pause)
            }
        }
    }

    /// There is another list from now on.
    func write(_ lines: [String], to remora: Remora) throws {
        try state.withLock { state in
            state.lines = lines
            state.isTended = true
            try remora.list(lines)
        }
    }

    /// Nobody has written it for so long, and nobody will before the next `write`.
    func neglect(_ lines: [String], of remora: Remora, for age: Duration) throws {
        try state.withLock { state in
            state.isTended = false
            try remora.list(lines, age: age)
        }
    }

    func stop() { state.withLock { $0.stopping = true } }
}
