public import Model

/// What `remora get` and `remora explain` show. Names in them are a stranger's bytes: whoever prints them escapes them.

public struct ServiceView: Hashable, Sendable, Codable {
    public var service: ServiceID
    public var name: String
    public var vip: ServiceSpec.Frontend?
    public var mode: Mode
    /// Nil: it has none.
    public var proxy: ProxyID?
    public var status: ProxyStatus?
    public var instances: Int
    public var live: Int
    public var draining: Int
    public var policyRules: Int
    /// Why it has no proxy, or no VIP; nil: it has both.
    public var reason: String?
}

/// Where an instance is on its way.
public enum InstanceState: String, Codable, Sendable, CaseIterable {
    /// Judged a VM, registered, and carried as far as the mode allows.
    case live
    case draining
    /// Dead, or its lease lapsed.
    case lost
    /// Gone; the policy on its address is kept.
    case guarded
    case container
    /// No verdict.
    case unknown
    /// A VM that is not carried: IPv6, UDP, flapping, or its place not known.
    case waiting
    /// Its registry's yes was not in view, and no probe has found it yet.
    case provisional
    /// Alive, and by its registry's word not to be sent anything.
    case resting
    /// Claimed by somebody who may not.
    case foreign
}

public struct InstanceView: Hashable, Sendable, Codable {
    public typealias State = InstanceState
    public var instance: InstanceID
    public var service: ServiceID
    public var state: State
    public var verdict: Verdict
    public var place: Place?
    public var mode: Mode
    public var proxy: ProxyID?
    /// Why it is in no proxy; nil: it is in one.
    public var reason: String?
    public var judgement: Judgement
    public var holders: [HolderView]
}

public struct HolderView: Hashable, Sendable, Codable {
    public var holder: Holder
    /// Nil: no lease.
    public var leaseLeftSeconds: Int?
}

public struct ProxyView: Hashable, Sendable, Codable {
    public var proxy: ProxyID
    public var spec: ProxySpec
    /// Nil in observe mode: it would be.
    public var status: ProxyStatus?
}

/// An address that asked a registry for services: a candidate workload of this NIC.
public struct Workload: Hashable, Sendable, Codable {
    /// A service that it asked for, and so is about to call.
    public struct Call: Hashable, Sendable, Codable {
        public var service: ServiceID
        /// The dialect in which it asked.
        public var registry: String
        public var time: Instant
        /// How often, as far as it is remembered.
        public var count = 1
    }
    public var network: NetworkID
    public var address: IPAddress
    public var port: PortName
    public var mac: MACAddress
    /// Latest first. Empty: it asked for no service by name lately.
    public var calls: [Call]
    /// When it asked last.
    public var time: Instant
    public var judgement: Judgement
}

/// Everything that is known about one thing that was asked about.
public struct Explanation: Hashable, Sendable, Codable {
    public enum Subject: Hashable, Sendable, Codable {
        case service(ServiceView)
        case instance(InstanceView)
        case workload(Workload)
        case refusal(Refusal)
    }
    public var subject: Subject
    /// In order, for people.
    public var sentences: [String]
}
