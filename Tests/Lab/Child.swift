import CLab
import Foundation
import Synchronization

/// A program that runs in the background, its output in a file. It ends with the lab at the latest.
public final class Child: Sendable {
    public let name: String
    public let pid: Int32
    public let log: String
    private let ended = Mutex<Int32?>(nil)
    /// The other end of its input, a socket so that writing to one that is gone is no signal; -1 where it reads nothing.
    private let input: Int32

    init(
        name: String, _ words: [String], environment: [String: String], in namespace: Namespace?, log: String,
        hasInput: Bool = false
    ) throws {
        let output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        var ends: [Int32] = [open("/dev/null", O_RDONLY | O_CLOEXEC), -1]
        if hasInput {
            close(ends[0])
            let made = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends)
            guard made == 0 else { throw Failure.system("make a pair of sockets", -ErrorNumber.last) }
        }
        defer {
            close(output)
            close(ends[0])
        }
        pid = try spawn(words, environment: environment, in: namespace, input: ends[0], output: output, errors: output)
        input = ends[1]
        self.name = name
        self.log = log
    }

    deinit { if input >= 0 { close(input) } }

    /// Says a line to one that was started with an input. - Throws: a Failure if it does not listen.
    public func tell(_ line: String) throws {
        let bytes = Array((line + "\n").utf8)
        guard input >= 0, ErrorNumber.retrying({ send(input, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }) == bytes.count
        else {
            throw Failure("\(name) cannot be told \"\(line)\": \(lastWords)")
        }
    }

    /// The exit status as wait(2) gives it, nil while it runs.
    public var exitStatus: Int32? {
        ended.withLock { ended in
            if ended == nil {
                var status: Int32 = 0
                if waitpid(pid, &status, WNOHANG) == pid { ended = status }
            }
            return ended
        }
    }

    public var isRunning: Bool { exitStatus == nil }

    public func signal(_ number: Int32) {
        if isRunning { kill(pid, number) }
    }

    /// Waits until it has ended. - Throws: a Failure when it still runs after `limit`.
    public func waitForEnd(limit: Duration = .seconds(10)) throws {
        let watch = clab_pidfd(pid)
        defer { if watch >= 0 { close(watch) } }
        let deadline = Deadline(in: limit)
        while isRunning {
            guard !deadline.isOver else { throw Failure("\(name) still runs after \(limit)") }
            var event = pollfd(fd: watch, events: Int16(POLLIN), revents: 0)
            _ = poll(&event, 1, deadline.millisecondsLeft)
        }
    }

    /// Asks it to end (SIGTERM), and waits.
    public func end(limit: Duration = .seconds(10)) throws {
        signal(SIGTERM)
        try waitForEnd(limit: limit)
    }

    /// Ends it without a word (SIGKILL), and waits.
    public func destroy() throws {
        signal(SIGKILL)
        try waitForEnd()
    }

    /// All that it has said so far.
    public var output: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

    /// The end of what it said, for a failure's sentence.
    public var lastWords: String { output.split(separator: "\n").suffix(12).joined(separator: "\n") }

    /// Waits until its output holds `text`. - Throws: a Failure with its last words if it ends first, or after `limit`.
    public func waitForOutput(_ text: String, limit: Duration = .seconds(10)) throws {
        try wait(for: "\"\(text)\" from \(name)", limit: limit, seen: self.lastWords) {
            if output.contains(text) { return true }
            guard isRunning else { throw Failure("\(name) ended before it said \"\(text)\": \(lastWords)") }
            return false
        }
    }
}

/// What a program that has ended said.
public struct Outcome: Sendable {
    /// 0...255, or 128 plus the signal that ended it.
    public let code: Int32
    public let output: String
    public let errors: String
}

/// Runs a program to its end. - Throws: a Failure when it cannot be started or is not done after `limit` (it is killed).
public func run(
    _ words: [String], in namespace: Namespace? = nil, environment: [String: String] = [:], input: String = "",
    limit: Duration = .seconds(30)
) throws -> Outcome {
    let files = try Captures(input: input)
    let pid = try spawn(
        words, environment: environment, in: namespace, input: files.input, output: files.output, errors: files.errors)
    let watch = clab_pidfd(pid)
    defer { if watch >= 0 { close(watch) } }
    var event = pollfd(fd: watch, events: Int16(POLLIN), revents: 0)
    let deadline = Deadline(in: limit)
    while ErrorNumber.retrying({ poll(&event, 1, deadline.millisecondsLeft) }) == 0, !deadline.isOver {}
    let late = event.revents == 0
    if late { kill(pid, SIGKILL) }
    var status: Int32 = 0
    _ = ErrorNumber.retrying { waitpid(pid, &status, 0) }
    let line = words.joined(separator: " ")
    guard !late else { throw Failure("\(line): not done after \(limit)") }
    let code = status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
    return Outcome(code: code, output: files.text(files.output), errors: files.text(files.errors))
}

/// Runs a program to its end. - Returns: its output. - Throws: a Failure with its words unless it exits with 0.
@discardableResult
public func call(
    _ words: [String], in namespace: Namespace? = nil, environment: [String: String] = [:], input: String = "",
    limit: Duration = .seconds(30)
) throws -> String {
    let outcome = try run(words, in: namespace, environment: environment, input: input, limit: limit)
    guard outcome.code == 0 else {
        throw Failure("\(words.joined(separator: " ")): exit code \(outcome.code): \(outcome.errors)\(outcome.output)")
    }
    return outcome.output
}

/// Files without a name: what a program says is not bounded by a pipe that someone must empty.
private struct Captures: ~Copyable {
    let input: Int32
    let output: Int32
    let errors: Int32

    init(input text: String) throws {
        (input, output, errors) = (clab_file(), clab_file(), clab_file())
        guard input >= 0, output >= 0, errors >= 0 else { throw Failure("no memory for what a program says") }
        let bytes = Array(text.utf8)
        _ = write(input, bytes, bytes.count)
        lseek(input, 0, SEEK_SET)
    }

    func text(_ fd: Int32) -> String {
        let length = Int(lseek(fd, 0, SEEK_END))
        let bytes = [UInt8](unsafeUninitializedCapacity: max(length, 0)) { buffer, count in
            count = max(0, pread(fd, buffer.baseAddress, buffer.count, 0))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    deinit {
        close(input)
        close(output)
        close(errors)
    }
}

private func spawn(
    _ words: [String], environment: [String: String], in namespace: Namespace?, input: Int32, output: Int32,
    errors: Int32
) throws -> pid_t {
    let all = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let pid = withCStrings(words) { arguments in
        withCStrings(all.map { "\($0.key)=\($0.value)" }) { variables in
            clab_spawn(arguments, variables, namespace?.path, input, output, errors)
        }
    }
    guard pid > 0 else { throw Failure.system("start \(words.first ?? "nothing")", pid) }
    return pid
}
