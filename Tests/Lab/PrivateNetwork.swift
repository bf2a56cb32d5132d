import CLab
import Foundation

/// A network namespace of one thread's own, gone with it: for what needs a device or two and no lab.
public enum PrivateNetwork {
    public static func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                let error = clab_private_network()
                guard error == 0 else {
                    return continuation.resume(throwing: Failure("no network namespace: \(ErrorNumber.text(error))"))
                }
                continuation.resume(with: Result { try body() })
            }
        }
    }

    /// Runs `ip` in the calling thread's namespace.
    public static func ip(_ arguments: String) throws {
        try call(["ip"] + arguments.split(separator: " ").map(String.init))
    }
}
