internal import BPFRuntime
internal import CRemoraABI
public import Model

/// The one room that touches the kernel's BPF: brings programs, maps and pins to what is wanted, and undoes in reverse
/// what it did when a step fails. Not for two threads.
public final class Dataplane {
    public struct Settings: Sendable {
        public var node: String
        public var bpffs: String
        /// Entries that the flow table has room for at least, two for a connection: rounded up to a power of two.
        public var flowCapacity: Int
        public static let defaultFlowCapacity = 131_072
        /// Half-open flows that one port may have.
        public var halfOpenPerPort: Int
        public var registries: [Registry]
        /// Probes may go on to a request: whatever comes on their connections is taken off the wire and copied.
        public var httpProbe = false

        public struct Registry: Sendable, Hashable {
            /// nil: any address.
            public var address: IPAddress?
            public var port: UInt16
            /// By which its traffic is copied.
            public var transports: Set<TransportProtocol>
            public init(address: IPAddress?, port: UInt16, transports: Set<TransportProtocol> = [.tcp]) {
                self.address = address
                self.port = port
                self.transports = transports
            }
        }

        public init(
            node: String, bpffs: String = "/sys/fs/bpf", flowCapacity: Int = defaultFlowCapacity,
            halfOpenPerPort: Int = 16384,
            registries: [Registry] = []
        ) {
            self.node = node
            self.bpffs = bpffs
            self.flowCapacity = flowCapacity
            self.halfOpenPerPort = halfOpenPerPort
            self.registries = registries
        }
    }

    public let settings: Settings
    /// Frames to VIPs of this node are sent to this address: locally administered, from the node's name.
    public let vipMAC: MACAddress
    let directory: PinDirectory
    let maps: NodeMaps
    private let ownership: Descriptor
    var attachments: [PortName: Attachment] = [:]
    var portSlots = Slots<PortName>(limit: UInt32(REMORA_MAX_PORTS))
    var proxies: [ProxyID: Loaded] = [:]
    var serviceSlots: [ServiceID: UInt32] = [:]
    var slots = Slots<ServiceID>(limit: UInt32(REMORA_MAX_SERVICES))
    var slotOwner: [UInt32: ProxyID] = [:]
    var frontends: Claims<FrontendKey, remora_frontend>
    var vips: Claims<AddressKey, UInt32>
    var neighbours: Claims<AddressKey, remora_neighbour>
    public internal(set) var sweep: FlowSweep
    /// Connections that were open when their flows were purged.
    public internal(set) var purgedConnections = 0
    var rings: [Ring] = []
    var losses: Losses?

    struct Loaded {
        var proxy: LoadedProxy
        var services: [ServiceID]
        /// nil: adopted, and not yet compared with what is wanted.
        var spec: ProxySpec?
        var loadMicroseconds: Int?
    }

    /// Mounts or finds bpffs, takes the node for itself, makes the shared maps or adopts those that are pinned.
    public init(_ settings: Settings) throws(DataplaneError) {
        self.settings = settings
        vipMAC = Self.vipMAC(node: settings.node)
        directory = Self.directory(node: settings.node, bpffs: settings.bpffs)
        let directory = directory
        try during("prepare \(settings.bpffs)") { () throws(BPFError) in
            try PinDirectory.mountIfNeeded(settings.bpffs)
            try directory.create()
        }
        guard let lock = try during("take node \(settings.node)", { () throws(BPFError) in try directory.lock() })
        else {
            throw DataplaneError(
                .busy, "take node \(settings.node)",
                "another agent holds \(directory); stop it, or give this one another node name")
        }
        ownership = lock
        let maps = try during("set up the data path at \(directory)") { () throws(BPFError) in
            try NodeMaps(
                directory: directory, flows: settings.flowCapacity, processors: possibleProcessors())
        }
        self.maps = maps
        frontends = Claims { (key, value) throws(BPFError) in
            if let value { try maps.frontends.set(key.raw, value) } else { try maps.frontends.remove(key.raw) }
        }
        vips = Claims { (key, value) throws(BPFError) in
            if let value { try maps.vips.set(key.raw, value) } else { try maps.vips.remove(key.raw) }
        }
        neighbours = Claims { (key, value) throws(BPFError) in
            if let value { try maps.neighbours.set(key.raw, value) } else { try maps.neighbours.remove(key.raw) }
        }
        sweep = FlowSweep(maps)
        try writeRegistries()
        try adopt()
    }

    static func directory(node: String, bpffs: String) -> PinDirectory {
        PinDirectory(bpffs) / "remora" / PinName(node)
    }

    static func vipMAC(node: String) -> MACAddress {
        let hash = fnv1a(node.utf8)
        return MACAddress(bits: 0x02_52_00_00_00_00 | (hash ^ hash >> 32) & 0xffff_ffff)
    }

    private func writeRegistries() throws(DataplaneError) {
        try during("write the registries' addresses") { () throws(BPFError) in
            for key in try maps.registries.keys() { try maps.registries.remove(key) }
            for registry in settings.registries {
                // a registry may serve several networks: the map is asked with each packet's own
                for network in networks { try maps.registries.set(registry.key(network: network), 1) }
            }
        }
    }

    /// Networks in use; grows as ports are attached.
    private(set) var networks: Set<NetworkID> = [NetworkID(0)]

    func use(_ added: Set<NetworkID>) throws(DataplaneError) {
        guard !added.isSubset(of: networks) else { return }
        networks.formUnion(added)
        try writeRegistries()
    }
}

extension Dataplane.Settings.Registry {
    func key(network: NetworkID) -> remora_registry_key {
        var key = remora_registry_key()
        var octets = [UInt8](repeating: 0, count: 16)
        switch address {
        case .v4(let address):
            octets[10] = 0xff
            octets[11] = 0xff
            for index in 0..<4 {
                octets[12 + index] = UInt8(truncatingIfNeeded: address.bits >> (24 - 8 * UInt32(index)))
            }
        case .v6(let address): octets = address.bytes
        case nil: break
        }
        withUnsafeMutableBytes(of: &key.address) { $0.copyBytes(from: octets) }
        key.port = port.bigEndian
        key.network = network.number
        return key
    }
}
