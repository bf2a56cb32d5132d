import Foundation

/// The one place where the lab reads errno.
enum ErrorNumber {
    static var last: Int32 { errno }

    /// `result` is -errno.
    static func text(_ result: Int32) -> String { String(cString: strerror(-result)) }

    /// The result of a call that is repeated while a signal interrupts it; -errno if it fails.
    static func retrying<Result: BinaryInteger>(_ call: () -> Result) -> Result {
        while true {
            let result = call()
            if result >= 0 { return result }
            if errno != EINTR { return Result(truncatingIfNeeded: -errno) }
        }
    }
}
