/// One thing a guest said to its registry, read off the wire: a registration, heartbeat, deregistration, lease or
/// discovery request. Absent is nil, never a guess.
public struct Advertisement: Hashable, Sendable, Codable {
    public enum Operation: String, Codable, Sendable { case register, deregister, heartbeat, discover, lease, status }

    public var registry: String
    public var op: Operation
    public var service: String?
    public var id: String?
    public var address: String?
    /// 0: the registry was told of no port.
    public var port: Int?
    public var `protocol`: String?
    public var tags: [String]?
    public var meta: [String: String]?
    /// How long the registration lives without a heartbeat; 0 or nil: for ever.
    public var ttlSeconds: Int?
    /// What the protocol defines where the client gave no such time.
    public var ttlDefaultSeconds: Int?
    /// True: the registry was seen to agree. False: it refused, nothing changed. Nil: its answer was not in view.
    public var accepted: Bool?
    /// Who said it: the source address of the request.
    public var sourceIp: String?
    public var registryIp: String?
    public var registryPort: Int?
    public var namespace: String?
    public var dc: String?
    public var partition: String?
    public var node: String?
    public var key: String?
    public var value: String?
    /// Unsigned 64-bit in etcd's protocol, as decimal text.
    public var leaseId: String?
    /// What the protocol defines where the client gave no address: "sender", "registry" (the agent that was asked), or
    /// "node" (the one that it was registered for, by whoever knows that).
    public var addressDefault: String?
    /// Consul: the service that a check belongs to, or that a sidecar or another port was registered with. In
    /// heartbeats `id` is the check's own. UDDI: the service that a binding belongs to.
    public var serviceId: String?
    /// What the registry is told of the instance's health, in its own words: of a Consul check "passing", "warning" or
    /// "critical", of a Eureka instance "UP", "DOWN", "STARTING", "OUT_OF_SERVICE" or "UNKNOWN".
    public var status: String?
    /// It replaces what was registered before under the same id.
    public var update: Bool?
    /// One of several instances in one request; each is told by itself.
    public var batch: Bool?
    public var group: String?
    public var cluster: String?
    /// DNS: of an update. Elsewhere a place where instances are near each other.
    public var zone: String?
    public var weight: Double?
    /// DNS: of an SRV record (RFC 2782), lower goes first.
    public var priority: Int?
    public var version: String?
    /// The name that the client gives its machine, whether or not it resolves.
    public var hostName: String?
    /// DNS-SD: the first label of the instance's name, unescaped.
    public var instance: String?
    /// DNS-SD: the target of the instance's SRV record.
    public var host: String?
    /// All of them, where the protocol has several.
    public var addresses: [String]?
    /// Eureka: how often the client means to renew.
    public var renewalIntervalSeconds: Int?
    /// ZooKeeper: of the node.
    public var path: String?
    /// It ends with the client's session or connection.
    public var ephemeral: Bool?
    /// The registry appended a number to the name.
    public var sequential: Bool?
    /// Which session it hangs on, or which one a heartbeat renews.
    public var sessionId: String?
    public var sessionTimeoutMs: Int?
    /// NATS: what was published to.
    public var subject: String?
    /// NATS: names of a service's endpoints.
    public var endpoints: [String]?
    /// DNS: the question, name and type.
    public var query: String?

    public init(registry: String, op: Operation) {
        self.registry = registry
        self.op = op
    }
}

/// An advertisement and where on the NIC it was heard.
public struct Hearing: Sendable, Equatable {
    public var advertisement: Advertisement
    public var network: NetworkID
    public var port: PortName
    public var role: PortRole
    /// The frame's source MAC address and IP address: the asker's, or those of the router before it.
    public var sourceMAC: MACAddress
    public var source: IPAddress
    /// Of the tag that the frame carried; nil: none.
    public var vlan: UInt16?
    /// TTL or hop limit as it arrived; nil: not known.
    public var hopLimit: UInt8?
    /// When the registry's answer (or the request, where none is in view) passed.
    public var time: Instant

    public init(
        advertisement: Advertisement, network: NetworkID, port: PortName, role: PortRole, sourceMAC: MACAddress,
        source: IPAddress, vlan: UInt16? = nil, hopLimit: UInt8? = nil, time: Instant
    ) {
        self.advertisement = advertisement
        self.network = network
        self.port = port
        self.role = role
        self.sourceMAC = sourceMAC
        self.source = source
        self.vlan = vlan
        self.hopLimit = hopLimit
        self.time = time
    }
}
