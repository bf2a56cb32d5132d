public import Model

/// Puts the fragments of IP packets together again (RFC 791, 3.2; RFC 8200, 4.5). A repeated fragment is ignored, one
/// that overlaps others makes the whole packet void (RFC 5722, 4; for IPv4 as well).
public struct Fragments {
    /// What waiting for missing fragments may cost.
    public struct Limits: Sendable {
        public var packets = 256
        public var fragments = 128
        /// Of all packets together.
        public var bytes = 1 << 20
        public var patience = Duration.seconds(15)

        public init() {}
    }

    /// A packet that is whole again; the ranges in its headers are within `bytes`.
    public struct Packet {
        public let content: Frame.Content
        public let bytes: [UInt8]
    }

    private struct Key: Hashable {
        var network: NetworkID
        var source: IPAddress
        var destination: IPAddress
        var identification: UInt32
        /// IPv4's fragments of different protocols are different packets.
        var transport: UInt8
    }

    private struct Piece {
        var offset: Int
        var bytes: [UInt8]
        var end: Int { offset + bytes.count }
    }

    private struct Parts {
        var since: Instant
        /// In order, none overlaps another.
        var pieces: [Piece] = []
        var bytes = 0
        /// The header of the fragment at the beginning.
        var first: IPHeader?
        /// Where the last fragment ends.
        var end: Int?
        /// Nothing more of it is taken.
        var isVoid = false
    }

    public let limits: Limits
    /// Bytes of all packets that wait.
    public private(set) var waitingBytes = 0
    /// Packets that were given up, for want of a fragment, of room or of honesty.
    public private(set) var lost = 0
    private var waiting: LeastRecent<Key, Parts>

    public init(limits: Limits = Limits()) {
        self.limits = limits
        waiting = LeastRecent(capacity: limits.packets)
    }

    /// The whole packet, if this fragment was the last that was missing.
    ///
    /// - Parameters:
    ///   - header: of a fragment; of a whole packet nothing is taken.
    ///   - bytes: the frame that the header was read from.
    public mutating func take(
        _ header: IPHeader, of bytes: UnsafeRawBufferPointer, network: NetworkID, at now: Instant
    ) -> Packet? {
        guard header.isFragment, !header.isCut, !header.fragment.isEmpty else { return nil }
        let piece = Piece(offset: header.fragmentOffset, bytes: Array(bytes[header.fragment]))
        // All but the last are cut at eight bytes, and no packet is longer than its length field can say.
        guard !header.moreFragments || piece.bytes.count % 8 == 0, piece.end <= 65_535 else { return nil }
        let isV6 = if case .v6 = header.source { true } else { false }
        let key = Key(
            network: network, source: header.source, destination: header.destination,
            identification: header.identification, transport: isV6 ? 0 : header.transport)
        var parts = waiting.remove(key) ?? Parts(since: now)
        waitingBytes -= parts.bytes
        if now - parts.since > limits.patience {
            lost += parts.isVoid ? 0 : 1
            parts = Parts(since: now)
        }
        add(piece, of: header, to: &parts)
        if let packet = Self.whole(parts) { return packet }
        keep(parts, for: key)
        return nil
    }

    private mutating func add(_ piece: Piece, of header: IPHeader, to parts: inout Parts) {
        guard !parts.isVoid else { return }
        let place = parts.pieces.firstIndex { $0.offset >= piece.offset } ?? parts.pieces.count
        let next = place < parts.pieces.count ? parts.pieces[place] : nil
        if let next, next.offset == piece.offset, next.end == piece.end { return }
        let overlaps =
            place > 0 && parts.pieces[place - 1].end > piece.offset || next.map { $0.offset < piece.end } ?? false
        let last = parts.pieces.last?.end ?? 0
        let contradicts =
            header.moreFragments
            ? parts.end.map { piece.end > $0 } ?? false : parts.end != nil || last > piece.end
        guard !overlaps, !contradicts, parts.pieces.count < limits.fragments else {
            lost += 1
            parts = Parts(since: parts.since, isVoid: true)
            return
        }
        parts.pieces.insert(piece, at: place)
        parts.bytes += piece.bytes.count
        if !header.moreFragments { parts.end = piece.end }
        if piece.offset == 0 { parts.first = header }
    }

    private static func whole(_ parts: Parts) -> Packet? {
        // Nothing overlaps, so as many bytes as there should be are all of them.
        guard let first = parts.first, parts.bytes == parts.end else { return nil }
        let bytes = parts.pieces.flatMap(\.bytes)
        let content = bytes.withUnsafeBytes { all in
            IPHeader(of: first, holding: all).map { Frame.Content($0, in: all) }
        }
        return content.map { Packet(content: $0, bytes: bytes) }
    }

    private mutating func keep(_ parts: Parts, for key: Key) {
        waitingBytes += parts.bytes
        if let evicted = waiting.set(key, parts) { giveUp(evicted.value) }
        while waitingBytes > limits.bytes, let oldest = waiting.oldestKey, let parts = waiting.remove(oldest) {
            giveUp(parts)
        }
    }

    private mutating func giveUp(_ parts: Parts) {
        waitingBytes -= parts.bytes
        lost += parts.isVoid ? 0 : 1
    }
}
