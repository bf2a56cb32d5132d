public import Model
internal import Packets

/// Keeps account of TCP probes: what was sent, what may still be answered, what may be sent when. Pure: time and
/// randomness come in, steps go out; `ProbeSocket` does the sending.
///
/// A probe is a SYN from an unpredictable port with an unpredictable sequence number. Its answer must acknowledge that
/// number, so that only who saw the SYN can answer it. A SYN-ACK is reset at once, before the guest accepts.
public struct Prober: ~Copyable {
    public struct Settings: Hashable, Sendable {
        /// For an answer, each try.
        public var timeout: Duration = .milliseconds(200)
        public var tries: Int = 2
        /// After silence was reported: a late answer still counts.
        public var linger: Duration = .seconds(2)
        /// Probes that wait for an answer or for their turn.
        public var outstanding: Int = 4096
        /// SYNs a second out of all ports, and out of one; twice as many in a burst.
        public var rate: Int = 4000
        public var ratePerPort: Int = 400

        public init() {}
    }

    public struct Counters: Hashable, Sendable {
        public var sent: UInt64 = 0
        public var answered: UInt64 = 0
        public var silent: UInt64 = 0
        /// Not started: too many outstanding.
        public var refused: UInt64 = 0
        /// Answers that match no probe, or acknowledge something else.
        public var strays: UInt64 = 0
    }

    private struct Outstanding {
        let target: ProbeTarget
        let tuple: FiveTuple
        let sequence: UInt32
        var triesLeft: Int
        /// Silence was reported; only kept for a late answer.
        var isLingering = false
        var generation: UInt64
    }

    public private(set) var counters = Counters()
    private let settings: Settings
    /// By the five-tuple of the answer.
    private var outstanding: [FiveTuple: Outstanding] = [:]
    private var byInstance: [InstanceID: FiveTuple] = [:]
    private var deadlines = DeadlineQueue()
    /// Waiting for their turn, oldest first.
    private var waiting: [FiveTuple] = []
    private var bucket: TokenBucket
    private var buckets: [PortName: TokenBucket] = [:]
    private var generation: UInt64 = 0

    public init(settings: Settings, at now: Instant) {
        self.settings = settings
        bucket = TokenBucket(rate: settings.rate, burst: settings.rate * 2, at: now)
    }

    public var count: Int { outstanding.count }

    /// When `advance` has something to do; nil: not before the next `start`.
    public var nextDeadline: Instant? {
        let turn = waiting.isEmpty ? nil : [bucket.next, nextPortTurn].compactMap { $0 }.max()
        return [deadlines.first, turn].compactMap { $0 }.min()
    }

    private var nextPortTurn: Instant? {
        waiting.prefix(Self.mostLookedAt).compactMap { outstanding[$0]?.target.port }
            .map { buckets[$0]?.next ?? Instant(milliseconds: .min) }.min()
    }
    /// Of the waiting, at once: one port's queue must not make each turn long.
    private static let mostLookedAt = 1024

    /// Begins a probe, or joins the one that runs for this instance already.
    public mutating func start(
        _ target: ProbeTarget, at now: Instant, using random: inout some RandomNumberGenerator
    ) -> [ProbeStep] {
        var steps: [ProbeStep] = []
        if let running = byInstance[target.instance], let probe = outstanding[running] {
            guard probe.isLingering || probe.target != target else { return [] }
            steps += remove(running)
        }
        guard outstanding.count < settings.outstanding, let tuple = freeTuple(target, using: &random) else {
            counters.refused += 1
            return steps + [.finished(target.instance, .notSent("too many probes are under way"))]
        }
        outstanding[tuple] = Outstanding(
            target: target, tuple: tuple, sequence: .random(in: 0...UInt32.max, using: &random),
            triesLeft: settings.tries, generation: 0)
        byInstance[target.instance] = tuple
        waiting.append(tuple)
        steps.append(.expect(tuple))
        return steps + sendWaiting(at: now)
    }

    /// Repeats what was not answered in time, gives up what was repeated enough, sends what had to wait.
    public mutating func advance(at now: Instant) -> [ProbeStep] {
        var steps: [ProbeStep] = []
        while let (tuple, generation) = deadlines.pop(due: now) {
            guard let probe = outstanding[tuple], probe.generation == generation else { continue }
            if probe.isLingering {
                steps += remove(tuple)
            } else if probe.triesLeft > 0 {
                waiting.append(tuple)
            } else {
                counters.silent += 1
                outstanding[tuple]?.isLingering = true
                schedule(tuple, at: now + settings.linger)
                steps.append(.finished(probe.target.instance, .silent))
            }
        }
        return steps + sendWaiting(at: now)
    }

