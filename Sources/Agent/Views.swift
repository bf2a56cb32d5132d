public import Model

/// What the agent tells people and programs, as it stands on the socket. Absent is nil and left out of the JSON.

public struct StatusView: Codable, Sendable, Hashable {
    public var node: String
    public var version: String
    public var mode: Mode
    public var started: Instant
    public var ports: [PortView]
    public var services: Int
    public var proxies: Int
    /// Instances by verdict.
    public var instances: [String: Int]
    public var maps: [MapView]
    /// Packets dropped since the data path was loaded, by reason; reasons that never struck are left out.
    public var drops: [String: UInt64]
    /// What is missing among the drops, and why; nil: nothing.
    public var uncounted: String?
    /// What needs an operator, the worst first.
    public var alarms: [AlarmView]
    /// What the ear counted: frames, streams, messages, gaps ...
    public var heard: [String: UInt64]
    /// Pairs of a guest and a registry whose conversation is encrypted.
    public var encryptedRegistries: Int
    /// Connections deleted because their backend died.
    public var purgedFlows: Int
    /// From a registry's yes to a proxy that carries packets: the median of the newest 1024 at most.
    public var registrationToProxyMilliseconds: Double?
    /// From the registry's yes to the first verdict that is not `unknown`: the median.
    public var registrationToVerdictMilliseconds: Double?

    public init(
        node: String, version: String, mode: Mode, started: Instant, ports: [PortView] = [], services: Int = 0,
        proxies: Int = 0, instances: [String: Int] = [:], maps: [MapView] = [], drops: [String: UInt64] = [:],
        uncounted: String? = nil, alarms: [AlarmView] = [], heard: [String: UInt64] = [:],
        encryptedRegistries: Int = 0, purgedFlows: Int = 0,
        registrationToProxyMilliseconds: Double? = nil, registrationToVerdictMilliseconds: Double? = nil
    ) {
        self.node = node
        self.version = version
        self.mode = mode
        self.started = started
        self.ports = ports
        self.services = services
        self.proxies = proxies
        self.instances = instances
        self.maps = maps
        self.drops = drops
        self.uncounted = uncounted
        self.alarms = alarms
        self.heard = heard
        self.encryptedRegistries = encryptedRegistries
        self.purgedFlows = purgedFlows
        self.registrationToProxyMilliseconds = registrationToProxyMilliseconds
        self.registrationToVerdictMilliseconds = registrationToVerdictMilliseconds
    }
}

/// How full a BPF map is.
public struct MapView: Codable, Sendable, Hashable {
    public var name: String
    public var entries: Int
    public var capacity: Int

    public init(name: String, entries: Int, capacity: Int) {
        self.name = name
        self.entries = entries
        self.capacity = capacity
    }
}

/// Something that failed or is about to.
public struct AlarmView: Codable, Sendable, Hashable {
    public var subject: String
    public var message: String
    public var remedy: String?

    public init(subject: String, message: String, remedy: String? = nil) {
        self.subject = subject
        self.message = message
        self.remedy = remedy
    }
}

public struct PortView: Codable, Sendable, Hashable {
    public enum State: String, Codable, Sendable {
        case attached
        /// Named in the configuration; no such device yet.
        case waiting
        /// The device is there, the program is not; `problem` says why.
        case failed
        /// Taken off by the operator.
        case detached
    }
    public var name: String
    public var role: PortRole
    public var network: NetworkID
    public var mode: Mode
    public var forwarding: Forwarding
    public var state: State
    /// The hooks really in use: "tcx ingress", "tcx egress".
    public var hooks: [String]
    public var ifindex: UInt32?
    public var packets: UInt64
    public var bytes: UInt64
    public var drops: UInt64
    public var problem: String?

    public init(
        name: String, role: PortRole, network: NetworkID, mode: Mode, forwarding: Forwarding, state: State,
        hooks: [String] = [], ifindex: UInt32? = nil, packets: UInt64 = 0, bytes: UInt64 = 0, drops: UInt64 = 0,
        problem: String? = nil
    ) {
        self.name = name
        self.role = role
        self.network = network
        self.mode = mode
        self.forwarding = forwarding
        self.state = state
        self.hooks = hooks
        self.ifindex = ifindex
        self.packets = packets
        self.bytes = bytes
        self.drops = drops
        self.problem = problem
    }
}

public struct ServiceView: Codable, Sendable, Hashable {
    public var network: NetworkID
    public var namespace: String
    public var name: String
    /// `address:port`.
    public var vip: String?
    public var state: String
    public var mode: Mode
    /// Instances that new connections may go to, of all that are known.
    public var live: Int
    public var instances: Int
    public var proxy: String?
    public var rules: Int
    public var connections: UInt64
    public var packets: UInt64
    public var bytes: UInt64
    public var drops: UInt64
    /// Why it has no proxy, where it has none.
    public var reason: String?

    public init(
        id: ServiceID, vip: String? = nil, state: String, mode: Mode, live: Int = 0, instances: Int = 0,
        proxy: String? = nil, rules: Int = 0, connections: UInt64 = 0, packets: UInt64 = 0, bytes: UInt64 = 0,
        drops: UInt64 = 0, reason: String? = nil
    ) {
        network = id.network
        namespace = id.namespace
        name = id.name
        self.vip = vip
        self.state = state
        self.mode = mode
        self.live = live
        self.instances = instances
        self.proxy = proxy
        self.rules = rules
        self.connections = connections
        self.packets = packets
        self.bytes = bytes
        self.drops = drops
        self.reason = reason
    }

