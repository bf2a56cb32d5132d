import Model
import Testing

@testable import Packets

@Suite("Captures in pcapng") struct PcapngTests {
    /// Writes blocks in one byte order.
    private struct Writer {
        var swapped = false
        var bytes: [UInt8] = []

        func number(_ value: UInt32) -> [UInt8] { PcapTests.number(value, swapped) }
        func half(_ value: UInt16) -> [UInt8] {
            let big = [UInt8(value >> 8), UInt8(value & 0xff)]
            return swapped ? big.reversed() : big
        }

        mutating func block(_ type: UInt32, _ body: [UInt8]) {
            let padded = body + [UInt8](repeating: 0, count: (4 - body.count % 4) % 4)
            let length = number(UInt32(padded.count + 12))
            bytes += number(type) + length + padded + length
        }

        mutating func section() {
            block(0x0a0d_0d0a, number(0x1a2b_3c4d) + half(1) + half(0) + [UInt8](repeating: 0xff, count: 8))
        }

        mutating func interface(link: UInt16 = 1, snap: UInt32 = 0, options: [UInt8] = []) {
            block(1, half(link) + half(0) + number(snap) + options)
        }

        mutating func enhanced(_ frame: [UInt8], interface: UInt32 = 0, ticks: UInt64, whole: UInt32? = nil) {
            let stamp = number(UInt32(ticks >> 32)) + number(UInt32(ticks & 0xffff_ffff))
            let sizes = number(UInt32(frame.count)) + number(whole ?? UInt32(frame.count))
            block(6, number(interface) + stamp + sizes + frame)
        }
    }

    private func read(_ bytes: [UInt8], pieces: Int = .max) throws -> [PcapReader.Record] {
        var reader = PcapReader()
        var records: [PcapReader.Record] = []
        for start in stride(from: 0, to: bytes.count, by: min(pieces, max(1, bytes.count))) {
            reader.append(bytes[start..<min(bytes.count, start.advanced(by: min(pieces, bytes.count)))])
            while let record = try reader.next() { records.append(record) }
        }
        try reader.finish()
        return records
    }

    @Test(
        "packets of all three kinds, in either byte order, however the bytes come", arguments: [false, true],
        [1, 7, 9999])
    func kinds(swapped: Bool, pieces: Int) throws {
        var writer = Writer(swapped: swapped)
        writer.section()
        writer.interface(snap: 3)
        writer.block(5, [1, 2, 3, 4, 5, 6, 7, 8, 9])
        writer.enhanced([1, 2, 3, 4, 5], ticks: 7_250_999, whole: 9)
        writer.block(3, writer.number(5) + [6, 7, 8])
        let sizes = writer.number(2) + writer.number(2)
        writer.block(2, writer.half(0) + writer.half(9) + writer.number(0) + writer.number(8_000_000) + sizes + [9, 9])
        let records = try read(writer.bytes, pieces: pieces)
        #expect(records.map(\.frame) == [[1, 2, 3, 4, 5], [6, 7, 8], [9, 9]])
        #expect(records.map(\.time.milliseconds) == [7250, 7250, 8000])
        #expect(records.map(\.isCut) == [true, true, false])
    }

    @Test(
        "stamps count in what their interface says",
        arguments: [
            (3, 7250, 7250), (9, 7_250_000_000, 7250), (0, 7, 7000), (0x80 | 10, 7 << 10 | 256, 7250),
            (6, 7_250_000, 7250),
            (0x80 | 1, 15, 7500),
        ] as [(UInt8, UInt64, Int64)])
    func resolutions(code: UInt8, ticks: UInt64, expected: Int64) throws {
        for swapped in [false, true] {
            var writer = Writer(swapped: swapped)
            writer.section()
            // A name, the resolution, an offset of a second, the end.
            let name = writer.half(2) + writer.half(3) + [0x65, 0x74, 0x68, 0]
            let seconds = swapped ? writer.number(1) + writer.number(0) : writer.number(0) + writer.number(1)
            let options = name + writer.half(9) + writer.half(1) + [code, 0, 0, 0] + writer.half(14) + writer.half(8)
            writer.interface(options: options + seconds + writer.number(0))
            writer.enhanced([1], ticks: ticks)
            #expect(try read(writer.bytes).map(\.time.milliseconds) == [expected + 1000])
        }
    }

