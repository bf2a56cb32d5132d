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

public struct InstanceView: Hashable, Sendable, Codable {
    public enum State: String, Codable, Sendable {
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
        /// Claimed by somebody who may not.
        case foreign
    }
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

/// An address that asked a registry for a service.
public struct Workload: Hashable, Sendable, Codable {
    public var network: NetworkID
    public var address: IPAddress
    public var port: PortName
    public var mac: MACAddress
    /// What it asked for last.
    public var service: String
    public var time: Instant
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
