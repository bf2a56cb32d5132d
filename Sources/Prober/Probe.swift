public import Model
public import Packets

/// Whom to probe, by which port, and in whose name.
public struct ProbeTarget: Hashable, Sendable {
    /// IPv4 and TCP.
    public var instance: InstanceID
    public var port: PortName
    /// The device of `port`.
    public var ifindex: UInt32
    public var vlan: UInt16?
    public var mac: MACAddress
    public var address: IPv4Address
    /// The sender: an address that the guest has a route to, best that of the registry it spoke to.
    public var source: IPv4Address
    public var sourceMAC: MACAddress

    /// Nil for an instance that a TCP SYN over IPv4 cannot reach.
    public init?(
        instance: InstanceID, port: PortName, ifindex: UInt32, vlan: UInt16? = nil, mac: MACAddress,
        source: IPv4Address, sourceMAC: MACAddress
    ) {
        guard let address = instance.address.v4, instance.proto == .tcp else { return nil }
        self.instance = instance
        self.port = port
        self.ifindex = ifindex
        self.vlan = vlan
        self.mac = mac
        self.address = address
        self.source = source
        self.sourceMAC = sourceMAC
    }
}

/// A segment that came back to a probe's address and port, as the data path took it off the wire.
public struct ProbeAnswer: Hashable, Sendable {
    /// As it came: from the instance to the probe.
    public var tuple: FiveTuple
    public var sequence: UInt32
    public var acknowledged: UInt32
    public var flags: TCPHeader.Flags
    /// Where it came in, and from whom.
    public var place: Place
    public var hopLimit: UInt8

    public init(
        tuple: FiveTuple, sequence: UInt32, acknowledged: UInt32, flags: TCPHeader.Flags, place: Place, hopLimit: UInt8
    ) {
        self.tuple = tuple
        self.sequence = sequence
        self.acknowledged = acknowledged
        self.flags = flags
        self.place = place
        self.hopLimit = hopLimit
    }
}

/// What the prober wants done, in this order.
public enum ProbeStep: Hashable, Sendable {
    /// Let the data path take segments with this five-tuple off the wire and hand them to the prober: before `send`.
    case expect(FiveTuple)
    case send(ProbeFrame)
    /// No answer to this five-tuple counts any more.
    case forget(FiveTuple)
    case finished(InstanceID, ProbeResult)
}

/// A frame and the device to send it out of.
public struct ProbeFrame: Hashable, Sendable {
    public var ifindex: UInt32
    public var bytes: [UInt8]

    public init(ifindex: UInt32, bytes: [UInt8]) {
        self.ifindex = ifindex
        self.bytes = bytes
    }
}
