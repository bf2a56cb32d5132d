public import Model

/// A frame of an overlay: what it is wrapped in, and whose it is inside.
public struct OverlayFrame: Sendable, Equatable {
    public let segment: OverlaySegment
    /// Who sent what is inside.
    public let source: IPAddress

    /// Nil for anything else than VXLAN or Geneve to one of these ports that holds an IP packet or ARP.
    ///
    /// - Parameter bytes: the outer frame from its destination MAC on; it may be cut short after the inner headers.
    public init?(_ bytes: UnsafeRawBufferPointer, ports: [UInt16: Encapsulation]) {
        guard let outer = Frame(bytes), case .udp(let ip, _) = outer.content, !ip.isFragment else { return nil }
        let udp = ip.payload.lowerBound
        guard let port = bytes.number16(at: udp + 2), let kind = ports[port],
            let start = Self.inside(bytes, from: udp + 8, kind), let number = bytes.number32(at: udp + 12),
            start <= bytes.count, let inner = Frame(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        else { return nil }
        segment = OverlaySegment(encapsulation: kind, port: port, vni: number >> 8)
        if case .arp(let arp) = inner.content {
            source = .v4(arp.sender)
        } else if let ip = inner.ip {
            source = ip.source
        } else {
            return nil
        }
    }

    /// Where the inner Ethernet frame begins.
    private static func inside(_ bytes: UnsafeRawBufferPointer, from header: Int, _ kind: Encapsulation) -> Int? {
        switch kind {
        case .vxlan:
            // RFC 7348, 5: the flag I says that there is a VNI
            guard let flags = bytes.number8(at: header), flags & 0x08 != 0 else { return nil }
            return header + 8
        case .geneve:
            // RFC 8926, 3.4: version 0, options of so many words, and an Ethernet frame
            guard let first = bytes.number8(at: header), first >> 6 == 0, bytes.number16(at: header + 2) == 0x6558
            else { return nil }
            return header + 8 + Int(first & 0x3f) * 4
        }
    }
}
