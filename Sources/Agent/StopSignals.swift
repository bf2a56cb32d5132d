internal import CLinux
internal import Glibc
internal import Synchronization

/// SIGINT and SIGTERM as a descriptor to wait on, for a command that owns its thread. One at a time; what the signals did
/// before, they do again when it ends.
struct StopSignals: ~Copyable {
    /// Readable once one has come.
    let fd: Int32
    private let interrupt: sigaction
    private let terminate: sigaction
    private static let current = Atomic<Int32>(-1)

    init() throws(OperationError) {
        fd = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        guard fd >= 0 else { throw OperationError(.failed, "wait for signals: no more files may be opened") }
        Self.current.store(fd, ordering: .sequentiallyConsistent)
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in
            let before = errno
            var one: UInt64 = 1
            _ = write(StopSignals.current.load(ordering: .relaxed), &one, MemoryLayout<UInt64>.size)
            errno = before
        }
        interrupt = Self.handle(SIGINT, action)
        terminate = Self.handle(SIGTERM, action)
    }

    deinit {
        _ = Self.handle(SIGINT, interrupt)
        _ = Self.handle(SIGTERM, terminate)
        Self.current.store(-1, ordering: .sequentiallyConsistent)
        close(fd)
    }

    /// What the signal did before.
    private static func handle(_ number: Int32, _ action: sigaction) -> sigaction {
        var action = action
        var before = sigaction()
        sigaction(number, &action, &before)
        return before
    }
}
