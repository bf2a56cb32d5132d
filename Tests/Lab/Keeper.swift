import CLab
import Foundation
import Synchronization

/// Undoes what the lab did, however the lab ends: a process that outlives this one, reads the undo commands from a
/// pipe, and runs them, newest first, when the pipe closes. A SIGKILL closes it as well as a tear-down does.
final class Keeper: Sendable {
    private struct State {
        var pipe: Int32
        var process: pid_t
    }
    private let state: Mutex<State>

    init() throws {
        var ends: [Int32] = [-1, -1]
        let made = clab_pipe(&ends)
        guard made == 0 else { throw Failure.system("make a pipe", made) }
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer {
            close(ends[0])
            close(null)
        }
        let words = ["sh", "-c", "undo=$(tac); eval \"$undo\""]
        let process = withCStrings(words) { arguments in
            withCStrings(["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]) { environment in
                clab_spawn(arguments, environment, nil, ends[0], null, null)
            }
        }
        guard process > 0 else {
            close(ends[1])
            throw Failure.system("start the keeper of the lab", process)
        }
        state = Mutex(State(pipe: ends[1], process: process))
    }

    /// Adds one shell command, to be run before all that were added earlier.
    func undo(_ command: String) {
        let line = Array((command.replacing("\n", with: " ") + "\n").utf8)
        state.withLock { state in
            guard state.pipe >= 0 else { return }
            var rest = line[...]
            while !rest.isEmpty {
                let written = rest.withUnsafeBytes { bytes in
                    ErrorNumber.retrying { write(state.pipe, bytes.baseAddress, bytes.count) }
                }
                guard written > 0 else { return }
                rest = rest.dropFirst(written)
            }
        }
    }

    /// Runs the undo commands now and returns when they are done. A second call does nothing.
    func finish() {
        state.withLock { state in
            guard state.pipe >= 0 else { return }
            close(state.pipe)
            state.pipe = -1
            _ = ErrorNumber.retrying { waitpid(state.process, nil, 0) }
        }
    }

    deinit { finish() }
}

/// `body` with a null-terminated array of C strings, as exec wants it.
func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var copies: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
    copies.append(nil)
    defer { for copy in copies { free(copy) } }
    return copies.withUnsafeBufferPointer { body($0.baseAddress.unsafelyUnwrapped) }
}
