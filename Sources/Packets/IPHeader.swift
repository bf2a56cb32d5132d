public import Model

/// What Remora needs of an IPv4 or IPv6 header.
public struct IPHeader: Sendable, Equatable {
    public let source: IPAddress
    public let destination: IPAddress
    /// IPv4's protocol, or the next header after IPv6's extension headers (IANA protocol numbers).
    public let transport: UInt8
    /// TTL or hop limit, as it arrived.
    public let hopLimit: UInt8
    /// In bytes; 0 in whole packets and first fragments.
    public let fragmentOffset: Int
    /// More fragments follow: what `payload` covers is not all.
    public let moreFragments: Bool
    /// The transport's bytes within the frame: without Ethernet's padding, and no further than the frame reaches.
    public let payload: Range<Int>
    /// The frame ends before the packet does.
    public let isCut: Bool
    /// Tells the fragments of one packet from those of another.
    let identification: UInt32
    /// The part of the packet that was cut into fragments, within the frame, and what it begins with in the first of
    /// them: the transport, or another of IPv6's extension headers.
    let fragment: Range<Int>
    let fragmentProtocol: UInt8

    public var isFragment: Bool { moreFragments || fragmentOffset != 0 }

    /// RFC 791. A total length of 0 stands in segmentation-offload frames above 64 KiB: the frame's own end counts.
    init?(version4 bytes: UnsafeRawBufferPointer, at offset: Int) {
        guard let first = bytes.number8(at: offset), first >> 4 == 4,
            let total = bytes.number16(at: offset + 2), let identification = bytes.number16(at: offset + 4),
            let fragment = bytes.number16(at: offset + 6),
            let ttl = bytes.number8(at: offset + 8), let transport = bytes.number8(at: offset + 9),
            let source = bytes.number32(at: offset + 12), let destination = bytes.number32(at: offset + 16)
        else { return nil }
        let headerLength = Int(first & 15) * 4
        let length = total == 0 ? bytes.count - offset : Int(total)
        let end = min(bytes.count, offset + length)
        guard headerLength >= 20, length >= headerLength, offset + headerLength <= end else { return nil }
        self.source = .v4(IPv4Address(bits: source))
        self.destination = .v4(IPv4Address(bits: destination))
        self.transport = transport
        hopLimit = ttl
        fragmentOffset = Int(fragment & 0x1fff) * 8
        moreFragments = fragment & 0x2000 != 0
        payload = offset + headerLength..<end
        isCut = end < offset + length
        self.identification = UInt32(identification)
        self.fragment = payload
        fragmentProtocol = transport
    }

    /// RFC 8200. A payload length of 0 stands in jumbograms and segmentation-offload frames above 64 KiB.
    init?(version6 bytes: UnsafeRawBufferPointer, at offset: Int) {
        guard let first = bytes.number8(at: offset), first >> 4 == 6,
            let length = bytes.number16(at: offset + 4), let next = bytes.number8(at: offset + 6),
            let hops = bytes.number8(at: offset + 7), let source = bytes.ipv6(at: offset + 8),
            let destination = bytes.ipv6(at: offset + 24)
        else { return nil }
        let start = offset + 40
        let end = length == 0 ? bytes.count : min(bytes.count, start + Int(length))
        guard let chain = ExtensionChain(bytes, next: next, from: start, to: end) else { return nil }
        self.source = .v6(source)
        self.destination = .v6(destination)
        transport = chain.transport
        hopLimit = hops
        fragmentOffset = chain.fragmentOffset
        moreFragments = chain.moreFragments
        payload = chain.end..<end
        isCut = length != 0 && end < start + Int(length)
        identification = chain.identification
        fragment = chain.fragment..<end
        fragmentProtocol = chain.fragmentProtocol
    }

    /// Of a packet whose fragments were put together.
    ///
    /// - Parameters:
    ///   - first: the header of the fragment at its beginning.
    ///   - bytes: what the fragments held.
    init?(of first: IPHeader, holding bytes: UnsafeRawBufferPointer) {
        var chain = ExtensionChain(ending: first.fragmentProtocol)
        if case .v6 = first.source {
            guard let walked = ExtensionChain(bytes, next: first.fragmentProtocol, from: 0, to: bytes.count),
                !walked.isFragment
            else { return nil }
            chain = walked
        }
        source = first.source
        destination = first.destination
        transport = chain.transport
        hopLimit = first.hopLimit
        fragmentOffset = 0
        moreFragments = false
        payload = chain.end..<bytes.count
        isCut = false
        identification = first.identification
        fragment = 0..<bytes.count
        fragmentProtocol = first.fragmentProtocol
    }
}

/// IPv6 extension headers, walked to the transport.
private struct ExtensionChain {
    var transport: UInt8
    var fragmentOffset = 0
    var moreFragments = false
    var identification: UInt32 = 0
    /// Behind the fragment header, where there is one.
    var fragment: Int
    var fragmentProtocol: UInt8
    var isFragment = false
    var end: Int

    init(ending transport: UInt8) {
        self.transport = transport
        fragmentProtocol = transport
        fragment = 0
        end = 0
    }

    /// More than this many headers are nobody's honest packet.
    private static let longest = 8

    init?(_ bytes: UnsafeRawBufferPointer, next: UInt8, from start: Int, to limit: Int) {
        self.init(ending: next)
        end = start
        fragment = start
        for _ in 0..<Self.longest {
            guard let length = length(bytes) else {
                if end > limit { return nil }
                return
            }
            guard let next = bytes.number8(at: end), end + length <= limit else { return nil }
            if transport == 44 {
                // A fragment of fragments is nobody's honest packet either.
                guard !isFragment, let field = bytes.number16(at: end + 2), let number = bytes.number32(at: end + 4)
                else { return nil }
                isFragment = true
                fragmentOffset = Int(field & 0xfff8)
                moreFragments = field & 1 != 0
                identification = number
                fragment = end + length
                fragmentProtocol = next
            }
            transport = next
            end += length
            // What follows in a later fragment is payload, whatever it looks like.
            if fragmentOffset != 0 { return }
        }
        return nil
    }

    /// Of the header at `end`, in bytes; nil where it is no extension header, or cannot be read.
    private func length(_ bytes: UnsafeRawBufferPointer) -> Int? {
        switch transport {
        case 0, 43, 60, 135:  // hop-by-hop, routing, destination options, mobility
            return bytes.number8(at: end + 1).map { (Int($0) + 1) * 8 }
        case 44: return 8  // fragment
        case 51: return bytes.number8(at: end + 1).map { (Int($0) + 2) * 4 }  // authentication
        default: return nil
        }
    }
}
