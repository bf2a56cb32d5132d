internal import Glibc

/// What failed, and the kernel's word on why.
public struct NetlinkError: Error, Hashable, Sendable, CustomStringConvertible {
    /// As errno.
    public let code: Int32
    public let operation: String

    init(_ code: Int32, _ operation: String) {
        self.code = code
        self.operation = operation
    }

    public static func noDevice(_ operation: String) -> NetlinkError { NetlinkError(ENODEV, operation) }

    public var description: String { "\(operation): \(String(cString: strerror(code)))" }
}

/// The one place where errno is read: interrupted calls are repeated, "try again" is nil.
func netlinkCall(_ operation: String, _ call: () -> Int) throws(NetlinkError) -> Int? {
    while true {
        let result = call()
        if result >= 0 { return result }
        switch errno {
        case EINTR: continue
        case EAGAIN: return nil
        case EBADF: preconditionFailure("\(operation): bad file descriptor")
        case let code: throw NetlinkError(code, operation)
        }
    }
}