    public var id: ServiceID { ServiceID(network: network, namespace: namespace, name: name) }
}

public struct ProxyView: Codable, Sendable, Hashable {
    public var network: NetworkID
    public var name: String
    public var state: String
    public var services: [String]
    /// `address:port`, with the state where it is not live.
    public var backends: [String]
    public var slots: [Int]
    /// The kernel's number of the program: `bpftool prog show id N`.
    public var program: UInt32?
    public var instructions: Int?
    public var memoryBytes: Int?
    public var loadMicroseconds: Int?
    /// From the registry's yes to the first packet that could pass.
    public var registrationToProxyMilliseconds: Double?
    public var pins: String?
    public var problem: String?

    public init(
        id: ProxyID, state: String, services: [String], backends: [String] = [], slots: [Int] = [],
        program: UInt32? = nil, instructions: Int? = nil, memoryBytes: Int? = nil, loadMicroseconds: Int? = nil,
        registrationToProxyMilliseconds: Double? = nil,
        pins: String? = nil, problem: String? = nil
    ) {
        network = id.network
        name = id.name
        self.state = state
        self.services = services
        self.backends = backends
        self.slots = slots
        self.program = program
        self.instructions = instructions
        self.memoryBytes = memoryBytes
        self.loadMicroseconds = loadMicroseconds
        self.registrationToProxyMilliseconds = registrationToProxyMilliseconds
        self.pins = pins
        self.problem = problem
    }
}

public struct InstanceView: Codable, Sendable, Hashable {
    public var network: NetworkID
    public var address: IPAddress
    public var port: UInt16
    public var `protocol`: TransportProtocol
    public var service: String
    public var state: String
    public var verdict: Verdict
    public var device: String?
    public var mac: MACAddress?
    /// Who keeps it: registry and registration.
    public var holders: [String]
    public var leaseSeconds: Int?
    public var reason: String?

    public init(
        id: InstanceID, service: String, state: String, verdict: Verdict, device: String? = nil,
        mac: MACAddress? = nil, holders: [String] = [], leaseSeconds: Int? = nil, reason: String? = nil
    ) {
        network = id.network
        address = id.address
        port = id.port
        `protocol` = id.proto
        self.service = service
        self.state = state
        self.verdict = verdict
        self.device = device
        self.mac = mac
        self.holders = holders
        self.leaseSeconds = leaseSeconds
        self.reason = reason
    }
}

/// Why something is as it is.
public struct ExplanationView: Codable, Sendable, Hashable {
    public var subject: String
    /// The answer in one sentence: it has a proxy, or has none because ...
    public var summary: String
    public var verdict: Verdict?
    /// Heaviest first.
    public var evidence: [Evidence]
    public var facts: [String]
    /// What would settle an open question.
    public var missing: String?

    public init(
        subject: String, summary: String, verdict: Verdict? = nil, evidence: [Evidence] = [], facts: [String] = [],
        missing: String? = nil
    ) {
        self.subject = subject
        self.summary = summary
        self.verdict = verdict
        self.evidence = evidence
        self.facts = facts
        self.missing = missing
    }
}

/// One thing that happened to a connection.
public struct FlowView: Codable, Sendable, Hashable {
    public enum Kind: String, Codable, Sendable { case opened, closed, dropped }
    /// Counts up by one for each; where a reader goes on from.
    public var cursor: UInt64
    public var time: Instant
    public var kind: Kind
    /// A name of the reason list.
    public var reason: String
    public var network: NetworkID
    /// `address:port`, before translation.
    public var source: String
    public var destination: String
    public var backend: String?
    public var service: String?
    public var port: String?

    public init(
        cursor: UInt64, time: Instant, kind: Kind, reason: String, network: NetworkID, source: String,
        destination: String, backend: String? = nil, service: String? = nil, port: String? = nil
    ) {
        self.cursor = cursor
        self.time = time
        self.kind = kind
        self.reason = reason
        self.network = network
        self.source = source
        self.destination = destination
        self.backend = backend
        self.service = service
        self.port = port
    }
}

public struct FlowPage: Codable, Sendable, Hashable {
    public var flows: [FlowView]
    /// What to ask with for the next page.
    public var next: UInt64
    /// Events since the asked cursor that are no longer held, or were lost in the ring.
    public var missed: UInt64

    public init(flows: [FlowView], next: UInt64, missed: UInt64 = 0) {
        self.flows = flows
        self.next = next
        self.missed = missed
    }
}

/// A connection that the flow table holds.
public struct ConnectionView: Codable, Sendable, Hashable {
    public var network: NetworkID
    /// `address:port`.
    public var client: String
    public var frontend: String
    public var backend: String
    /// The client's port as the backend sees it: another one, where two connections would have been one there.
    public var sourcePort: UInt16
    public var service: String?
    public var port: String?
    /// half-open, open, closing, closed or reset.
    public var state: String
    public var sentPackets: UInt32
    public var answeredPackets: UInt32
    public var idleSeconds: Int?
}

/// What a changing verb did, one sentence each.
public struct ChangeView: Codable, Sendable, Hashable {
    public var changes: [String]
    public init(changes: [String]) { self.changes = changes }
}
