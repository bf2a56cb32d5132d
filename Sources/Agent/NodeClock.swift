internal import Glibc
internal import Model

/// The node's time: as of the wall when the agent started, and from then on with the monotonic clock, so that a clock
/// that is set does not end leases.
struct NodeClock: Sendable {
    private let offset: Int64

    init() { offset = Self.nanoseconds(CLOCK_REALTIME) - Self.nanoseconds(CLOCK_MONOTONIC) }

    var now: Instant { instant(monotonic: UInt64(Self.nanoseconds(CLOCK_MONOTONIC))) }

    /// Of a BPF program's stamp.
    func instant(monotonic nanoseconds: UInt64) -> Instant {
        Instant(milliseconds: (Int64(clamping: nanoseconds) + offset) / 1_000_000)
    }

    static var monotonic: UInt64 { UInt64(nanoseconds(CLOCK_MONOTONIC)) }

    private static func nanoseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
