public import Model
public import Packets

/// Whom to probe, by which port, and in whose name.
public struct ProbeTarget: Hashable, Sendable {
    /// What is asked of an instance.
    public enum Method: Hashable, Sendable {
        /// A SYN, and a reset at once where it is answered, or one request first (`ProbeTarget.request`).
        case syn
        /// A query of the one protocol over UDP that every server of it answers.
        case dnsQuery
        /// Nothing is known that the port would answer: its machine is asked for an echo.
        case echo
    }

    public var instance: InstanceID
    public var port: PortName
    /// The device of `port`.
    public var ifindex: UInt32
    public var vlan: UInt16?
    public var mac: MACAddress
    /// The sender: an address that the guest has a route to, best that of the registry it spoke to.
    public var source: IPAddress
    public var sourceMAC: MACAddress
    /// Sent where the SYN is answered (`HTTPProbe.request`); nil: the connection is reset at once.
    public var request: [UInt8]?

    /// Nil where the sender is of another family than the instance.
    public init?(
        instance: InstanceID, port: PortName, ifindex: UInt32, vlan: UInt16? = nil, mac: MACAddress,
        source: IPAddress, sourceMAC: MACAddress
    ) {
        guard (instance.address.v4 == nil) == (source.v4 == nil), !mac.isMulticast else { return nil }
        self.instance = instance
        self.port = port
        self.ifindex = ifindex
        self.vlan = vlan
        self.mac = mac
        self.source = source
        self.sourceMAC = sourceMAC
    }

    public var method: Method {
        switch (instance.proto, instance.port) {
        case (.tcp, _): .syn
        case (.udp, 53), (.udp, 5353): .dnsQuery
        case (.udp, _): .echo
        }
    }

    var envelope: Envelope {
        Envelope(from: source, sourceMAC, to: instance.address, mac, vlan: vlan)
    }

    /// What an answer to `method` from this port of ours, or with this identifier, comes in as.
    func key(_ method: Method, number: UInt16) -> ProbeKey {
        let isV4 = instance.address.v4 != nil
        let protocolNumber =
            switch method {
            case .syn: TransportProtocol.tcp.number
            case .dnsQuery: TransportProtocol.udp.number
            case .echo: isV4 ? IPNumber.icmp : IPNumber.icmp6
            }
        return ProbeKey(
            network: instance.network, protocolNumber: protocolNumber, source: instance.address,
            sourcePort: method == .echo ? 0 : instance.port, destination: source, destinationPort: number)
    }
}

/// Who has this address? Asked of one port.
public struct NeighbourQuestion: Hashable, Sendable {
    public var network: NetworkID
    public var address: IPAddress
    public var port: PortName
    public var ifindex: UInt32
    public var vlan: UInt16?
    /// Whom to ask; nil: all behind the port.
    public var mac: MACAddress?
    public var sourceMAC: MACAddress

    public init(
        network: NetworkID, address: IPAddress, port: PortName, ifindex: UInt32, vlan: UInt16? = nil,
        mac: MACAddress? = nil, sourceMAC: MACAddress
    ) {
        self.network = network
        self.address = address
        self.port = port
        self.ifindex = ifindex
        self.vlan = vlan
        self.mac = mac
        self.sourceMAC = sourceMAC
    }

    /// RFC 5227's probe names no sender, so that nobody learns from it; RFC 4861's solicitation has to be answered
    /// somewhere, and asks by the link-local address that the port's MAC address makes.
    var key: ProbeKey {
        switch address {
        case .v4:
            ProbeKey(
                network: network, protocolNumber: ProbeKey.arp, source: address,
                destination: .v4(IPv4Address(bits: 0)))
        case .v6:
            ProbeKey(
                network: network, protocolNumber: IPNumber.icmp6, source: address,
                destination: .v6(.linkLocal(of: sourceMAC)))
        }
    }

    var frame: ProbeFrame? {
        let bytes: [UInt8]? =
            switch address {
            case .v4(let target): ARPProbe(sender: sourceMAC, target: target, vlan: vlan, destination: mac).frame
            case .v6(let target):
                NeighbourSolicitation(sender: sourceMAC, target: target, vlan: vlan, destination: mac).frame
            }
        return bytes.map { ProbeFrame(ifindex: ifindex, bytes: $0) }
    }
}

/// What came back, as the data path took it off the wire.
public struct ProbeAnswer: Hashable, Sendable {
    /// The number of the expectation that it met.
    public var number: UInt32
    public var sequence: UInt32
    /// Of an echo or a query: what it was asked with.
    public var acknowledged: UInt32
    /// Of a segment; a refusal by ICMP comes as a reset.
    public var flags: TCPHeader.Flags
    /// Where it came in, and from whom.
    public var place: Place
    public var hopLimit: UInt8
    /// When the kernel saw it come in: CLOCK_MONOTONIC, nanoseconds.
    public var time: UInt64

    public init(
        number: UInt32, sequence: UInt32 = 0, acknowledged: UInt32, flags: TCPHeader.Flags = [], place: Place,
        hopLimit: UInt8, time: UInt64 = 0
    ) {
        self.number = number
        self.sequence = sequence
        self.acknowledged = acknowledged
        self.flags = flags
        self.place = place
        self.hopLimit = hopLimit
        self.time = time
    }
}

/// What the prober wants done, in this order.
public enum ProbeStep: Hashable, Sendable {
    /// Let the data path take such answers off the wire and hand them to the prober: before `send`.
    case expect(ProbeKey, UInt32)
    case send(ProbeFrame)
    /// Such an answer does not count any more.
    case forget(ProbeKey)
    case finished(InstanceID, ProbeResult)
    /// What came of a target's request, after `finished` and at most once.
    case response(InstanceID, ProbeResponse, asked: Place)
    /// Somebody there has this address.
    case neighbour(NetworkID, IPAddress, Place)
}

/// A frame and the device to send it out of.
public struct ProbeFrame: Hashable, Sendable {
    public var ifindex: UInt32
    public var bytes: [UInt8]
    /// Of the probe that it asks for, to be told to `Prober.sent`; nil: its answer is not timed.
    public var number: UInt32?

    public init(ifindex: UInt32, bytes: [UInt8], number: UInt32? = nil) {
        self.ifindex = ifindex
        self.bytes = bytes
        self.number = number
    }
}
