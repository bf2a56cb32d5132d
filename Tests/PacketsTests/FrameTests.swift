import Model
import Testing

@testable import Packets

@Suite("Frames") struct FrameTests {
    @Test(
        "a TCP frame is read as it was built, over IPv4 and IPv6, tagged and not", arguments: [true, false], [nil, 100])
    func roundTrip(isV6: Bool, vlan: UInt16?) throws {
        var segment = TCPSegment.sample(isV6: isV6)
        segment.vlan = vlan
        segment.payload = Array("hello".utf8)
        segment.maximumSegment = 1460
        let bytes = try #require(segment.frame())
        let frame = try #require(Frame(bytes))
        let (ip, tcp) = try #require(frame.tcp)
        #expect(frame.vlan == vlan)
        #expect(frame.sourceMAC == segment.sourceMAC && frame.destinationMAC == segment.destinationMAC)
        #expect(ip.source == segment.source && ip.destination == segment.destination)
        #expect(ip.hopLimit == 64 && !ip.isFragment)
        #expect(tcp.sourcePort == 40000 && tcp.destinationPort == 8500)
        #expect(tcp.sequence == 7 && tcp.acknowledged == 9 && tcp.flags == [.psh, .ack])
        #expect(Array(bytes[tcp.payload]) == segment.payload)
    }

    @Test("checksums of a built segment add up to zero") func checksums() throws {
        var segment = TCPSegment.sample(isV6: false)
        segment.payload = Array("odd".utf8)
        let bytes = try #require(segment.frame())
        var header = Checksum()
        header.add(Array(bytes[14..<34]))
        #expect(header.value == 0)
        var transport = Checksum()
        transport.add(Array(bytes[26..<34]))
        transport.add(6)
        transport.add(UInt32(bytes.count - 34))
        transport.add(Array(bytes[34...]))
        #expect(transport.value == 0)
    }

    @Test("Ethernet's padding is no payload") func padding() throws {
        let bytes = try #require(TCPSegment.sample(isV6: false).frame()) + [0, 0, 0, 0, 0, 0]
        let (_, tcp) = try #require(Frame(bytes)?.tcp)
        #expect(tcp.payload.isEmpty)
    }

    @Test("a tag out of the bytes is the outer one") func outOfBand() throws {
        var segment = TCPSegment.sample(isV6: false)
        segment.vlan = 200
        let bytes = try #require(segment.frame())
        let frame = try #require(bytes.withUnsafeBytes { Frame($0, vlan: 0x6064) })
        #expect(frame.vlan == 0x064 && frame.innerVLAN == 200)
        #expect(frame.tcp != nil)
    }

    @Test("QinQ gives both ids") func qinq() throws {
        let plain = try #require(TCPSegment.sample(isV6: false).frame())
        let bytes = plain[..<12] + [0x88, 0xa8, 0, 7, 0x81, 0, 0, 8] + plain[12...]
        let frame = try #require(Frame(Array(bytes)))
        #expect(frame.vlan == 7 && frame.innerVLAN == 8 && frame.tcp != nil)
    }

    @Test("a priority tag is no VLAN") func priorityTag() throws {
        var segment = TCPSegment.sample(isV6: false)
        segment.vlan = 0
        let bytes = try #require(segment.frame())
        let frame = try #require(Frame(bytes))
        #expect(frame.vlan == nil && frame.tcp != nil)
    }

    @Test("IPv4 options are skipped") func options() throws {
        let plain = try #require(TCPSegment.sample(isV6: false).frame())
        var bytes = Array(plain[..<34]) + [1, 1, 1, 0] + Array(plain[34...])
        bytes[14] = 0x46
        bytes[17] = UInt8(bytes.count - 14)
        #expect(Frame(bytes)?.tcp?.tcp.destinationPort == 8500)
    }

    @Test("IPv6 extension headers are walked, and a fragment is known as one") func extensions() throws {
        let plain = try #require(TCPSegment.sample(isV6: true).frame())
        func with(_ chain: [UInt8], first: UInt8) -> [UInt8] {
            var bytes = Array(plain[..<54]) + chain + Array(plain[54...])
            bytes[20] = first
            bytes[19] = UInt8(bytes.count - 54)
            return bytes
        }
        let options: [UInt8] = [60, 0, 1, 4, 0, 0, 0, 0] + [6, 0, 1, 4, 0, 0, 0, 0]
        #expect(Frame(with(options, first: 0))?.tcp?.tcp.destinationPort == 8500)
        let fragment = try #require(Frame(with([6, 0, 0, 1, 0, 0, 0, 1], first: 44))?.tcp)
        #expect(fragment.ip.isFragment)
        #expect(Frame(with([6, 0, 0, 9, 0, 0, 0, 1], first: 44))?.tcp == nil)
    }

    @Test("segmentation-offload frames above 64 KiB have no IP length", arguments: [true, false])
    func jumbo(isV6: Bool) throws {
        var segment = TCPSegment.sample(isV6: isV6)
        segment.payload = [UInt8](repeating: 1, count: 90_000)
        let bytes = try #require(segment.frame())
        let (_, tcp) = try #require(Frame(bytes)?.tcp)
        #expect(tcp.payload.count == 90_000)
    }

    @Test("an ARP request is read") func arp() throws {
        let bytes: [UInt8] =
            [UInt8](repeating: 255, count: 6) + [2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]
            + [2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]
        guard case .arp(let arp) = Frame(bytes)?.content else {
            Issue.record("no ARP")
            return
        }
        #expect(arp.operation == 1 && arp.sender.description == "10.0.0.1" && arp.target.description == "10.0.0.2")
        #expect(arp.senderMAC.description == "02:00:00:00:00:01")
    }

    @Test("no cut and no flipped bit makes the parser reach past the frame", arguments: [true, false])
    func hostile(isV6: Bool) throws {
        var segment = TCPSegment.sample(isV6: isV6)
        segment.vlan = 5
        segment.payload = Array("payload".utf8)
        let whole = try #require(segment.frame())
        for length in 0...whole.count { check(Array(whole.prefix(length))) }
        for bit in 0..<whole.count * 8 {
            var bytes = whole
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            check(bytes)
        }
    }

    private func check(_ bytes: [UInt8]) {
        guard let (ip, tcp) = Frame(bytes)?.tcp else { return }
        #expect(ip.payload.upperBound <= bytes.count && tcp.payload.upperBound <= bytes.count)
        #expect(tcp.payload.lowerBound >= ip.payload.lowerBound)
    }
}

extension Frame {
    init?(_ bytes: [UInt8]) {
        guard let frame = bytes.withUnsafeBytes({ Frame($0) }) else { return nil }
        self = frame
    }
}

extension TCPSegment {
    static func sample(isV6: Bool) -> TCPSegment {
        let v4 = (IPAddress.v4(IPv4Address(bits: 0x0a00_0001)), IPAddress.v4(IPv4Address(bits: 0x0a00_0002)))
        let v6 = (
            IPAddress.v6(IPv6Address(high: 0xfd00 << 48, low: 1)), IPAddress.v6(IPv6Address(high: 0xfd00 << 48, low: 2))
        )
        var segment = TCPSegment(
            sourceMAC: MACAddress(bits: 0x0200_0000_0001), destinationMAC: MACAddress(bits: 0x0200_0000_0002),
            source: isV6 ? v6.0 : v4.0, destination: isV6 ? v6.1 : v4.1, sourcePort: 40000, destinationPort: 8500,
            sequence: 7, flags: [.psh, .ack])
        segment.acknowledged = 9
        return segment
    }
}
