/// A proxy: the loaded program and maps that carry one VM service, or all services of the same VMs.
public struct ProxyID: Hashable, Sendable, Codable, Comparable, CustomStringConvertible {
    public let network: NetworkID
    /// Namespace and name of the service, or the VM's address: unescaped.
    public let name: String

    public init(network: NetworkID, name: String) {
        self.network = network
        self.name = name
    }

    public static func < (a: Self, b: Self) -> Bool { (a.network, a.name) < (b.network, b.name) }
    public var description: String { network.number == 0 ? name : "\(network):\(name)" }
}

/// What a proxy should be. Equal specifications mean: nothing to do.
public struct ProxySpec: Hashable, Sendable, Codable {
    public var id: ProxyID
    public var services: [ServiceSpec]

    public init(id: ProxyID, services: [ServiceSpec]) {
        self.id = id
        self.services = services
    }

    /// Those that connections may go on with.
    public var carried: Set<InstanceID> {
        let backends = services.lazy.flatMap(\.backends).filter { $0.state != .guarded }
        return Set(backends.map { $0.instance(in: id.network) })
    }
}

public struct ServiceSpec: Hashable, Sendable, Codable {
    public var id: ServiceID
    /// The mesh VIP and its port; nil where only the VMs' own addresses are answered for.
    public var vip: Frontend?
    /// Sorted by address and port. Each one's own address is a frontend that leads to it alone.
    public var backends: [Backend]
    public var policy: PolicyRules

    public init(id: ServiceID, vip: Frontend?, backends: [Backend], policy: PolicyRules) {
        self.id = id
        self.vip = vip
        self.backends = backends
        self.policy = policy
    }

    public struct Frontend: Hashable, Sendable, Codable {
        public var address: IPv4Address
        public var port: UInt16
        public init(address: IPv4Address, port: UInt16) {
            self.address = address
            self.port = port
        }
    }
}

/// An instance that connections may go to, and where its frames go.
public struct Backend: Hashable, Sendable, Codable {
    public enum State: String, Codable, Sendable {
        case live
        /// Deregistered, alive: established flows go on, new ones are refused.
        case draining
        /// Gone from the mesh; only the policy on its address is kept.
        case guarded
    }
    public var address: IPv4Address
    public var port: UInt16
    public var mac: MACAddress
    public var device: PortName
    public var state: State

    public init(address: IPv4Address, port: UInt16, mac: MACAddress, device: PortName, state: State) {
        self.address = address
        self.port = port
        self.mac = mac
        self.device = device
        self.state = state
    }

    public func instance(in network: NetworkID) -> InstanceID {
        InstanceID(network: network, address: .v4(address), port: port)
    }
}

/// The source policy of one service, as the operator means it: the rule with the longest source prefix decides, then the
/// one that names the port, then deny before allow; what no rule matches is allowed.
public struct PolicyRules: Hashable, Sendable, Codable {
    public var rules: [Rule]
    public init(rules: [Rule] = []) { self.rules = rules }

    /// Does any rule deny? Then the rules stay on an address after its service has gone.
    public var denies: Bool { rules.contains { $0.action == .deny } }

    public struct Rule: Hashable, Sendable, Codable {
        public enum Action: String, Codable, Sendable { case allow, deny }
        public var action: Action
        public var source: IPv4Prefix
        /// The port the client connects to (the frontend's); nil: any.
        public var port: UInt16?
        public var proto: TransportProtocol?

        public init(action: Action, source: IPv4Prefix, port: UInt16? = nil, proto: TransportProtocol? = nil) {
            self.action = action
            self.source = source
            self.port = port
            self.proto = proto
        }
    }
}
