import Foundation
import Synchronization

/// A set of namespaces, programs and files that vanish together: at `tearDown`, when the value is freed, or when this
/// process dies in whatever way.
public final class Lab: Sendable {
    /// In every name that others on this machine could see: namespaces and directories.
    public let token: String
    /// Sockets, state and configuration files; removed with the lab.
    public let directory: String
    /// What its programs said; removed with the lab unless `keepLogs` was called.
    public let logs: String
    private let keeper: Keeper
    private let names = Mutex<[String: Int]>([:])
    private let children = Mutex<[Child]>([])
    private let ending = Atomic(false)

    private static let count = Mutex(0)

    /// - Parameter logRoot: the directory under which `logs` is made.
    /// - Throws: a Failure without root's powers.
    public init(logRoot: String = Lab.defaultLogRoot) throws {
        guard geteuid() == 0 else { throw Failure("the lab makes network namespaces: it needs root") }
        let number = Self.count.withLock { count in
            count += 1
            return count
        }
        token = "rl\(getpid())-\(number)"
        directory = "/tmp/remora-lab-\(token)"
        logs = "\(logRoot)/\(token)"
        keeper = try Keeper()
        keeper.undo("[ -e \(quoted(logs + "/keep")) ] || rm -rf \(quoted(logs))")
        keeper.undo("rm -rf \(quoted(directory))")
        // last, when no agent is left that could pin more
        keeper.undo("rm -rf \(quoted(Self.pins + token)) \(quoted(Self.pins))[0-9]*-\(quoted(token))")
        for path in [directory, logs] {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
    }

    /// Where agents pin, a directory for each node.
    static let pins = "/sys/fs/bpf/remora/"

    /// Beside the build's other products, found from this source file; the lab's caches are there, too.
    public static let cache = sourceRoot + "/.build/lab"
    public static let defaultLogRoot = cache + "/logs"
    public static let sourceRoot = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// Removes everything, and returns when it is gone.
    public func tearDown() {
        ending.store(true, ordering: .relaxed)
        keeper.finish()
        for child in children.withLock({ $0 }) { try? child.waitForEnd() }
    }

    /// Whether `tearDown` was called: what fails from then on is of no interest.
    public var isEnding: Bool { ending.load(ordering: .relaxed) }

    public func keepLogs() { _ = FileManager.default.createFile(atPath: logs + "/keep", contents: nil) }

    /// A shell command for the end of the lab, whatever ends it.
    func undo(_ command: String) { keeper.undo(command) }

    /// `name`, then `2-name` and so on: for files and namespaces.
    func unique(_ name: String) -> String {
        names.withLock { names in
            names[name, default: 0] += 1
            let number = names[name, default: 1]
            return number == 1 ? name : "\(number)-\(name)"
        }
    }

    /// Starts a program in the background, its output in `logs`.
    /// - Parameter hasInput: whether it can be told lines; else its input is empty.
    public func start(
        _ words: [String], as name: String, in namespace: Namespace, environment: [String: String] = [:],
        hasInput: Bool = false
    ) throws -> Child {
        let log = "\(logs)/\(unique(name + ".log"))"
        let child = try Child(
            name: name, words, environment: environment, in: namespace, log: log, hasInput: hasInput)
        children.withLock { $0.append(child) }
        return child
    }

    /// Writes a file into `directory`. - Returns: its path.
    @discardableResult
    public func file(_ name: String, _ text: String) throws -> String {
        let path = "\(directory)/\(name)"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }
}

/// For a shell.
func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "'\\''") + "'" }
