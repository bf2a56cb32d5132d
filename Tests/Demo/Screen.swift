import Foundation
import Synchronization

/// What the demo says: steps, checks and excerpts. On a terminal in colour, with a clock that runs while it waits;
/// elsewhere plain lines.
final class Screen: Sendable {
    private struct State {
        /// What is being waited for, shown in a line that is rewritten.
        var waiting: String?
        var step = 0
        var checks = 0
    }
    private let state = Mutex(State())
    private let start = ContinuousClock.now
    private let isTerminal = isatty(STDOUT_FILENO) == 1

    init() {
        guard isTerminal else { return }
        Thread.detachNewThread { [weak self] in
            while let screen = self {
                screen.state.withLock { screen.drawClock($0) }
                usleep(100_000)
            }
        }
    }

    private var elapsed: String {
        let time = (ContinuousClock.now - start).components
        return String(format: "%5.1f s", Double(time.seconds) + Double(time.attoseconds) / 1e18)
    }

    private func write(_ text: String) { try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8)) }

    private func drawClock(_ state: State) {
        guard isTerminal, let waiting = state.waiting else { return }
        write("\r\u{1b}[K\u{1b}[36m\(elapsed)\u{1b}[0m  \(waiting) ...")
    }

    private func coloured(_ text: String, _ code: Int) -> String {
        isTerminal ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }

    private func say(_ line: String, _ state: inout State) {
        write((isTerminal ? "\r\u{1b}[K" : "") + line + "\n")
        drawClock(state)
    }

    func step(_ title: String) {
        state.withLock { state in
            state.step += 1
            state.waiting = nil
            say("\n" + coloured("\(state.step). \(title)", 1), &state)
        }
    }

    /// Runs one check. - Throws: a Broken that says what was expected and what was seen.
    @discardableResult
    func check<Value>(_ expectation: String, _ body: () throws -> Value) throws -> Value {
        state.withLock { $0.waiting = expectation }
        defer { state.withLock { $0.waiting = nil } }
        do {
            let value = try body()
            state.withLock { state in
                state.waiting = nil
                state.checks += 1
                say("\(elapsed)  \(coloured("ok", 32))  \(expectation)", &state)
            }
            return value
        } catch {
            throw Broken(step: state.withLock { $0.step }, expectation: expectation, seen: "\(error)")
        }
    }

    /// Shows what a program said, indented, at most `limit` lines of it.
    func show(_ command: String, _ text: String, limit: Int = 12) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: true)
        state.withLock { state in
            say("             " + coloured("$ \(command)", 36), &state)
            for line in lines.prefix(limit) { say("             \(line.prefix(150))", &state) }
            if lines.count > limit { say("             ... \(lines.count - limit) more lines", &state) }
        }
    }

    func note(_ text: String) {
        state.withLock { say("             \(text)", &$0) }
    }

    func failed(_ error: any Error, logs: String) {
        state.withLock { state in
            state.waiting = nil
            say("\n" + coloured("The demo failed after \(elapsed.trimmingCharacters(in: .whitespaces)).", 31), &state)
            say("\(error)", &state)
            say("logs:      \(logs)", &state)
        }
    }

    func finished() {
        state.withLock { state in
            let time = elapsed.trimmingCharacters(in: .whitespaces)
            say("\n" + coloured("All \(state.step) steps and \(state.checks) checks hold, in \(time).", 32), &state)
        }
    }
}

/// A check that did not hold.
struct Broken: Error, CustomStringConvertible {
    let step: Int
    let expectation: String
    let seen: String
    var description: String { "step:      \(step)\nexpected:  \(expectation)\nseen:      \(seen)" }
}
