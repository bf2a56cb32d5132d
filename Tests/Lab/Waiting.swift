import Foundation

/// A point in time up to which something is waited for.
public struct Deadline: Sendable {
    private let end: ContinuousClock.Instant

    public init(in time: Duration) { end = .now + time }

    public var isOver: Bool { ContinuousClock.now >= end }

    /// For poll(2): never negative, rounded up.
    public var millisecondsLeft: Int32 {
        let left = (end - .now).components
        let milliseconds = left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000 + 1
        return Int32(clamping: max(0, milliseconds))
    }
}

/// Waits until `condition` gives a value, asking every `pause`.
/// - Throws: a Failure that names `what`, with the last thing `seen`, after `limit`; whatever `condition` throws.
@discardableResult
public func wait<Value>(
    for what: String, limit: Duration = .seconds(10), pause: Duration = .milliseconds(5),
    seen: @autoclosure () -> String = "", until condition: () throws -> Value?
) throws -> Value {
    let deadline = Deadline(in: limit)
    while true {
        if let value = try condition() { return value }
        guard !deadline.isOver else {
            let last = seen()
            throw Failure("waited \(limit) for \(what)\(last.isEmpty ? "" : "; last seen: \(last)")")
        }
        usleep(UInt32(pause.components.attoseconds / 1_000_000_000_000) + UInt32(pause.components.seconds) * 1_000_000)
    }
}

public func wait(
    for what: String, limit: Duration = .seconds(10), pause: Duration = .milliseconds(5),
    seen: @autoclosure () -> String = "", until condition: () throws -> Bool
) throws {
    try wait(for: what, limit: limit, pause: pause, seen: seen()) { try condition() ? () : nil }
}
