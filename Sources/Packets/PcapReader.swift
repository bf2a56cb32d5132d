public import Model

/// Reads a classic pcap capture (libpcap's savefile format) piece by piece, in either byte order, with stamps in
/// microseconds or nanoseconds. Give it bytes as they come and take records until it wants more.
public struct PcapReader {
    public struct Record: Sendable, Equatable {
        public var time: Instant
        public var frame: [UInt8]
        /// The frame was longer on the wire than what was kept.
        public var isCut: Bool
    }

    /// libpcap's MAXIMUM_SNAPLEN: no honest record is longer.
    public static let longestRecord = 262_144

    private struct Format {
        var swapped: Bool
        var ticksPerMillisecond: Int64
    }

    private var format: Format?
    private var pending: [UInt8] = []
    /// Start of what is not read yet, within `pending` and within the file.
    private var position = 0
    private var consumed = 0

    public init() {}

    public mutating func append(_ bytes: some Sequence<UInt8>) {
        if position > 0 {
            pending.removeFirst(position)
            position = 0
        }
        pending.append(contentsOf: bytes)
    }

    /// The next record; nil when more bytes are needed to tell.
    public mutating func next() throws(PcapError) -> Record? {
        if format == nil {
            format = try readFormat()
        }
        guard let format, let seconds = field(0, format), let ticks = field(4, format),
            let kept = field(8, format), let length = field(12, format)
        else { return nil }
        guard kept <= Self.longestRecord else { throw PcapError(code: .recordTooLong(Int(kept)), offset: consumed) }
        guard pending.count - position - 16 >= Int(kept) else { return nil }
        let start = position + 16
        let frame = Array(pending[start..<start + Int(kept)])
        advance(16 + Int(kept))
        let time = Int64(seconds) * 1000 + Int64(ticks) / format.ticksPerMillisecond
        return Record(time: Instant(milliseconds: time), frame: frame, isCut: kept < length)
    }

    /// To be called once no more bytes come.
    public func finish() throws(PcapError) {
        if format == nil { throw PcapError(code: .notPcap, offset: consumed) }
        if position < pending.count { throw PcapError(code: .truncated, offset: consumed) }
    }

    private mutating func readFormat() throws(PcapError) -> Format? {
        let all = Format(swapped: false, ticksPerMillisecond: 1)
        guard let magic = field(0, all) else { return nil }
        let found: Format
        switch magic {
        case 0xa1b2_c3d4: found = Format(swapped: false, ticksPerMillisecond: 1000)
        case 0xd4c3_b2a1: found = Format(swapped: true, ticksPerMillisecond: 1000)
        case 0xa1b2_3c4d: found = Format(swapped: false, ticksPerMillisecond: 1_000_000)
        case 0x4d3c_b2a1: found = Format(swapped: true, ticksPerMillisecond: 1_000_000)
        case 0x0a0d_0d0a: throw PcapError(code: .pcapng, offset: 0)
        default: throw PcapError(code: .notPcap, offset: 0)
        }
        guard let link = field(20, found) else { return nil }
        // The upper bits hold the length of a frame check sequence, not the link type.
        guard link & 0xffff == 1 else { throw PcapError(code: .linkType(Int(link & 0xffff)), offset: 20) }
        advance(24)
        return found
    }

    private func field(_ offset: Int, _ format: Format) -> UInt32? {
        let start = position + offset
        guard start + 4 <= pending.count else { return nil }
        let value = pending[start..<start + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return format.swapped ? value.byteSwapped : value
    }

    private mutating func advance(_ count: Int) {
        position += count
        consumed += count
    }
}

/// Why a capture cannot be read, and where: the byte offset within the file.
public struct PcapError: Error, Equatable, CustomStringConvertible {
    public enum Code: Equatable, Sendable {
        case notPcap, pcapng, truncated
        case linkType(Int)
        case recordTooLong(Int)
    }
    public let code: Code
    public let offset: Int

    public var description: String {
        switch code {
        case .notPcap: "not a pcap capture"
        case .pcapng: "a pcapng capture: convert it first (tcpdump -r FILE -w NEW, or editcap -F pcap)"
        case .truncated: "the capture ends in the middle of a record (byte \(offset))"
        case .linkType(let type): "link type \(type): only Ethernet (1) is read"
        case .recordTooLong(let length):
            "a record of \(length) bytes at byte \(offset): longer than \(PcapReader.longestRecord), the file is damaged"
        }
    }
}
