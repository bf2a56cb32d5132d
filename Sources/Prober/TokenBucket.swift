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

/// One bucket for all, and one for each port: a token is taken of both.
struct TokenBuckets {
    private let ratePerPort: Int
    private var all: TokenBucket
    private var ports: [PortName: TokenBucket] = [:]
    private static let most = 1024

    init(rate: Int, ratePerPort: Int, at now: Instant) {
        self.ratePerPort = ratePerPort
        all = TokenBucket(rate: rate, burst: rate * 2, at: now)
    }

    mutating func take(for port: PortName, at now: Instant) -> Bool {
        if ports.count > Self.most { ports = ports.filter { !$0.value.isFull } }
        let fresh = TokenBucket(rate: ratePerPort, burst: ratePerPort * 2, at: now)
        guard all.hasToken(at: now), ports[port, default: fresh].hasToken(at: now) else { return false }
        all.take()
        ports[port, default: fresh].take()
        return true
    }

    mutating func forget(_ port: PortName) { ports[port] = nil }

    var next: Instant { all.next }
    func next(of port: PortName) -> Instant { ports[port]?.next ?? Instant(milliseconds: .min) }
}
