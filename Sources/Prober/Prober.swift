public import Model
internal import Packets

/// Keeps account of probes: what was sent, what may still be answered, what may be sent when. Pure: time and
/// randomness come in, steps go out; `ProbeSocket` does the sending.
///
/// A probe is a SYN, a query or an echo request from an unpredictable port with an unpredictable number. Its answer must
/// tell that number, so that only who saw the probe can answer it. A SYN-ACK is reset at once, before the guest accepts,
/// unless its target is to be asked over HTTP.
/// Who was silent once is asked for an echo, too: a machine may be there and drop what its port is sent.
public struct Prober: ~Copyable {
    public struct Settings: Hashable, Sendable {
        /// For an answer, each try.
        public var timeout: Duration = .milliseconds(200)
        public var tries: Int = 2
        /// Added to each wait, up to so much, so that probes do not fall in step.
        public var jitter: Duration = .zero
        /// After silence was reported: a late answer still counts.
        public var linger: Duration = .seconds(2)
        /// Probes that wait for an answer or for their turn.
        public var outstanding: Int = 4096
        /// Frames a second out of all ports, and out of one; twice as many in a burst.
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
        /// Questions for a neighbour that were not asked: over the rate, or too many.
        public var unasked: UInt64 = 0
        /// Answers that match no probe, or acknowledge something else.
        public var strays: UInt64 = 0
    }

    private struct Outstanding {
        let target: ProbeTarget
        let method: ProbeTarget.Method
        let key: ProbeKey
        let sequence: UInt32
        let jitter: Duration
        var triesLeft: Int
        var triesMade = 0
        /// The echo request that went with the second try.
        var echo: (number: UInt32, key: ProbeKey)?
        /// Who answered that.
        var present: ProbeResult?
        /// Silence was reported; only kept for a late answer.
        var isLingering = false
        var generation: UInt64 = 0
    }

    public internal(set) var counters = Counters()
    let settings: Settings
    private var outstanding: [UInt32: Outstanding] = [:]
    /// Numbers of echo requests, by that of the probe that they went with.
    private var echoes: [UInt32: UInt32] = [:]
    /// When the first frame with a number went out: CLOCK_MONOTONIC, nanoseconds.
    var sentAt: [UInt32: UInt64] = [:]
    private var questions: [UInt32: ProbeKey] = [:]
    var byKey: [ProbeKey: UInt32] = [:]
    /// Connections that were gone on with, by their probe's number: one for an instance.
    var sessions: [UInt32: HTTPSession] = [:]
    var sessionOf: [InstanceID: UInt32] = [:]
    private var byInstance: [InstanceID: UInt32] = [:]
    private var deadlines = DeadlineQueue()
    /// Waiting for their turn, oldest first.
    private var waiting: [UInt32] = []
    var frames: TokenBuckets
    /// Questions for a neighbour have a rate of their own: they take no probe's turn.
    private var asks: TokenBuckets
    private var generation: UInt64 = 0
    private var lastNumber: UInt32 = 0

    public init(settings: Settings, at now: Instant) {
        self.settings = settings
        frames = TokenBuckets(rate: settings.rate, ratePerPort: settings.ratePerPort, at: now)
        asks = TokenBuckets(
            rate: max(1, settings.rate / 4), ratePerPort: max(1, settings.ratePerPort / 4), at: now)
    }

    /// Answers that are expected.
    public var count: Int { byKey.count }

    /// When `advance` has something to do; nil: not before the next `start`.
    public var nextDeadline: Instant? {
        let turn = waiting.isEmpty ? nil : [frames.next, nextPortTurn].compactMap { $0 }.max()
        return [deadlines.first, turn].compactMap { $0 }.min()
    }

    private var nextPortTurn: Instant? {
        waiting.prefix(Self.mostLookedAt).compactMap { outstanding[$0]?.target.port }
            .map { frames.next(of: $0) }.min()
    }
    /// Of the waiting, at once: one port's queue must not make each turn long.
    private static let mostLookedAt = 1024

    /// Begins a probe, or joins the one that runs for this instance already.
    ///
    /// - Parameter delay: before the first frame.
    public mutating func start(
        _ target: ProbeTarget, after delay: Duration = .zero, at now: Instant,
        using random: inout some RandomNumberGenerator
    ) -> [ProbeStep] {
        var steps: [ProbeStep] = []
        if let running = byInstance[target.instance], let probe = outstanding[running] {
            guard probe.isLingering || probe.target != target else { return [] }
            steps += remove(running)
        }
        guard outstanding.count < settings.outstanding, let key = freeKey(target, using: &random) else {
            counters.refused += 1
            return steps + [.finished(target.instance, .notSent("too many probes are under way"))]
        }
        let number = takeNumber()
        let most = max(0, settings.jitter.milliseconds)
        outstanding[number] = Outstanding(
            target: target, method: target.method, key: key,
            sequence: .random(in: 0x1_0000...UInt32.max, using: &random),
            jitter: .milliseconds(Int64.random(in: 0...most, using: &random)), triesLeft: settings.tries)
        byInstance[target.instance] = number
        byKey[key] = number
        steps.append(.expect(key, number))
        guard delay <= .zero else {
            schedule(number, at: now + delay)
            return steps
        }
        waiting.append(number)
        return steps + sendWaiting(at: now)
    }

