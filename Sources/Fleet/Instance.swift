public import Model

/// One registration of an instance. Several may hold it; it goes when the last one that counts lets go.
public struct Holder: Hashable, Sendable, Codable {
    public var service: ServiceID
    /// The registry's dialect, or "declared".
    public var registry: String
    /// What the registry knows it by: Consul's id, etcd's key.
    public var registration: String
    /// Name of its lease; nil: it lives until it is deregistered.
    public var lease: String?
    public var ttlSeconds: Int?
    /// Who said it, and the port it was heard on; nil for a declaration.
    public var registrant: IPAddress?
    public var port: PortName?
    /// Its registry's yes was seen, or a probe found it there.
    public var confirmed: Bool
    /// It named no address, which means its registry's agent's: the registrant's stands for it, once a probe agrees.
    public var assumed = false
    /// The host that it named in place of an address: the registrant's stands for it, once a probe agrees.
    public var hostName: String?
    /// Its registry was told at its registration that it is not to be sent anything; nil: no.
    public var rests: Bool?
    /// It was said later, by whoever may: it holds until it is taken back.
    public var restsByOrder: Bool?
    /// Consul: checks that renew it beside those that are named after it.
    public var checks: [String] = []
    /// Claimed by another address that is no registrar: shown, and nothing else.
    public var foreign: Bool
    /// Its lease ran out; a heartbeat brings it back.
    public var lapsed: Bool
    public var since: Instant

    var counts: Bool { confirmed && !foreign && !lapsed && !isResting }
    /// It lives, and is not to be sent anything.
    var isResting: Bool { rests == true || restsByOrder == true }
    var registrationKey: RegistrationKey {
        RegistrationKey(network: service.network, registry: registry, registration: registration)
    }
    var leaseKey: LeaseKey? { lease.flatMap(key(ofLease:)) }
    /// What heartbeats of its further checks are looked up by.
    var checkKeys: [LeaseKey] { checks.compactMap { key(ofLease: LeaseKey.check($0)) } }

    private func key(ofLease name: String) -> LeaseKey? {
        registrant.map { LeaseKey(network: service.network, registrant: $0, registry: registry, name: name) }
    }
}

/// What a registry knows a registration by. Guests may use the same one, each at its own Consul agent.
struct RegistrationKey: Hashable, Sendable {
    let network: NetworkID
    let registry: String
    let registration: String
}

/// A lease is its registrant's: the same name said by another guest is another lease.
struct LeaseKey: Hashable, Sendable {
    let network: NetworkID
    let registrant: IPAddress
    let registry: String
    let name: String

    static func check(_ id: String) -> String { "check:\(id)" }
    static func lease(_ id: String) -> String { "lease:\(id)" }
    var isCheck: Bool { name.hasPrefix("check:") }
}

struct Lease: Sendable {
    /// Nil, and no deadline, as long as nobody has said.
    var ttlSeconds: Int?
    var deadline: Instant?
    var lapsed = false
    var heard: Instant
    var instances: Set<InstanceID> = []
}

/// Where an instance is on its way from being advertised to being gone.
public enum Phase: Hashable, Sendable, Codable {
    /// Registered. Whether it is proxied is its verdict's matter.
    case held
    /// Let go of, alive: out of balancing, established connections go on.
    case draining(since: Instant, until: Instant)
    /// Dead, or its lease lapsed and its connections are done: remembered for a while.
    case lost(since: Instant, dead: Bool, why: String)
    /// Gone; the operator's policy stays on its address. Dead: no machine had the address any more.
    case guarded(since: Instant, dead: Bool)
}

struct Instance: Sendable {
    let id: InstanceID
    /// Who carries its address; other names of the same instance wait.
    var service: ServiceID
    var holders: [Holder] = []
    var judgement = Judgement(verdict: .unknown, score: 0, evidence: [], place: nil)
    /// Where its own frames were seen.
    var heard: Place?
    /// Where it lives: where it answers, or was heard, or the operator says.
    var place: Place?
    /// What the judgement rests on; nil: an answer is awaited.
    var probe: ProbeResult?
    var registry: IPAddress?
    var phase = Phase.held
    /// Flapping: not before this.
    var damped: Instant?
    /// Was in a proxy, or would have been in observe mode, at some time.
    var carried = false
    /// Is, now.
    var live = false
    /// It answered with an open port: from then on a closed one is a failure.
    var open = false
    var failures = 0
    var asked: Instant?
    var nextProbe: Instant?
    /// Restored, and its port not seen since the start.
    var graceUntil: Instant?
    /// Dead or lapsed: remembered until then.
    var forgetAt: Instant?
    /// Seen elsewhere, too soon after the last time to ask again at once.
    var sighted: Place?
    /// Another machine claimed its address, and this one is being asked.
    var contested = false
    var movedAt: Instant?
    var move: Move?
    var traces: Traces
    /// When its own machine last answered ARP or neighbour discovery.
    var neighbourSeen: Instant?
    var recorded: Fleet.InstanceRecord?
    /// As the indexes know it.
    var indexedPort: PortName?
    var indexedNames: Set<ServiceID> = []
    var indexedMachine: MACAddress?

    /// It was seen elsewhere: where it was known to live is asked first, and only if that is silent the new place.
    enum Move: Hashable, Sendable {
        case doubted(Place)
        case tried(Place)
    }

    init(id: InstanceID, service: ServiceID, since: Instant) {
        self.id = id
        self.service = service
        traces = Traces(since: since)
    }

    var hasPort: Bool { id.port != 0 }
    var host: HostID { HostID(network: id.network, address: id.address) }
    var isForeign: Bool { !holders.isEmpty && holders.allSatisfy(\.foreign) }
    /// Could it be a backend, as far as this version carries?
    var isCarriable: Bool {
        guard let place, place.role != .uplink else { return false }
        return judgement.verdict == .vm && id.address.v4 != nil && id.proto == .tcp && hasPort
    }
    /// Its own machine is known; before an uplink there are only routers.
    var machine: MACAddress? { place.flatMap { $0.role == .uplink || isForeign ? nil : $0.mac } }
    var isDraining: Bool { if case .draining = phase { true } else { false } }
    var isLost: Bool { if case .lost = phase { true } else { false } }
    var isDead: Bool {
        switch phase {
        case .lost(_, let dead, _), .guarded(_, let dead): dead
        case .held, .draining: false
        }
    }
    var isGuarded: Bool { if case .guarded = phase { true } else { false } }
    var isResting: Bool { holders.contains(where: \.isResting) && !holders.contains(where: \.counts) }
    /// It has a registration that only a heartbeat brings back, and none that waits for something else.
    var hasLapsed: Bool {
        holders.contains(where: \.lapsed) && holders.allSatisfy { $0.lapsed || $0.foreign }
    }
    /// It has a registration that counts once a probe finds it open.
    var awaitsProbe: Bool { holders.contains { !$0.confirmed && !$0.foreign } }
    /// Whose limits it counts against.
    var limitPort: PortName? { place?.port ?? holders.lazy.compactMap(\.port).first }
}
