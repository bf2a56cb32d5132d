public import Model

/// A guest that asked a registry for services.
public struct WorkloadView: Codable, Sendable, Hashable {
    public var network: NetworkID
    public var address: IPAddress
    public var device: String?
    public var mac: MACAddress?
    public var verdict: Verdict
    /// Heaviest first.
    public var evidence: [Evidence]
    /// What it is about to call, latest first.
    public var calls: [CallView]
    public var seen: Instant

    public init(
        network: NetworkID, address: IPAddress, device: String? = nil, mac: MACAddress? = nil,
        verdict: Verdict = .unknown, evidence: [Evidence] = [], calls: [CallView] = [], seen: Instant
    ) {
        self.network = network
        self.address = address
        self.device = device
        self.mac = mac
        self.verdict = verdict
        self.evidence = evidence
        self.calls = calls
        self.seen = seen
    }
}

/// A service that somebody asked a registry for.
public struct CallView: Codable, Sendable, Hashable {
    public var service: String
    /// The dialect in which it was asked for.
    public var registry: String
    public var count: Int
    public var seen: Instant

    public init(service: String, registry: String, count: Int, seen: Instant) {
        self.service = service
        self.registry = registry
        self.count = count
        self.seen = seen
    }
}

/// Where registries are listened to.
public struct RegistryView: Codable, Sendable, Hashable {
    /// What may be spoken there.
    public var kinds: [String]
    /// Nil: any.
    public var address: IPAddress?
    public var port: UInt16
    public var transports: [TransportProtocol]
    /// Registries that something was heard of, latest first.
    public var heard: [HeardRegistryView]
    /// Conversations that are encrypted, oldest first: those registries must be asked instead.
    public var encrypted: [EncryptedRegistryView]

    public init(
        kinds: [String], address: IPAddress? = nil, port: UInt16, transports: [TransportProtocol],
        heard: [HeardRegistryView] = [], encrypted: [EncryptedRegistryView] = []
    ) {
        self.kinds = kinds
        self.address = address
        self.port = port
        self.transports = transports
        self.heard = heard
        self.encrypted = encrypted
    }
}

public struct HeardRegistryView: Codable, Sendable, Hashable {
    public var network: NetworkID
    public var address: IPAddress
    public var events: UInt64
    public var seen: Instant

    public init(network: NetworkID, address: IPAddress, events: UInt64, seen: Instant) {
        self.network = network
        self.address = address
        self.events = events
        self.seen = seen
    }
}

public struct EncryptedRegistryView: Codable, Sendable, Hashable {
    public var network: NetworkID
    public var address: IPAddress
    public var guest: IPAddress
    public var connections: UInt64
    public var since: Instant
    public var seen: Instant

    public init(
        network: NetworkID, address: IPAddress, guest: IPAddress, connections: UInt64, since: Instant, seen: Instant
    ) {
        self.network = network
        self.address = address
        self.guest = guest
        self.connections = connections
        self.since = since
        self.seen = seen
    }
}