    /// A frame with this number was sent. A second try does not begin anew: which of the two is answered nobody knows.
    ///
    /// - Parameter time: CLOCK_MONOTONIC, nanoseconds.
    public mutating func sent(_ number: UInt32, at time: UInt64) {
        guard byNumber(number) != nil || sessions[number] != nil, sentAt[number] == nil else { return }
        sentAt[number] = time
    }

    /// The probe that was asked by this number, or by that of its echo request.
    private func byNumber(_ number: UInt32) -> Outstanding? { outstanding[echoes[number] ?? number] }

    func microseconds(_ number: UInt32, until time: UInt64) -> Int? {
        sentAt[number].flatMap { time < $0 ? nil : Int((time - $0) / 1000) }
    }

    /// Asks who has an address. What is over the rate is not asked.
    public mutating func ask(_ question: NeighbourQuestion, at now: Instant) -> [ProbeStep] {
        let key = question.key
        guard byKey[key] != nil || questions.count < settings.outstanding, let frame = question.frame,
            asks.take(for: question.port, at: now)
        else {
            counters.unasked += 1
            return []
        }
        counters.sent += 1
        if byKey[key] != nil { return [.send(frame)] }
        let number = takeNumber()
        questions[number] = key
        byKey[key] = number
        deadlines.push(number, 0, at: now + settings.linger)
        return [.expect(key, number), .send(frame)]
    }

    /// Repeats what was not answered in time, gives up what was repeated enough, sends what had to wait.
    public mutating func advance(at now: Instant) -> [ProbeStep] {
        var steps: [ProbeStep] = []
        while let (number, generation) = deadlines.pop(due: now) {
            if let key = questions.removeValue(forKey: number) {
                byKey[key] = nil
                steps.append(.forget(key))
            }
            steps += advanceSession(number, generation: generation, at: now)
            guard let probe = outstanding[number], probe.generation == generation else { continue }
            if probe.isLingering {
                steps += remove(number)
            } else if probe.triesLeft > 0 {
                waiting.append(number)
            } else {
                if probe.present == nil { counters.silent += 1 }
                outstanding[number]?.isLingering = true
                schedule(number, at: now + settings.linger)
                steps.append(.finished(probe.target.instance, probe.present ?? .silent))
            }
        }
        return steps + sendWaiting(at: now)
    }

    /// What came back. Anything that is no answer to a probe is counted and gives no step.
    public mutating func answered(_ answer: ProbeAnswer, at now: Instant) -> [ProbeStep] {
        if let key = questions[answer.number] {
            counters.answered += 1
            return [.neighbour(key.network, key.source, answer.place)]
        }
        if sessions[answer.number] != nil { return heardAgain(answer, at: now) }
        let number = echoes[answer.number] ?? answer.number
        guard let probe = outstanding[number], let result = result(of: probe, answer) else {
            counters.strays += 1
            return []
        }
        counters.answered += 1
        if number != answer.number {
            outstanding[number]?.present = result
            // The port's own answer may still come; only silence was reported.
            return probe.isLingering ? [.finished(probe.target.instance, result)] : []
        }
        var steps = remove(number)
        if probe.method == .syn, answer.flags.contains(.syn) {
            if let asked = ask(probe.target, probe.key, answer, at: now) {
                steps.removeAll { $0 == .forget(probe.key) }
                steps += asked
            } else if let frame = segment(probe, flags: .rst, sequence: probe.sequence &+ 1) {
                steps.insert(.send(frame), at: 0)
            }
        }
        return steps + [.finished(probe.target.instance, result)]
    }

    /// Nil: it answers something else.
    private func result(of probe: Outstanding, _ answer: ProbeAnswer) -> ProbeResult? {
        let isEcho = answer.number == probe.echo?.number || probe.method == .echo
        let (asked, hops) = (probe.sequence & 0xffff, answer.hopLimit)
        let time = microseconds(answer.number, until: answer.time)
        let isRefusal = answer.flags.contains(.rst)
        if isEcho {
            guard answer.flags.isEmpty, answer.acknowledged == asked else { return nil }
            return .present(answer.place, hopLimit: hops, microseconds: time)
        }
        switch probe.method {
        case .syn:
            guard answer.flags.contains(.ack), answer.acknowledged == probe.sequence &+ 1,
                answer.flags.contains(.syn) != isRefusal
            else { return nil }
        case .dnsQuery: guard isRefusal || answer.acknowledged == asked else { return nil }
        case .echo: return nil
        }
        return .answered(answer.place, open: !isRefusal, hopLimit: hops, microseconds: time)
    }

