import Model

/// The blocks of a pcapng capture: sections, interfaces and packets; others are skipped.
struct Pcapng {
    /// A section header's block type, the same in both byte orders.
    static let magic: UInt32 = 0x0a0d_0d0a

    private struct Interface {
        var link: UInt16
        var snapLength: UInt32
        /// Of time stamps, in a second; at least 1.
        var ticks: UInt64 = 1_000_000
        /// Seconds to be added to them.
        var offset: Int64 = 0
    }

    private enum Block {
        static let interface: UInt32 = 1
        static let obsoletePacket: UInt32 = 2
        static let simplePacket: UInt32 = 3
        static let enhancedPacket: UInt32 = 6
    }

    /// What a packet block may hold besides the packet: its fields and options.
    private static let longestBlock = PcapReader.longestRecord + 65_536
    private static let mostInterfaces = 4096
    /// Year 36812: sums with it stay far from overflow.
    private static let latest: Int64 = 1 << 40

    private var isSwapped = false
    private var interfaces: [Interface] = []
    /// Simple packets have no stamp of their own.
    private var time = Instant(milliseconds: 0)
    private var hasRead = false
    private var unread: PcapError?

    /// Why no packet was read, where there are but packets of other link types.
    var refusal: PcapError? { hasRead ? nil : unread }

    /// Nil when more bytes are needed.
    mutating func next(_ pending: inout CaptureBytes) throws(PcapError) -> PcapReader.Record? {
        while let type = pending.number32(at: 0, swapped: isSwapped) {
            if type == Self.magic {
                // The order of the bytes that follow, also that of the length, is said behind it.
                guard let order = pending.number32(at: 8, swapped: false) else { return nil }
                guard order == 0x1a2b_3c4d || order == 0x4d3c_2b1a else { throw damaged(pending) }
                isSwapped = order == 0x4d3c_2b1a
                interfaces = []
            }
            guard let field = pending.number32(at: 4, swapped: isSwapped) else { return nil }
            let length = Int(field)
            guard length >= 12, length % 4 == 0 else { throw damaged(pending) }
            guard [Block.interface, Block.obsoletePacket, Block.simplePacket, Block.enhancedPacket].contains(type)
            else {
                pending.advance(length)
                continue
            }
            guard length <= Self.longestBlock else {
                throw PcapError(code: .recordTooLong(length), offset: pending.consumed)
            }
            guard pending.count >= length else { return nil }
            guard pending.number32(at: length - 4, swapped: isSwapped) == field else { throw damaged(pending) }
            let record = try read(type, length, pending)
            pending.advance(length)
            if let record { return record }
        }
        return nil
    }

    private func damaged(_ pending: CaptureBytes) -> PcapError {
        PcapError(code: .damaged, offset: pending.consumed)
    }

    private mutating func read(
        _ type: UInt32, _ length: Int, _ block: CaptureBytes
    ) throws(PcapError) -> PcapReader.Record? {
        func number(_ offset: Int) -> UInt32 {
            offset + 4 <= length - 4 ? block.number32(at: offset, swapped: isSwapped) ?? 0 : 0
        }
        switch type {
        case Block.interface:
            guard length >= 20, interfaces.count < Self.mostInterfaces else { throw damaged(block) }
            interfaces.append(described(length, block))
            return nil
        case Block.enhancedPacket:
            let interface = try interface(Int(number(8)), length >= 32, block)
            time = stamp(UInt64(number(12)) << 32 | UInt64(number(16)), interface)
            return try packet(interface, at: 28, kept: number(20), of: number(24), length, block)
        case Block.obsoletePacket:
            let index = Int(block.number16(at: 8, swapped: isSwapped) ?? 0)
            let interface = try interface(index, length >= 32, block)
            time = stamp(UInt64(number(12)) << 32 | UInt64(number(16)), interface)
            return try packet(interface, at: 28, kept: number(20), of: number(24), length, block)
        default:
            let interface = try interface(0, length >= 16, block)
            let snap = interface.snapLength == 0 ? UInt32.max : interface.snapLength
            return try packet(interface, at: 12, kept: min(number(8), snap), of: number(8), length, block)
        }
    }

    private func interface(_ index: Int, _ isLongEnough: Bool, _ block: CaptureBytes) throws(PcapError) -> Interface {
        guard isLongEnough, interfaces.indices.contains(index) else { throw damaged(block) }
        return interfaces[index]
    }

    private mutating func packet(
        _ interface: Interface, at offset: Int, kept: UInt32, of whole: UInt32, _ length: Int, _ block: CaptureBytes
    ) throws(PcapError) -> PcapReader.Record {
        guard Int(kept) <= length - 4 - offset, let bytes = block.bytes(at: offset, Int(kept)) else {
            throw damaged(block)
        }
        let link = LinkType(rawValue: interface.link)
        hasRead = hasRead || link != nil
        // The other interfaces' packets may well be read.
        if link == nil, unread == nil {
            unread = PcapError(code: .linkType(Int(interface.link)), offset: block.consumed)
        }
        return PcapReader.Record(time: time, frame: link?.ethernet(bytes) ?? [], isCut: kept < whole)
    }

    // MARK: - Interfaces

    private func described(_ length: Int, _ block: CaptureBytes) -> Interface {
        var interface = Interface(
            link: block.number16(at: 8, swapped: isSwapped) ?? 0,
            snapLength: block.number32(at: 12, swapped: isSwapped) ?? 0)
        var offset = 16
        // Options: a code, a length, a value padded to four bytes; code 0 ends them.
        while offset + 4 <= length - 4, let code = block.number16(at: offset, swapped: isSwapped), code != 0,
            let size = block.number16(at: offset + 2, swapped: isSwapped), offset + 4 + Int(size) <= length - 4
        {
            let value = offset + 4
            if code == 9, size >= 1, let resolution = block.bytes(at: value, 1)?.first {
                interface.ticks = Self.ticks(resolution)
            } else if code == 14, size >= 8 {
                interface.offset = seconds(at: value, block)
            }
            offset = value + (Int(size) + 3) / 4 * 4
        }
        return interface
    }

    /// if_tsoffset: 64 bits in the section's byte order.
    private func seconds(at offset: Int, _ block: CaptureBytes) -> Int64 {
        let (first, second) = (
            UInt64(block.number32(at: offset, swapped: isSwapped) ?? 0),
            UInt64(block.number32(at: offset + 4, swapped: isSwapped) ?? 0)
        )
        return Int64(bitPattern: isSwapped ? second << 32 | first : first << 32 | second)
    }

    /// if_tsresol: a negative power of 2 with the top bit set, else of 10.
    private static func ticks(_ resolution: UInt8) -> UInt64 {
        let power = resolution & 0x7f
        guard resolution & 0x80 == 0 else { return power < 64 ? 1 << UInt64(power) : 1 << 63 }
        return (0..<min(power, 19)).reduce(1) { ticks, _ in ticks * 10 }
    }

    private func stamp(_ ticks: UInt64, _ interface: Interface) -> Instant {
        let seconds = Int64(clamping: ticks / interface.ticks)
        let rest = ticks % interface.ticks
        // Multiplied first where that loses nothing, divided first where it could overflow.
        let part = interface.ticks > 1_000_000 ? rest / (interface.ticks / 1000) : rest * 1000 / interface.ticks
        let all = seconds.addingReportingOverflow(interface.offset)
        let bounded = all.overflow ? Self.latest : min(max(all.partialValue, 0), Self.latest)
        return Instant(milliseconds: bounded * 1000 + Int64(clamping: part))
    }
}
