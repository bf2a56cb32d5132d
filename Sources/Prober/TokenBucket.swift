internal import Model

/// Lets `rate` things a second pass, and a burst of `burst` after a rest. Counted in thousandths of a token.
struct TokenBucket: Hashable, Sendable {
    private let rate: Int64
    private let most: Int64
    private var tokens: Int64
    private var filled: Instant

    init(rate: Int, burst: Int, at now: Instant) {
        self.rate = Int64(rate)
        most = Int64(burst) * 1000
        tokens = most
        filled = now
    }

    private mutating func fill(at now: Instant) {
        guard now > filled else { return }
        // `rate` tokens a second are `rate` thousandths a millisecond. A long rest fills it, whatever its length.
        let rest = min((now - filled).milliseconds, most)
        tokens = min(most, tokens + rest * rate)
        filled = now
    }

    mutating func hasToken(at now: Instant) -> Bool {
        fill(at: now)
        return tokens >= 1000
    }

    mutating func take() { tokens -= 1000 }

    var isFull: Bool { tokens == most }

    /// When there will be a token.
    var next: Instant { filled + .milliseconds(tokens >= 1000 ? 0 : (1000 - tokens + rate - 1) / rate) }
}