    /// What came back. Anything that is no answer to a probe is counted and gives no step.
    public mutating func answered(_ answer: ProbeAnswer) -> [ProbeStep] {
        guard let probe = outstanding[answer.tuple], answer.flags.contains(.ack),
            answer.acknowledged == probe.sequence &+ 1,
            answer.flags.contains(.syn) != answer.flags.contains(.rst)
        else {
            counters.strays += 1
            return []
        }
        counters.answered += 1
        let open = answer.flags.contains(.syn)
        var steps = remove(answer.tuple)
        if open, let frame = frame(probe, flags: .rst, sequence: probe.sequence &+ 1) {
            steps.insert(.send(frame), at: 0)
        }
        let result = ProbeResult.answered(answer.place, open: open, hopLimit: answer.hopLimit)
        return steps + [.finished(probe.target.instance, result)]
    }

    /// The port is gone: nothing that went out of it will be answered.
    public mutating func portVanished(_ port: PortName) -> [ProbeStep] {
        buckets[port] = nil
        return outstanding.values.filter { $0.target.port == port }.flatMap { probe in
            let result: [ProbeStep] =
                probe.isLingering ? [] : [.finished(probe.target.instance, .notSent("port \(port) is gone"))]
            return remove(probe.tuple) + result
        }
    }

    // MARK: sending

    private mutating func sendWaiting(at now: Instant) -> [ProbeStep] {
        var steps: [ProbeStep] = []
        var kept: [FiveTuple] = []
        var looked = 0
        for tuple in waiting {
            guard let probe = outstanding[tuple], !probe.isLingering else { continue }
            looked += 1
            guard looked <= Self.mostLookedAt, takeToken(for: probe.target.port, at: now) else {
                kept.append(tuple)
                continue
            }
            outstanding[tuple]?.triesLeft -= 1
            schedule(tuple, at: now + settings.timeout)
            if let frame = frame(probe, flags: .syn, sequence: probe.sequence) {
                counters.sent += 1
                steps.append(.send(frame))
            }
        }
        waiting = kept
        return steps
    }

    private mutating func takeToken(for port: PortName, at now: Instant) -> Bool {
        if buckets.count > Self.mostBuckets { buckets = buckets.filter { !$0.value.isFull } }
        let fresh = TokenBucket(rate: settings.ratePerPort, burst: settings.ratePerPort * 2, at: now)
        guard bucket.hasToken(at: now), buckets[port, default: fresh].hasToken(at: now) else { return false }
        bucket.take()
        buckets[port, default: fresh].take()
        return true
    }
    private static let mostBuckets = 1024

    private func frame(_ probe: Outstanding, flags: TCPHeader.Flags, sequence: UInt32) -> ProbeFrame? {
        let target = probe.target
        var segment = TCPSegment(
            sourceMAC: target.sourceMAC, destinationMAC: target.mac, source: .v4(target.source),
            destination: .v4(target.address), sourcePort: probe.tuple.destinationPort,
            destinationPort: target.instance.port, sequence: sequence, flags: flags)
        segment.vlan = target.vlan
        if flags.contains(.syn) { segment.maximumSegment = 1460 }
        return segment.frame().map { ProbeFrame(ifindex: target.ifindex, bytes: $0) }
    }

    // MARK: bookkeeping

    /// The answer's five-tuple, with a port for us that no probe of this target uses.
    private func freeTuple(_ target: ProbeTarget, using random: inout some RandomNumberGenerator) -> FiveTuple? {
        for _ in 0..<16 {
            let tuple = FiveTuple(
                network: target.instance.network, source: target.instance.address, sourcePort: target.instance.port,
                destination: .v4(target.source), destinationPort: .random(in: 32768...60999, using: &random))
            if outstanding[tuple] == nil { return tuple }
        }
        return nil
    }

    private mutating func schedule(_ tuple: FiveTuple, at deadline: Instant) {
        generation += 1
        outstanding[tuple]?.generation = generation
        deadlines.push(tuple, generation, at: deadline)
    }

    private mutating func remove(_ tuple: FiveTuple) -> [ProbeStep] {
        guard let probe = outstanding.removeValue(forKey: tuple) else { return [] }
        if byInstance[probe.target.instance] == tuple { byInstance[probe.target.instance] = nil }
        return [.forget(tuple)]
    }
}
