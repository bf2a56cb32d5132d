/// What a capture's frames begin with (https://www.tcpdump.org/linktypes.html).
enum LinkType: UInt16 {
    case ethernet = 1
    case raw = 101
    case linuxCooked = 113
    case ipv4 = 228
    case ipv6 = 229
    case linuxCooked2 = 276

    /// The frame as Ethernet: where it had no link header, or another, one is made for it, with a destination of zeros
    /// and what is known of the sender. Nil where it is cut short.
    func ethernet(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
        let frame = Array(bytes)
        switch self {
        case .ethernet: return frame
        case .ipv4: return Self.framed(frame, type: EtherType.ipv4)
        case .ipv6: return Self.framed(frame, type: EtherType.ipv6)
        case .raw: return Self.framed(frame, type: frame.first.map { $0 >> 4 } == 6 ? EtherType.ipv6 : EtherType.ipv4)
        case .linuxCooked: return Self.cooked(frame, type: 14, sender: 6, lengthAt: 5, header: 16)
        case .linuxCooked2: return Self.cooked(frame, type: 0, sender: 12, lengthAt: 11, header: 20)
        }
    }

    private static func framed(
        _ packet: [UInt8], type: UInt16, sender: [UInt8] = [0, 0, 0, 0, 0, 0]
    ) -> [UInt8] {
        var frame = [UInt8](repeating: 0, count: 6) + sender
        frame.append16(type)
        return frame + packet
    }

    private static func cooked(_ frame: [UInt8], type: Int, sender: Int, lengthAt: Int, header: Int) -> [UInt8]? {
        guard frame.count >= header else { return nil }
        let known = frame[lengthAt] == 6 ? Array(frame[sender..<sender + 6]) : [0, 0, 0, 0, 0, 0]
        let etherType = UInt16(frame[type]) << 8 | UInt16(frame[type + 1])
        return framed(Array(frame[header...]), type: etherType, sender: known)
    }
}
