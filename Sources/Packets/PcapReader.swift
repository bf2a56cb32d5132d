public import Model

/// Reads a capture piece by piece: classic pcap (libpcap's savefile format) or pcapng
/// (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html), in either byte order. Give it bytes as they come
/// and take records until it wants more.
public struct PcapReader {
    public struct Record: Sendable, Equatable {
        public var time: Instant
        /// Ethernet; where the link it passed is another, with a header made for it. Empty where that cannot be: the
        /// frame is cut short, or of a link type that is not read, among a pcapng capture's others.
        public var frame: [UInt8]
        /// The frame was longer on the wire than what was kept.
        public var isCut: Bool
    }

    /// libpcap's MAXIMUM_SNAPLEN: no honest record is longer.
    public static let longestRecord = 262_144

    private enum Format {
        case unknown
        case classic(ClassicPcap)
        case next(Pcapng)
    }

    private var format = Format.unknown
    private var pending = CaptureBytes()

    public init() {}

    public mutating func append(_ bytes: some Sequence<UInt8>) { pending.append(bytes) }

    /// The next record; nil when more bytes are needed to tell.
    public mutating func next() throws(PcapError) -> Record? {
        if case .unknown = format { try recognize() }
        switch format {
        case .unknown: return nil
        case .classic(let classic): return try classic.next(&pending)
        case .next(var next):
            defer { format = .next(next) }
            return try next.next(&pending)
        }
    }

    /// To be called once no more bytes come. Throws also where no packet's link type is read.
    public func finish() throws(PcapError) {
        if case .unknown = format { throw PcapError(code: .notPcap, offset: pending.consumed) }
        if !pending.isEmpty { throw PcapError(code: .truncated, offset: pending.consumed) }
        if case .next(let next) = format, let refusal = next.refusal { throw refusal }
    }

    private mutating func recognize() throws(PcapError) {
        guard let magic = pending.number32(at: 0, swapped: false) else { return }
        if magic == Pcapng.magic {
            format = .next(Pcapng())
        } else if let classic = try ClassicPcap(&pending, magic: magic) {
            format = .classic(classic)
        }
    }
}

/// libpcap's savefile format: stamps in microseconds or nanoseconds.
struct ClassicPcap {
    private let isSwapped: Bool
    private let ticksPerMillisecond: Int64
    private let link: LinkType

    /// Nil where more bytes are needed.
    init?(_ pending: inout CaptureBytes, magic: UInt32) throws(PcapError) {
        switch magic {
        case 0xa1b2_c3d4: (isSwapped, ticksPerMillisecond) = (false, 1000)
        case 0xd4c3_b2a1: (isSwapped, ticksPerMillisecond) = (true, 1000)
        case 0xa1b2_3c4d: (isSwapped, ticksPerMillisecond) = (false, 1_000_000)
        case 0x4d3c_b2a1: (isSwapped, ticksPerMillisecond) = (true, 1_000_000)
        default: throw PcapError(code: .notPcap, offset: 0)
        }
        guard let field = pending.number32(at: 20, swapped: isSwapped) else { return nil }
        // The upper bits hold the length of a frame check sequence, not the link type.
        let number = UInt16(truncatingIfNeeded: field)
        guard let link = LinkType(rawValue: number) else { throw PcapError(code: .linkType(Int(number)), offset: 20) }
        self.link = link
        pending.advance(24)
    }

    func next(_ pending: inout CaptureBytes) throws(PcapError) -> PcapReader.Record? {
        guard let seconds = pending.number32(at: 0, swapped: isSwapped),
            let ticks = pending.number32(at: 4, swapped: isSwapped),
            let kept = pending.number32(at: 8, swapped: isSwapped),
            let length = pending.number32(at: 12, swapped: isSwapped)
        else { return nil }
        guard kept <= PcapReader.longestRecord else {
            throw PcapError(code: .recordTooLong(Int(kept)), offset: pending.consumed)
        }
        guard let bytes = pending.bytes(at: 16, Int(kept)) else { return nil }
        let frame = link.ethernet(bytes) ?? []
        pending.advance(16 + Int(kept))
        let time = Int64(seconds) * 1000 + Int64(ticks) / ticksPerMillisecond
        return PcapReader.Record(time: Instant(milliseconds: time), frame: frame, isCut: kept < length)
    }
}

/// Why a capture cannot be read, and where: the byte offset within the file.
public struct PcapError: Error, Equatable, CustomStringConvertible {
    public enum Code: Equatable, Sendable {
        case notPcap, truncated, damaged
        case linkType(Int)
        case recordTooLong(Int)
    }
    public let code: Code
    public let offset: Int

    public var description: String {
        switch code {
        case .notPcap: "neither a pcap nor a pcapng capture"
        case .truncated: "the capture ends in the middle of a record (byte \(offset))"
        case .damaged: "what stands at byte \(offset) is no pcapng block: the file is damaged"
        case .linkType(let type):
            "link type \(type): only Ethernet (1), raw IP (101) and Linux cooked (113, 276) are read"
        case .recordTooLong(let length):
            "a record of \(length) bytes at byte \(offset): longer than \(PcapReader.longestRecord), the file is damaged"
        }
    }
}
