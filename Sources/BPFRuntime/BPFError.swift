#if canImport(Glibc)
    internal import Glibc
#endif

/// What the kernel or libbpf refused: the operation, on what, why, and libbpf's and the verifier's own words.
public struct BPFError: Error, CustomStringConvertible, Sendable {
    /// errno, positive.
    public let code: Int32
    public let operation: String
    public let log: String

    public init(code: Int32, operation: String, log: String = "") {
        self.code = code
        self.operation = operation
        self.log = log
    }

    public var cause: String { String(cString: strerror(code)) }
    public var description: String {
        log.isEmpty ? "\(operation): \(cause)" : "\(operation): \(cause)\n\(log)"
    }
}

/// The one way into libbpf and the bpf syscall: errno is read here and nowhere else.
enum Kernel {
    /// `body` returns a negative number and sets errno (or returns -errno) on failure. EINTR is retried.
    @discardableResult
    static func call(_ operation: @autoclosure () -> String, _ body: () -> Int32) throws(BPFError) -> Int32 {
        while true {
            LibbpfLog.shared.clear()
            let result = body()
            if result >= 0 { return result }
            let code = result == -1 ? errno : -result
            if code == EINTR { continue }
            throw BPFError(code: code, operation: operation(), log: LibbpfLog.shared.text)
        }
    }

    /// As `call`, for libbpf functions that return a pointer.
    static func pointer(_ operation: @autoclosure () -> String, _ body: () -> OpaquePointer?) throws(BPFError)
        -> OpaquePointer
    {
        LibbpfLog.shared.clear()
        guard let pointer = body() else {
            throw BPFError(code: errno, operation: operation(), log: LibbpfLog.shared.text)
        }
        return pointer
    }

    /// nil where the kernel says that there is no such entry.
    static func find(_ operation: @autoclosure () -> String, _ body: () -> Int32) throws(BPFError) -> Bool {
        let result = body()
        if result >= 0 { return true }
        let code = result == -1 ? errno : -result
        if code == ENOENT { return false }
        throw BPFError(code: code, operation: operation())
    }
}

/// A file descriptor that is closed with its owner.
public struct Descriptor: ~Copyable, Sendable {
    public let raw: Int32

    init(_ raw: Int32) {
        precondition(raw >= 0, "a descriptor is made from a successful call")
        self.raw = raw
    }

    deinit { close(raw) }
}

extension BPFError {
    /// A map has no room for another entry.
    public var isFull: Bool { code == E2BIG || code == ENOSPC || code == ENOMEM }
    /// Of a pinned map: it has entries of another size.
    public var isUnfit: Bool { code == EINVAL }
    /// ENOLINK: of a link whose device is going.
    public var isGone: Bool { code == ENODEV || code == ENOENT || code == ENOLINK }
    public var isDenied: Bool { code == EPERM || code == EACCES }

    public static func busy(_ operation: String) -> BPFError { BPFError(code: EBUSY, operation: operation) }
    public static func wrongVersion(_ operation: String) -> BPFError { BPFError(code: EPROTO, operation: operation) }
}