    /// The port is gone: nothing that went out of it will be answered.
    public mutating func portVanished(_ port: PortName) -> [ProbeStep] {
        frames.forget(port)
        asks.forget(port)
        return removeSessions(of: port)
            + outstanding.filter { $0.value.target.port == port }.flatMap { number, probe in
                let result: [ProbeStep] =
                    probe.isLingering ? [] : [.finished(probe.target.instance, .notSent("port \(port) is gone"))]
                return remove(number) + result
            }
    }

    // MARK: sending

    private mutating func sendWaiting(at now: Instant) -> [ProbeStep] {
        var steps: [ProbeStep] = []
        var kept: [UInt32] = []
        var looked = 0
        for number in waiting {
            guard let probe = outstanding[number], !probe.isLingering else { continue }
            looked += 1
            guard looked <= Self.mostLookedAt, frames.take(for: probe.target.port, at: now) else {
                kept.append(number)
                continue
            }
            outstanding[number]?.triesLeft -= 1
            outstanding[number]?.triesMade += 1
            schedule(number, at: now + settings.timeout + probe.jitter)
            if probe.triesMade == 1, probe.method != .echo { steps += sendEcho(number, at: now) }
            if var frame = frame(probe) {
                frame.number = number
                counters.sent += 1
                steps.append(.send(frame))
            }
        }
        waiting = kept
        return steps
    }

    /// With the second try.
    private mutating func sendEcho(_ number: UInt32, at now: Instant) -> [ProbeStep] {
        guard let probe = outstanding[number], probe.echo == nil, frames.take(for: probe.target.port, at: now) else {
            return []
        }
        let identifier = UInt16(truncatingIfNeeded: probe.sequence >> 16)
        let key = probe.target.key(.echo, number: identifier)
        guard byKey[key] == nil, var frame = echo(probe, identifier: identifier) else { return [] }
        let echo = takeNumber()
        frame.number = echo
        outstanding[number]?.echo = (echo, key)
        echoes[echo] = number
        byKey[key] = echo
        counters.sent += 1
        return [.expect(key, echo), .send(frame)]
    }

    // MARK: frames

    private func frame(_ probe: Outstanding) -> ProbeFrame? {
        switch probe.method {
        case .syn: return segment(probe, flags: .syn, sequence: probe.sequence)
        case .dnsQuery:
            let query = DNSQuery(
                sourcePort: probe.key.destinationPort, destinationPort: probe.target.instance.port,
                identifier: UInt16(truncatingIfNeeded: probe.sequence))
            return wrap(query.frame(in: probe.target.envelope), probe.target)
        case .echo: return echo(probe, identifier: probe.key.destinationPort)
        }
    }

    private func segment(_ probe: Outstanding, flags: TCPHeader.Flags, sequence: UInt32) -> ProbeFrame? {
        var segment = TCPSegment(
            from: probe.target, port: probe.key.destinationPort, sequence: sequence, flags: flags)
        if flags.contains(.syn) { segment.maximumSegment = 1460 }
        return wrap(segment.frame(), probe.target)
    }

    private func echo(_ probe: Outstanding, identifier: UInt16) -> ProbeFrame? {
        let request = EchoRequest(identifier: identifier, sequence: UInt16(truncatingIfNeeded: probe.sequence))
        return wrap(request.frame(in: probe.target.envelope), probe.target)
    }

    private func wrap(_ bytes: [UInt8]?, _ target: ProbeTarget) -> ProbeFrame? {
        bytes.map { ProbeFrame(ifindex: target.ifindex, bytes: $0) }
    }

    // MARK: bookkeeping

    /// An answer that no other probe waits for.
    private func freeKey(_ target: ProbeTarget, using random: inout some RandomNumberGenerator) -> ProbeKey? {
        for _ in 0..<16 {
            let key = target.key(target.method, number: .random(in: 32768...60999, using: &random))
            if byKey[key] == nil { return key }
        }
        return nil
    }

    private mutating func takeNumber() -> UInt32 {
        lastNumber = lastNumber == .max ? 1 : lastNumber + 1
        return lastNumber
    }

    private mutating func schedule(_ number: UInt32, at deadline: Instant) {
        let generation = push(number, at: deadline)
        outstanding[number]?.generation = generation
    }

    mutating func push(_ number: UInt32, at deadline: Instant) -> UInt64 {
        generation += 1
        deadlines.push(number, generation, at: deadline)
        return generation
    }

    private mutating func remove(_ number: UInt32) -> [ProbeStep] {
        guard let probe = outstanding.removeValue(forKey: number) else { return [] }
        if byInstance[probe.target.instance] == number { byInstance[probe.target.instance] = nil }
        byKey[probe.key] = nil
        sentAt[number] = nil
        guard let echo = probe.echo else { return [.forget(probe.key)] }
        sentAt[echo.number] = nil
        echoes[echo.number] = nil
        byKey[echo.key] = nil
        return [.forget(probe.key), .forget(echo.key)]
    }
}
