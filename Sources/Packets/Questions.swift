public import Model

/// An ICMP echo request (RFC 792, RFC 4443).
public struct EchoRequest: Hashable, Sendable {
    public var identifier: UInt16
    public var sequence: UInt16

    public init(identifier: UInt16, sequence: UInt16) {
        self.identifier = identifier
        self.sequence = sequence
    }

    public func frame(in envelope: Envelope) -> [UInt8]? {
        let isV4 = envelope.destination.v4 != nil
        var message: [UInt8] = [isV4 ? 8 : 128, 0, 0, 0]
        message.append16(identifier)
        message.append16(sequence)
        return envelope.frame(carrying: message, of: isV4 ? IPNumber.icmp : IPNumber.icmp6, checksumAt: 2)
    }
}

/// A DNS query (RFC 1035) for the root's name servers, recursion not desired: every name server answers it from what
/// it holds, and asks nobody.
public struct DNSQuery: Hashable, Sendable {
    public var sourcePort: UInt16
    public var destinationPort: UInt16
    public var identifier: UInt16

    public init(sourcePort: UInt16, destinationPort: UInt16, identifier: UInt16) {
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.identifier = identifier
    }

    public func frame(in envelope: Envelope) -> [UInt8]? {
        var query: [UInt8] = []
        query.append16(identifier)
        query += [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]  // one question, nothing else
        query += [0, 0, 2, 0, 1]  // the root, NS, IN
        var datagram: [UInt8] = []
        datagram.append16(sourcePort)
        datagram.append16(destinationPort)
        datagram.append16(UInt16(truncatingIfNeeded: query.count + 8))
        datagram.append16(0)
        return envelope.frame(carrying: datagram + query, of: TransportProtocol.udp.number, checksumAt: 6)
    }
}

/// A neighbour solicitation (RFC 4861, 4.3) that names its sender's MAC address.
public struct NeighbourSolicitation: Hashable, Sendable {
    public var sender: MACAddress
    public var target: IPv6Address
    public var vlan: UInt16?
    /// Nil: to the target's solicited-node group, wherever it is.
    public var destination: MACAddress?

    public init(sender: MACAddress, target: IPv6Address, vlan: UInt16? = nil, destination: MACAddress? = nil) {
        self.sender = sender
        self.target = target
        self.vlan = vlan
        self.destination = destination
    }

    public var frame: [UInt8]? {
        // RFC 4291, 2.7.1, and RFC 2464, 7
        let low = target.low & 0xff_ffff
        let group = IPv6Address(high: 0xff02_0000_0000_0000, low: 0x0000_0001_ff00_0000 | low)
        let groupMAC = MACAddress(bits: 0x3333_ff00_0000 | low)
        var envelope = Envelope(
            from: .v6(.linkLocal(of: sender)), sender, to: .v6(destination == nil ? group : target),
            destination ?? groupMAC, vlan: vlan)
        envelope.hopLimit = 255
        let message: [UInt8] = [135, 0, 0, 0, 0, 0, 0, 0] + target.bytes + [1, 1] + sender.bytes
        return envelope.frame(carrying: message, of: IPNumber.icmp6, checksumAt: 2)
    }
}

extension IPv6Address {
    /// The link-local address that a device with this MAC address gives itself (RFC 4291, appendix A).
    public static func linkLocal(of mac: MACAddress) -> IPv6Address {
        let flipped = mac.bits ^ 0x0200_0000_0000
        return IPv6Address(
            high: 0xfe80_0000_0000_0000, low: (flipped >> 24) << 40 | 0xff_fe00_0000 | (flipped & 0xff_ffff))
    }
}
