internal import BPFRuntime

/// What could not be done to the NIC: what, on what, why, and what to do. The old state holds.
public struct DataplaneError: Error, CustomStringConvertible, Sendable {
    public enum Code: Sendable {
        case kernel, tooMany, badPolicy, full, busy, noDevice, notSupported
    }
    public let code: Code
    public let operation: String
    public let cause: String
    /// libbpf's and the verifier's words.
    public let log: String

    init(_ code: Code, _ operation: String, _ cause: String, log: String = "") {
        self.code = code
        self.operation = operation
        self.cause = cause
        self.log = log
    }

    init(_ error: BPFError, _ operation: String) {
        self.init(
            error.isFull ? .full : .kernel, operation, "\(error.operation): \(error.cause)", log: error.log)
    }

    static func gone(_ operation: String) -> DataplaneError {
        DataplaneError(.noDevice, operation, "the device is gone; it is attached when it comes back")
    }

    public var description: String { "\(operation): \(cause)" }
}

/// Runs kernel calls for one operation, whose name its errors carry.
func during<T: ~Copyable>(_ operation: @autoclosure () -> String, _ body: () throws(BPFError) -> T)
    throws(DataplaneError) -> T
{
    do { return try body() } catch { throw DataplaneError(error, operation()) }
}
