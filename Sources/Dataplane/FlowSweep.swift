internal import BPFRuntime
internal import CRemoraABI
public import Model

/// Ages the flow table a slice at a time, and counts what is open on the way.
public struct FlowSweep {
    /// How long a flow without packets is kept.
    public struct Limits: Sendable {
        public var idle: Duration
        public var halfOpen: Duration
        /// After its end; and how long a source port keeps its use at most: it must not meet the guest's TIME_WAIT under
        /// another frontend's flow.
        public var closed: Duration
        /// The same while more than a quarter of the table is live: some ended by a reset, and nobody takes their slots.
        public var closedUnderPressure: Duration

        public init(
            idle: Duration = .seconds(3600), halfOpen: Duration = .seconds(10), closed: Duration = .seconds(60),
            closedUnderPressure: Duration = .seconds(1)
        ) {
            self.idle = idle
            self.halfOpen = halfOpen
            self.closed = closed
            self.closedUnderPressure = closedUnderPressure
        }
    }

    /// What one pass over the whole table found.
    public struct Pass: Sendable {
        /// Connections that are open, by instance.
        public var open: [InstanceID: Int] = [:]
        public var entries = 0
        public var aged = 0
    }

    public var limits = Limits()
    private let maps: NodeMaps
    private var walk: FlowTable.Walk
    private var pass = Pass()
    private var halfOpen: [UInt8: Int32] = [:]
    private var clock = JiffiesClock()
    /// Entries that the last whole pass found.
    private var lastEntries = 0

    /// More than a quarter of the table is in use: the rest is for what comes until the next pass has ended.
    var isPressed: Bool { max(lastEntries, pass.entries) > maps.flows.capacity / 4 }

    init(_ maps: NodeMaps) {
        self.maps = maps
        walk = FlowTable.Walk(maps.flows)
    }

    /// The kernel's clock, in ticks.
    func now() throws(BPFError) -> UInt32 { UInt32(bitPattern: try maps.clock.testRun(Self.frame).verdict) }

    /// Nil: the tick rate is not known yet.
    func age(of flow: remora_flow, at jiffies: UInt32) -> Duration? {
        clock.hertz.map { .milliseconds(max(0, flow.age(at: jiffies)) * 1000 / Int64($0)) }
    }

    /// Begins a new pass: what the last one has counted so far is too old to be used.
    public mutating func restart() {
        walk = FlowTable.Walk(maps.flows)
        pass = Pass()
        halfOpen = [:]
    }

    /// Looks at up to `limit` entries; a finished pass is returned, and the next call begins another.
    mutating func step(limit: Int, now: ContinuousClock.Instant) throws(BPFError) -> Pass? {
        let jiffies = try self.now()
        clock.note(jiffies, at: now)
        let most = clock.hertz.map { Ages(limits, isPressed: isPressed, hertz: $0) }
        var over: [remora_stale_flow] = []
        var walk = walk
        let more = walk.next(limit: limit) { flow, isLive in
            if isLive { pass.entries += 1 }
            guard let most, flow.age(at: jiffies) > most[flow] else { return note(flow) }
            over.append(remora_stale_flow(key: flow.key, seen: flow.seen, looked: jiffies))
            noteOpen(flow)  // it may be kept yet: a packet may have come since
        }
        self.walk = walk
        pass.aged += try maps.flows.forget(over)
        guard !more else { return nil }
        try writeHalfOpen()
        lastEntries = pass.entries
        if let hertz = clock.hertz { try maps.setLinger(Ages(limits, isPressed: false, hertz: hertz).closed) }
        defer { restart() }
        return pass
    }

    private mutating func note(_ flow: remora_flow) {
        if flow.isForward, !flow.has(REMORA_FLOW_ESTABLISHED) { halfOpen[flow.port, default: 0] += 1 }
        noteOpen(flow)
    }

    private mutating func noteOpen(_ flow: remora_flow) {
        if flow.isForward, flow.isOpen { pass.open[flow.instance, default: 0] += 1 }
    }

    /// The programs count up and down as packets pass; this is what is really there.
    private func writeHalfOpen() throws(BPFError) {
        for slot in 0..<UInt32(REMORA_MAX_PORTS) {
            guard var port = try maps.ports[slot], port.ifindex != 0 else { continue }
            port.half_open = halfOpen[UInt8(slot)] ?? 0
            try maps.ports.set(slot, port)
        }
    }

    /// Any frame will do: the clock program does not look at it.
    private static let frame = [UInt8](repeating: 0, count: 64)
}

/// The limits in the kernel's ticks.
private struct Ages {
    let idle, halfOpen, closed: Int64

    init(_ limits: FlowSweep.Limits, isPressed: Bool, hertz: UInt32) {
        func ticks(_ limit: Duration) -> Int64 { limit.milliseconds * Int64(hertz) / 1000 }
        idle = ticks(limits.idle)
        halfOpen = ticks(limits.halfOpen)
        closed = ticks(isPressed ? min(limits.closed, limits.closedUnderPressure) : limits.closed)
    }

    /// The one that this flow falls under.
    subscript(flow: remora_flow) -> Int64 {
        if flow.hasEnded { return closed }
        return flow.isForward && !flow.has(REMORA_FLOW_ESTABLISHED) ? halfOpen : idle
    }
}

/// The kernel's tick rate, which user space is not told: found from two readings half a second apart.
struct JiffiesClock {
    private var first: (jiffies: UInt32, at: ContinuousClock.Instant)?
    private(set) var hertz: UInt32?

    mutating func note(_ jiffies: UInt32, at now: ContinuousClock.Instant) {
        guard hertz == nil else { return }
        guard let first else {
            self.first = (jiffies, now)
            return
        }
        let elapsed = (now - first.at).milliseconds
        guard elapsed >= 500 else { return }
        let rate = Int64(jiffies &- first.jiffies) * 1000 / elapsed
        hertz = [100, 250, 300, 1000].min { abs($0 - rate) < abs($1 - rate) }.map(UInt32.init)
    }
}

extension remora_flow {
    func has(_ flag: remora_flow_flag) -> Bool { flags & UInt8(flag.rawValue) != 0 }

    var isForward: Bool { direction == UInt8(REMORA_FORWARD.rawValue) }

    /// In ticks, without a packet; negative: touched after the clock was read.
    func age(at jiffies: UInt32) -> Int64 { Int64(Int32(bitPattern: jiffies &- seen)) }

    /// An answers' entry is not told of the client's FIN. It is over by its own: the kernel keeps it while its request's is
    /// there.
    var hasEnded: Bool { has(REMORA_FLOW_RESET) || has(REMORA_FLOW_FIN) && (has(REMORA_FLOW_OTHER_FIN) || !isForward) }

    /// Of the forward direction: a server that said its last is done with the client, whatever that still holds open.
    var isOpen: Bool { !has(REMORA_FLOW_RESET) && !has(REMORA_FLOW_OTHER_FIN) }

    /// The VM's end of it.
    var instance: InstanceID {
        InstanceID(
            network: NetworkID(key.network),
            address: .v4(IPv4Address(networkOrder: isForward ? address : key.source)),
            port: UInt16(bigEndian: isForward ? destination_port : key.source_port))
    }
}