    @Test("a section begins anew: byte order and interfaces") func sections() throws {
        var first = Writer()
        first.section()
        first.interface(link: 147)
        first.interface()
        first.enhanced([1], interface: 1, ticks: 0)
        var second = Writer(swapped: true)
        second.section()
        second.interface()
        second.enhanced([2], ticks: 0)
        #expect(try read(first.bytes + second.bytes).map(\.frame) == [[1], [2]])
        second = Writer()
        second.section()
        second.enhanced([2], ticks: 0)
        let bytes = first.bytes + second.bytes
        #expect(throws: PcapError(code: .damaged, offset: first.bytes.count + 28)) { try read(bytes) }
    }

    @Test("a packet of a link type that is not read is an empty frame, and the others are read") func links() throws {
        var writer = Writer()
        writer.section()
        writer.interface(link: 147)
        writer.interface()
        for interface in [UInt32(0), 1, 0] { writer.enhanced([1, 2], interface: interface, ticks: 1_000_000) }
        let records = try read(writer.bytes)
        #expect(records.map(\.frame) == [[], [1, 2], []] && records.allSatisfy { $0.time.milliseconds == 1000 })
    }

    @Test("what cannot be read is named, and where") func refusals() {
        var writer = Writer()
        writer.section()
        let start = writer.bytes.count
        writer.interface(link: 147)
        writer.enhanced([1], ticks: 0)
        writer.enhanced([2], ticks: 0)
        #expect(throws: PcapError(code: .linkType(147), offset: start + 20)) { try read(writer.bytes) }
        writer = Writer()
        writer.section()
        let header = writer.bytes
        let long = header + writer.number(6) + writer.number(1 << 30)
        #expect(throws: PcapError(code: .recordTooLong(1 << 30), offset: start)) { try read(long) }
        let short = header + writer.number(6) + writer.number(8)
        #expect(throws: PcapError(code: .damaged, offset: start)) { try read(short) }
        #expect(throws: PcapError(code: .truncated, offset: start)) { try read(header + [1]) }
        let order = [UInt8](writer.number(0x0a0d_0d0a) + writer.number(28) + writer.number(7))
        #expect(throws: PcapError(code: .damaged, offset: 0)) { try read(order) }
        // A block that is skipped is never held, and its end is missed.
        let unknown = header + writer.number(77) + writer.number(4_000_000_000)
        #expect(throws: PcapError(code: .truncated, offset: start + 4_000_000_000)) { try read(unknown) }
    }

    @Test("absurd stamps and sizes give an error or a bounded time, never a crash", arguments: 0..<200)
    func hostile(seed: Int) {
        var writer = Writer(swapped: seed % 2 == 0)
        writer.section()
        writer.interface(options: writer.half(9) + writer.half(1) + [UInt8(truncatingIfNeeded: seed &* 7), 0, 0, 0])
        writer.enhanced([1, 2, 3], ticks: .max - UInt64(seed))
        var bytes = writer.bytes
        let place = 28 + (seed &* 7919) % (bytes.count - 28)
        bytes[place] ^= UInt8(truncatingIfNeeded: 1 << (seed % 8))
        for record in (try? read(bytes)) ?? [] {
            #expect((0...(Int64(1) << 40) * 1000 + 1_000_000).contains(record.time.milliseconds))
        }
        for cut in stride(from: 0, to: bytes.count, by: 3) { _ = try? read(Array(bytes.prefix(cut))) }
    }
}
