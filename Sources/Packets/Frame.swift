public import Model

/// One Ethernet frame, parsed in place: addresses and numbers are copied out, the payload is a range of the caller's
/// bytes. Checksums are not looked at: under offload they are not filled in yet where frames are copied.
public struct Frame: Sendable, Equatable {
    public enum Content: Sendable, Equatable {
        case arp(ARP)
        /// TCP whole enough to read its header.
        case tcp(IPHeader, TCPHeader)
        case udp(IPHeader, UDPHeader)
        /// IP that carries something else, a later fragment, or a transport header that is cut short.
        case ip(IPHeader)
        case other

        /// What an IP packet carries.
        init(_ header: IPHeader, in bytes: UnsafeRawBufferPointer) {
            self = .ip(header)
            guard header.fragmentOffset == 0 else { return }
            if header.transport == TransportProtocol.tcp.number, let tcp = TCPHeader(bytes, in: header.payload) {
                self = .tcp(header, tcp)
            } else if header.transport == TransportProtocol.udp.number, let udp = UDPHeader(bytes, in: header.payload) {
                self = .udp(header, udp)
            }
        }
    }

    public let destinationMAC: MACAddress
    public let sourceMAC: MACAddress
    /// VLAN id (12 bits) of the outermost tag, out of band or in the bytes; nil: untagged, or a priority tag only.
    public let vlan: UInt16?
    /// VLAN id of the second tag (QinQ).
    public let innerVLAN: UInt16?
    /// Of what the tags, if any, wrap; host order.
    public let etherType: UInt16
    public let content: Content

    /// Nil where the link header is cut short or the tags do not end.
    ///
    /// - Parameters:
    ///   - bytes: the frame from its destination MAC on, without a frame check sequence.
    ///   - vlan: the tag that the device took out of the bytes (the low 12 bits count), or nil.
    public init?(_ bytes: UnsafeRawBufferPointer, vlan outOfBand: UInt16? = nil) {
        guard let destination = bytes.mac(at: 0), let source = bytes.mac(at: 6), var type = bytes.number16(at: 12)
        else {
            return nil
        }
        var tags: [UInt16] = []
        if let id = outOfBand.map({ $0 & 0xfff }), id != 0 { tags.append(id) }
        var offset = 14
        var tagsLeft = 3
        while EtherType.isTag(type) {
            guard tagsLeft > 0, let tag = bytes.number16(at: offset), let next = bytes.number16(at: offset + 2) else {
                return nil
            }
            if tag & 0xfff != 0 { tags.append(tag & 0xfff) }
            type = next
            offset += 4
            tagsLeft -= 1
        }
        destinationMAC = destination
        sourceMAC = source
        vlan = tags.first
        innerVLAN = tags.count > 1 ? tags[1] : nil
        etherType = type
        content = Self.content(bytes, type: type, from: offset)
    }

    /// Its IP header, whatever that carries.
    public var ip: IPHeader? {
        switch content {
        case .tcp(let ip, _), .udp(let ip, _), .ip(let ip): ip
        case .arp, .other: nil
        }
    }

    public var tcp: (ip: IPHeader, tcp: TCPHeader)? {
        if case .tcp(let ip, let tcp) = content { (ip, tcp) } else { nil }
    }

    public var udp: (ip: IPHeader, udp: UDPHeader)? {
        if case .udp(let ip, let udp) = content { (ip, udp) } else { nil }
    }

    private static func content(_ bytes: UnsafeRawBufferPointer, type: UInt16, from offset: Int) -> Content {
        switch type {
        case EtherType.arp: return ARP(bytes, at: offset).map(Content.arp) ?? .other
        case EtherType.ipv4, EtherType.ipv6:
            let header =
                type == EtherType.ipv4 ? IPHeader(version4: bytes, at: offset) : IPHeader(version6: bytes, at: offset)
            return header.map { Content($0, in: bytes) } ?? .other
        default: return .other
        }
    }
}

/// Ethernet types, host order (IANA).
public enum EtherType {
    public static let ipv4: UInt16 = 0x0800
    public static let arp: UInt16 = 0x0806
    public static let vlan: UInt16 = 0x8100
    public static let ipv6: UInt16 = 0x86dd
    public static let serviceVLAN: UInt16 = 0x88a8

    /// 0x9100 stands for the outer tag of older QinQ equipment.
    static func isTag(_ type: UInt16) -> Bool { type == vlan || type == serviceVLAN || type == 0x9100 }
}

/// An ARP packet for IPv4 over Ethernet (RFC 826).
public struct ARP: Sendable, Equatable {
    /// 1: request, 2: reply.
    public let operation: UInt16
    public let senderMAC: MACAddress
    public let sender: IPv4Address
    public let targetMAC: MACAddress
    public let target: IPv4Address

    init?(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        // Hardware Ethernet, protocol IPv4, their lengths 6 and 4.
        guard bytes.number32(at: offset) == 0x0001_0800, bytes.number16(at: offset + 4) == 0x0604,
            let operation = bytes.number16(at: offset + 6), let senderMAC = bytes.mac(at: offset + 8),
            let sender = bytes.number32(at: offset + 14), let targetMAC = bytes.mac(at: offset + 18),
            let target = bytes.number32(at: offset + 24)
        else { return nil }
        self.operation = operation
        self.senderMAC = senderMAC
        self.sender = IPv4Address(bits: sender)
        self.targetMAC = targetMAC
        self.target = IPv4Address(bits: target)
    }
}
