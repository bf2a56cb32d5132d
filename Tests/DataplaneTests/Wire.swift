import Model

/// Frames put together layer by layer, for what `Packet` does not build. Checksums are left out: nobody looks at them.
enum Wire {
    static func ethernet(_ type: UInt16, tags: [(type: UInt16, id: UInt16)] = [], _ payload: [UInt8]) -> [UInt8] {
        let macs = MACAddress("02:00:00:00:00:02")!.bytes + MACAddress("02:00:00:00:00:01")!.bytes
        return macs + tags.flatMap { big($0.type) + big($0.id) } + big(type) + payload
    }

    /// - Parameter fragment: flags and offset, as they stand in the header.
    static func ipv4(
        _ source: String, _ destination: String, _ proto: UInt8, options: [UInt8] = [], id: UInt16 = 0,
        fragment: UInt16 = 0, _ payload: [UInt8]
    ) -> [UInt8] {
        [0x40 | UInt8(5 + options.count / 4), 0] + big(UInt16(20 + options.count + payload.count)) + big(id)
            + big(fragment) + [64, proto, 0, 0] + big(IPv4Address(source)!.bits) + big(IPv4Address(destination)!.bits)
            + options + payload
    }

    static func ipv6(_ source: String, _ destination: String, next: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [0x60, 0, 0, 0] + big(UInt16(payload.count)) + [next, 64] + IPv6Address(source)!.bytes
            + IPv6Address(destination)!.bytes + payload
    }

    static func udp(_ source: UInt16, _ destination: UInt16, _ payload: [UInt8] = [UInt8](repeating: 7, count: 24))
        -> [UInt8]
    {
        big(source) + big(destination) + big(UInt16(8 + payload.count)) + [0, 0] + payload
    }

    static func tcp(_ source: UInt16, _ destination: UInt16, flags: UInt8 = 0x18, _ payload: [UInt8] = [1, 2, 3])
        -> [UInt8]
    {
        big(source) + big(destination) + [0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0] + payload
    }
}

/// IPv6 extension headers (RFC 8200, 4; RFC 4302).
enum Extension {
    static let hopByHop: UInt8 = 0
    static let routing: UInt8 = 43
    static let fragment: UInt8 = 44
    static let authentication: UInt8 = 51
    static let options: UInt8 = 60

    /// `kinds` in their order, then `next`: the first kind stands in the IPv6 header.
    static func chain(_ kinds: [UInt8], to next: UInt8, _ payload: [UInt8]) -> [UInt8] {
        zip(kinds.indices, kinds).reduce(into: []) { bytes, header in
            let (index, kind) = header
            let following = index + 1 < kinds.count ? kinds[index + 1] : next
            // A length of 16 bytes, which each kind says in its own unit.
            bytes += [following, kind == authentication ? 2 : 1] + [UInt8](repeating: 0, count: 14)
        } + payload
    }

    /// - Parameter offset: in bytes, a multiple of eight.
    static func piece(of id: UInt32, offset: UInt16, more: Bool, next: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [next, 0] + big(offset | (more ? 1 : 0)) + big(id) + payload
    }
}
