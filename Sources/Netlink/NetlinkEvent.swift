public import Model

/// What the kernel says about devices and neighbours.
public enum NetlinkEvent: Hashable, Sendable {
    /// It is new, or something about it changed.
    case link(Link)
    case linkGone(Link)
    case neighbour(Neighbour)
    case neighbourGone(Neighbour)
    /// The kernel had more to say than the socket could hold: what is known may be stale, dump again.
    case overrun
}

/// A network device.
public struct Link: Hashable, Sendable {
    /// RFC 2863's state, as IFLA_OPERSTATE tells it.
    public enum OperationalState: UInt8, Sendable {
        case unknown, notPresent, down, lowerLayerDown, testing, dormant, up
    }
    public var index: UInt32
    public var name: PortName
    /// "veth", "tun", "bridge", ... Nil for devices of hardware.
    public var kind: String?
    /// Switched on by its administrator.
    public var isUp: Bool
    /// A cable, a peer that is up, or a process that holds the tap open.
    public var hasCarrier: Bool
    public var state: OperationalState
    /// Nil where the device has none of six bytes.
    public var mac: MACAddress?
    /// The bridge or bond that it belongs to.
    public var master: UInt32?
    /// Of a veth: its peer's index, in the namespace `peerNamespace`.
    public var peer: UInt32?
    /// The kernel's number of the peer's namespace as seen from here; nil: this one.
    public var peerNamespace: Int32?
    public var mtu: UInt32
    /// The switch in hardware that it is a port of (switchdev's id); nil: none.
    public var hardwareSwitch: [UInt8]?
    /// Id of the XDP program that runs on it.
    public var xdpProgram: UInt32?
    /// Of a bridge: it filters by VLAN.
    public var filtersVLANs = false
    /// Of a bridge's port: the bridge lets it speak to no other isolated port.
    public var isIsolated = false

    public init(
        index: UInt32, name: PortName, kind: String? = nil, isUp: Bool, hasCarrier: Bool,
        state: OperationalState = .unknown, mac: MACAddress? = nil, master: UInt32? = nil, peer: UInt32? = nil,
        peerNamespace: Int32? = nil, mtu: UInt32 = 1500
    ) {
        self.index = index
        self.name = name
        self.kind = kind
        self.isUp = isUp
        self.hasCarrier = hasCarrier
        self.state = state
        self.mac = mac
        self.master = master
        self.peer = peer
        self.peerNamespace = peerNamespace
        self.mtu = mtu
    }
}

/// Who lives behind a device: an entry of a bridge's forwarding table, or of the ARP table.
public struct Neighbour: Hashable, Sendable {
    public enum Table: Hashable, Sendable { case bridge, ipv4, ipv6 }
    public var table: Table
    /// The device: of a bridge's table, the bridge's port.
    public var index: UInt32
    /// Nil while unresolved.
    public var mac: MACAddress?
    /// Nil in a bridge's table.
    public var address: IPAddress?
    /// In a bridge's table; nil: untagged.
    public var vlan: UInt16?
    /// The kernel tried to reach it and gave up (NUD_FAILED).
    public var isFailed: Bool
    /// Set by hand or the device's own: it does not age.
    public var isPermanent: Bool
    /// Of a bridge's table: a switch in hardware forwards to it by itself.
    public var isOffloaded = false

    public init(
        table: Table, index: UInt32, mac: MACAddress? = nil, address: IPAddress? = nil, vlan: UInt16? = nil,
        isFailed: Bool = false, isPermanent: Bool = false
    ) {
        self.table = table
        self.index = index
        self.mac = mac
        self.address = address
        self.vlan = vlan
        self.isFailed = isFailed
        self.isPermanent = isPermanent
    }
}
