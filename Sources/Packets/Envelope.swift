public import Model

/// The Ethernet and IP headers around one packet that is written out.
public struct Envelope: Hashable, Sendable {
    public var sourceMAC: MACAddress
    public var destinationMAC: MACAddress
    /// VLAN id of an 802.1Q tag to write; nil: none.
    public var vlan: UInt16?
    /// Both of one family.
    public var source: IPAddress
    public var destination: IPAddress
    public var hopLimit: UInt8 = 64

    public init(
        from source: IPAddress, _ sourceMAC: MACAddress, to destination: IPAddress, _ destinationMAC: MACAddress,
        vlan: UInt16? = nil
    ) {
        self.sourceMAC = sourceMAC
        self.destinationMAC = destinationMAC
        self.vlan = vlan
        self.source = source
        self.destination = destination
    }

    /// The frame, checksums right, not padded. Nil where the families differ. Above 64 KiB the IP length is 0, as the
    /// kernel writes it for segmentation offload.
    ///
    /// - Parameters:
    ///   - transport: TCP, UDP or ICMP, its checksum zero.
    ///   - checksumAt: where in `transport` it goes.
    public func frame(carrying transport: [UInt8], of number: UInt8, checksumAt offset: Int) -> [UInt8]? {
        var bytes = destinationMAC.bytes + sourceMAC.bytes
        if let vlan {
            bytes.append16(EtherType.vlan)
            bytes.append16(vlan & 0xfff)
        }
        var pseudo = Checksum()
        switch (source, destination) {
        case (.v4(let from), .v4(let to)):
            bytes.append16(EtherType.ipv4)
            bytes += version4(from: from, to: to, number, length: transport.count)
            guard number != IPNumber.icmp else { break }  // RFC 792: ICMP has no pseudo-header
            pseudo.add(from.bits)
            pseudo.add(to.bits)
        case (.v6(let from), .v6(let to)):
            bytes.append16(EtherType.ipv6)
            bytes += version6(from: from, to: to, number, length: transport.count)
            pseudo.add(from.bytes)
            pseudo.add(to.bytes)
        default: return nil
        }
        if number != IPNumber.icmp {
            pseudo.add(UInt32(number))
            pseudo.add(UInt32(truncatingIfNeeded: transport.count))
        }
        return bytes + Checksum.filled(transport, at: offset, onTopOf: pseudo)
    }

    private func version4(from: IPv4Address, to: IPv4Address, _ number: UInt8, length: Int) -> [UInt8] {
        var header: [UInt8] = [0x45, 0]
        header.append16(UInt16(exactly: length + 20) ?? 0)
        header += [0, 0, 0x40, 0, hopLimit, number, 0, 0]  // don't fragment
        header.append32(from.bits)
        header.append32(to.bits)
        return Checksum.filled(header, at: 10)
    }

    private func version6(from: IPv6Address, to: IPv6Address, _ number: UInt8, length: Int) -> [UInt8] {
        var header: [UInt8] = [0x60, 0, 0, 0]
        header.append16(UInt16(exactly: length) ?? 0)
        header += [number, hopLimit] + from.bytes + to.bytes
        return header
    }
}

/// IP protocol numbers beside TCP's and UDP's (IANA).
public enum IPNumber {
    public static let icmp: UInt8 = 1
    public static let icmp6: UInt8 = 58
}
