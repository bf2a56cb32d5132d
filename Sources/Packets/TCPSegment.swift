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
        var envelope = Envelope(from: source, sourceMAC, to: destination, destinationMAC, vlan: vlan)
        envelope.hopLimit = hopLimit
        return envelope.frame(carrying: segment, of: TransportProtocol.tcp.number, checksumAt: 16)
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
