public import Model

/// A TCP segment to be written out as an Ethernet frame: the prober's SYN and RST, and what tests need.
public struct TCPSegment: Sendable {
    public var sourceMAC: MACAddress
    public var destinationMAC: MACAddress
    /// VLAN id of an 802.1Q tag to write; nil: none.
    public var vlan: UInt16?
    /// Both of one family.
    public var source: IPAddress
    public var destination: IPAddress
    public var sourcePort: UInt16
    public var destinationPort: UInt16
    public var sequence: UInt32
    public var acknowledged: UInt32 = 0
    public var flags: TCPHeader.Flags
    public var window: UInt16 = 64240
    public var hopLimit: UInt8 = 64
    /// Written as the MSS option (RFC 9293, 3.7.1) where it is given.
    public var maximumSegment: UInt16?
    public var payload: [UInt8] = []

    public init(
        sourceMAC: MACAddress, destinationMAC: MACAddress, source: IPAddress, destination: IPAddress,
        sourcePort: UInt16, destinationPort: UInt16, sequence: UInt32, flags: TCPHeader.Flags
    ) {
        self.sourceMAC = sourceMAC
        self.destinationMAC = destinationMAC
        self.source = source
        self.destination = destination
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.sequence = sequence
        self.flags = flags
    }

    /// The frame, checksums right, not padded. Nil where the families differ. Above 64 KiB the IP length is 0, as the
    /// kernel writes it for segmentation offload.
    public func frame() -> [UInt8]? {
        let segment: [UInt8]
        var bytes = destinationMAC.bytes + sourceMAC.bytes
        if let vlan {
            bytes.append16(EtherType.vlan)
            bytes.append16(vlan & 0xfff)
        }
        switch (source, destination) {
        case (.v4(let from), .v4(let to)):
            segment = transport(pseudoHeader: [from.bits, to.bits])
            bytes.append16(EtherType.ipv4)
            bytes += version4(from: from, to: to, length: segment.count)
        case (.v6(let from), .v6(let to)):
            let words = [from.high, from.low, to.high, to.low].flatMap {
                [UInt32(truncatingIfNeeded: $0 >> 32), UInt32(truncatingIfNeeded: $0)]
            }
            segment = transport(pseudoHeader: words)
            bytes.append16(EtherType.ipv6)
            bytes += version6(from: from, to: to, length: segment.count)
        default: return nil
        }
        return bytes + segment
    }

    private func version4(from: IPv4Address, to: IPv4Address, length: Int) -> [UInt8] {
        var header: [UInt8] = [0x45, 0]
        header.append16(UInt16(exactly: length + 20) ?? 0)
        header += [0, 0, 0x40, 0, hopLimit, TransportProtocol.tcp.number, 0, 0]  // don't fragment
        header.append32(from.bits)
        header.append32(to.bits)
        return Checksum.filled(header, at: 10)
    }

    private func version6(from: IPv6Address, to: IPv6Address, length: Int) -> [UInt8] {
        var header: [UInt8] = [0x60, 0, 0, 0]
        header.append16(UInt16(exactly: length) ?? 0)
        header += [TransportProtocol.tcp.number, hopLimit] + from.bytes + to.bytes
        return header
    }

    private func transport(pseudoHeader: [UInt32]) -> [UInt8] {
        var segment: [UInt8] = []
        segment.append16(sourcePort)
        segment.append16(destinationPort)
        segment.append32(sequence)
        segment.append32(acknowledged)
        segment += [maximumSegment == nil ? 0x50 : 0x60, flags.rawValue]
        segment.append16(window)
        segment.append32(0)  // checksum, urgent pointer
        if let maximumSegment {
            segment += [2, 4]
            segment.append16(maximumSegment)
        }
        segment += payload
        var pseudo = Checksum()
        for word in pseudoHeader { pseudo.add(word) }
        pseudo.add(UInt32(TransportProtocol.tcp.number))
        pseudo.add(UInt32(truncatingIfNeeded: segment.count))
        return Checksum.filled(segment, at: 16, onTopOf: pseudo)
    }
}

/// The Internet checksum (RFC 1071).
struct Checksum {
    private var sum: UInt64 = 0

    mutating func add(_ word: UInt32) { sum += UInt64(word >> 16) + UInt64(word & 0xffff) }

    mutating func add(_ bytes: [UInt8]) {
        for index in stride(from: 0, to: bytes.count, by: 2) {
            let low = index + 1 < bytes.count ? UInt64(bytes[index + 1]) : 0
            sum += UInt64(bytes[index]) << 8 | low
        }
    }

    var value: UInt16 {
        var folded = sum
        while folded > 0xffff { folded = (folded >> 16) + (folded & 0xffff) }
        return ~UInt16(truncatingIfNeeded: folded)
    }

    static func filled(_ bytes: [UInt8], at offset: Int, onTopOf start: Checksum = Checksum()) -> [UInt8] {
        var checksum = start
        checksum.add(bytes)
        var filled = bytes
        filled[offset] = UInt8(truncatingIfNeeded: checksum.value >> 8)
        filled[offset + 1] = UInt8(truncatingIfNeeded: checksum.value)
        return filled
    }
}
