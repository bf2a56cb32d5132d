import Model
import Testing

@testable import Packets

@Suite("Frames of overlays") struct OverlayFrameTests {
    static let mac = MACAddress(bits: 0x02_00_00_00_00_11)

    static func inner(_ address: String) throws -> [UInt8] {
        let envelope = Envelope(
            from: try #require(IPAddress(address)), mac, to: try #require(IPAddress("10.244.0.1")), mac)
        return try #require(EchoRequest(identifier: 1, sequence: 2).frame(in: envelope))
    }

    /// A datagram to `port` that holds these bytes.
    static func outer(_ payload: [UInt8], port: UInt16, from: String = "192.0.2.1", to: String = "192.0.2.2") throws
        -> [UInt8]
    {
        var datagram: [UInt8] = []
        datagram.append16(50000)
        datagram.append16(port)
        datagram.append16(UInt16(payload.count + 8))
        datagram.append16(0)
        let envelope = Envelope(from: try #require(IPAddress(from)), mac, to: try #require(IPAddress(to)), mac)
        return try #require(envelope.frame(carrying: datagram + payload, of: 17, checksumAt: 6))
    }

    static func read(_ bytes: [UInt8]) -> OverlayFrame? {
        bytes.withUnsafeBytes { OverlayFrame($0, ports: [4789: .vxlan, 6081: .geneve]) }
    }

    @Test("VXLAN's network and the sender inside are read, over IPv4 and IPv6") func vxlan() throws {
        let header: [UInt8] = [8, 0, 0, 0, 0x01, 0x02, 0x03, 0]
        for (from, to) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            let frame = try Self.read(Self.outer(header + Self.inner("10.244.0.7"), port: 4789, from: from, to: to))
            #expect(frame?.segment == OverlaySegment(encapsulation: .vxlan, port: 4789, vni: 0x010203))
            #expect(frame?.source == IPAddress("10.244.0.7"))
        }
    }

    @Test("Geneve's options are stepped over") func geneve() throws {
        let header: [UInt8] = [2, 0, 0x65, 0x58, 0, 0, 42, 0] + [UInt8](repeating: 0xff, count: 8)
        let frame = try Self.read(Self.outer(header + Self.inner("10.244.0.7"), port: 6081))
        #expect(frame?.segment.vni == 42 && frame?.source == IPAddress("10.244.0.7"))
    }

    @Test("what is none, or is cut short anywhere, is no overlay's frame") func others() throws {
        let whole = try Self.outer([8, 0, 0, 0, 0, 0, 42, 0] + Self.inner("10.244.0.7"), port: 4789)
        #expect(Self.read(whole) != nil)
        for count in 0..<whole.count - 8 { #expect(Self.read(Array(whole.prefix(count))) == nil) }
        #expect(try Self.read(Self.outer([0, 0, 0, 0, 0, 0, 42, 0] + Self.inner("10.244.0.7"), port: 4789)) == nil)
        #expect(try Self.read(Self.outer([8, 0, 0, 0, 0, 0, 42, 0] + Self.inner("10.244.0.7"), port: 4790)) == nil)
        #expect(
            try Self.read(Self.outer([0x40, 0, 0x65, 0x58, 0, 0, 42, 0] + Self.inner("10.0.0.1"), port: 6081)) == nil)
    }
}
