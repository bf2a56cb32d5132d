import Model
import Testing

@testable import Packets

@Suite("Captures") struct PcapTests {
    static let frame: [UInt8] = [1, 2, 3, 4, 5]

    static func number(_ value: UInt32, _ swapped: Bool) -> [UInt8] {
        let big = (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32($0))) }
        return swapped ? big.reversed() : big
    }

    static func capture(magic: UInt32 = 0xa1b2_c3d4, swapped: Bool, link: UInt32 = 1, kept: UInt32 = 5) -> [UInt8] {
        let head = [magic, 0x0002_0004, 0, 0, 65535, link].flatMap { number($0, swapped) }
        let record = [100, 250_000, kept, 9].flatMap { number($0, swapped) }
        return head + record + frame
    }

    @Test("both byte orders and both stamps are read", arguments: [true, false], [UInt32(0xa1b2_c3d4), 0xa1b2_3c4d])
    func formats(swapped: Bool, magic: UInt32) throws {
        var reader = PcapReader()
        reader.append(Self.capture(magic: magic, swapped: swapped))
        let next = try reader.next()
        let record = try #require(next)
        #expect(record.frame == Self.frame && record.isCut)
        #expect(record.time.milliseconds == (magic == 0xa1b2_c3d4 ? 100_250 : 100_000))
        #expect(try reader.next() == nil)
        try reader.finish()
    }

    @Test("bytes may come one by one") func piecemeal() throws {
        var reader = PcapReader()
        var records = 0
        for byte in Self.capture(swapped: true) {
            reader.append([byte])
            while try reader.next() != nil { records += 1 }
        }
        #expect(records == 1)
        try reader.finish()
    }

    @Test("what cannot be read is named") func refusals() {
        #expect(code(Self.capture(swapped: false, link: 127)) == .linkType(127))
        #expect(code(Self.capture(swapped: false, kept: 300_000)) == .recordTooLong(300_000))
        #expect(code(Array(Self.capture(swapped: true).dropLast())) == .truncated)
        #expect(code(Array("GET / HTTP/1.1".utf8)) == .notPcap)
        #expect(code([]) == .notPcap)
    }

    @Test("frames without an Ethernet header get one") func otherLinks() throws {
        let packet: [UInt8] = [0x60, 1, 2, 3]
        let mac: [UInt8] = [2, 0, 0, 0, 0, 9]
        for (link, header, sender) in [
            (101, [], [0, 0, 0, 0, 0, 0]), (229, [], [0, 0, 0, 0, 0, 0]),
            (113, [0, 0, 0, 1, 0, 6] + mac + [0, 0, 0x86, 0xdd], mac),
            (276, [0x86, 0xdd, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6] + mac + [0, 0], mac),
        ] as [(UInt16, [UInt8], [UInt8])] {
            let frame = try #require(LinkType(rawValue: link)?.ethernet((header + packet)[...]))
            #expect(frame == [0, 0, 0, 0, 0, 0] + sender + [0x86, 0xdd] + packet)
        }
        #expect(LinkType.raw.ethernet([0x45])?[12..<14] == [8, 0])
        #expect(LinkType.linuxCooked.ethernet([0, 0]) == nil)
    }

    private func code(_ bytes: [UInt8]) -> PcapError.Code? {
        var reader = PcapReader()
        reader.append(bytes)
        do throws(PcapError) {
            while try reader.next() != nil {}
            try reader.finish()
            return nil
        } catch {
            return error.code
        }
    }
}

@Suite("Least recently used") struct LeastRecentTests {
    @Test("the one unused for longest goes first") func order() {
        var cache = LeastRecent<String, Int>(capacity: 2)
        #expect(cache.set("a", 1) == nil)
        #expect(cache.set("b", 2) == nil)
        #expect(cache.find("a") == 1)
        let gone = cache.set("c", 3)
        #expect(gone?.key == "b" && gone?.value == 2)
        #expect(cache.oldestKey == "a" && cache.count == 2)
    }

    @Test("what was removed leaves room, and the order holds") func removal() {
        var cache = LeastRecent<Int, Int>(capacity: 100)
        for key in 0..<100 { _ = cache.set(key, key) }
        for key in stride(from: 0, to: 100, by: 2) { #expect(cache.remove(key) == key) }
        #expect(cache.remove(0) == nil)
        for key in 100..<150 { #expect(cache.set(key, key) == nil) }
        #expect(cache.count == 100 && cache.oldestKey == 1)
        #expect(cache.set(150, 150)?.key == 1)
        #expect(Set(cache.values).count == 100)
    }
}
