import Model
import Packets
import Testing

@testable import Dataplane

/// Answers to probes of every kind, as they come in.
@Suite("Answers to probes", .enabled(if: mayLoadBPF, Comment(rawValue: needsRoot)), .serialized)
struct ProbeAnswerTests {
    static let guest = MACAddress(bits: 0x02_00_00_00_01_01)
    static let ours = MACAddress(bits: 0x02_00_00_00_00_fe)

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let key: ProbeKey
        let bytes: [UInt8]
        var acknowledged: UInt32 = 0
        var flags: UInt8 = 0
        var hopLimit: UInt8 = 64
    }

    static func ip(_ text: String) -> IPAddress { IPAddress(text) ?? .v4(IPv4Address(bits: 0)) }

    static func key(_ number: UInt8, _ source: String, _ sourcePort: UInt16, _ destination: String, _ port: UInt16)
        -> ProbeKey
    {
        ProbeKey(
            network: NetworkID(0), protocolNumber: number, source: ip(source), sourcePort: sourcePort,
            destination: ip(destination), destinationPort: port)
    }

    static func frame(_ message: [UInt8], _ number: UInt8, _ from: String, _ to: String, checksumAt: Int) -> [UInt8] {
        Envelope(from: ip(from), guest, to: ip(to), ours).frame(carrying: message, of: number, checksumAt: checksumAt)
            ?? []
    }

    static func segment(
        _ from: String, _ to: String, flags: TCPHeader.Flags, vlan: UInt16? = nil, payload: [UInt8] = []
    ) -> [UInt8] {
        var segment = TCPSegment(
            sourceMAC: guest, destinationMAC: ours, source: ip(from), destination: ip(to), sourcePort: 80,
            destinationPort: 40000, sequence: 9, flags: flags)
        segment.acknowledged = 0x1234_5678
        (segment.vlan, segment.payload) = (vlan, payload)
        return segment.frame() ?? []
    }

    /// The SYN that an ICMP error quotes, IP header and eight bytes.
    static func quoted(_ from: String, _ to: String, header: Int) -> [UInt8] {
        let syn = TCPSegment(
            sourceMAC: ours, destinationMAC: guest, source: ip(from), destination: ip(to), sourcePort: 40000,
            destinationPort: 80, sequence: 0x1234_5677, flags: .syn)
        return Array((syn.frame() ?? []).dropFirst(14).prefix(header + 8))
    }

    static var arpReply: [UInt8] {
        ours.bytes + guest.bytes + [0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2] + guest.bytes + [10, 0, 0, 1] + ours.bytes
            + [0, 0, 0, 0]
    }

    static var cases: [Case] {
        let (a, us, a6, us6) = ("10.0.0.1", "10.0.0.254", "fd00::1", "fd00::fe")
        let advertisement: [UInt8] =
            [136, 0, 0, 0, 0x60, 0, 0, 0] + (IPv6Address(a6)?.bytes ?? []) + [2, 1] + guest.bytes
        let dns: [UInt8] = [0, 53, 0x9c, 0x40, 0, 20, 0, 0, 0x77, 0x88, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        return [
            Case(
                testDescription: "SYN-ACK", key: key(6, a, 80, us, 40000), bytes: segment(a, us, flags: [.syn, .ack]),
                acknowledged: 0x1234_5678, flags: 0x12),
            Case(
                testDescription: "SYN-ACK over IPv6", key: key(6, a6, 80, us6, 40000),
                bytes: segment(a6, us6, flags: [.syn, .ack]), acknowledged: 0x1234_5678, flags: 0x12),
            Case(
                testDescription: "reset over IPv6", key: key(6, a6, 80, us6, 40000),
                bytes: segment(a6, us6, flags: [.rst, .ack]), acknowledged: 0x1234_5678, flags: 0x14),
            Case(
                testDescription: "echo", key: key(1, a, 0, us, 0x1122),
                bytes: frame([0, 0, 0, 0, 0x11, 0x22, 0x33, 0x44], 1, a, us, checksumAt: 2), acknowledged: 0x3344),
            Case(
                testDescription: "echo over IPv6", key: key(58, a6, 0, us6, 0x1122),
                bytes: frame([129, 0, 0, 0, 0x11, 0x22, 0x33, 0x44], 58, a6, us6, checksumAt: 2),
                acknowledged: 0x3344),
            Case(
                testDescription: "DNS", key: key(17, a, 53, us, 40000), bytes: frame(dns, 17, a, us, checksumAt: 6),
                acknowledged: 0x7788),
            Case(
                testDescription: "DNS over IPv6", key: key(17, a6, 53, us6, 40000),
                bytes: frame(dns, 17, a6, us6, checksumAt: 6), acknowledged: 0x7788),
            Case(testDescription: "ARP", key: key(0, a, 0, "0.0.0.0", 0), bytes: arpReply, hopLimit: 0),
            Case(
                testDescription: "neighbour advertisement", key: key(58, a6, 0, us6, 0),
                bytes: frame(advertisement, 58, "fe80::1", us6, checksumAt: 2)),
            Case(
                testDescription: "refused by a firewall's ICMP", key: key(6, a, 80, us, 40000),
                bytes: frame(
                    [3, 13, 0, 0, 0, 0, 0, 0] + quoted(us, a, header: 20), 1, "10.0.0.9", us, checksumAt: 2),
                acknowledged: 0x1234_5678, flags: 0x14),
            Case(
                testDescription: "refused over IPv6", key: key(6, a6, 80, us6, 40000),
                bytes: frame([1, 1, 0, 0, 0, 0, 0, 0] + quoted(us6, a6, header: 40), 58, a6, us6, checksumAt: 2),
                acknowledged: 0x1234_5678, flags: 0x14),
            Case(
                testDescription: "nobody there", key: key(6, a, 80, us, 40000),
                bytes: frame(
                    [3, 1, 0, 0, 0, 0, 0, 0] + quoted(us, a, header: 20), 1, "10.0.0.9", us, checksumAt: 2)),
        ]
    }

    final class Told { var events: [DataplaneEvent] = [] }

    @Test("an answer that is expected ends at the port, and its number is told; any other passes", arguments: cases)
    func taken(_ one: Case) throws {
        let rig = try Rig()
        let told = Told()
        _ = try rig.plane.openRings(frame: { _ in }, flow: { _ in }, event: { told.events.append($0) })
        #expect(try rig.run(one.bytes).0 == nextHop)
        try rig.plane.expect(one.key, number: 4711)
        let (verdict, _, reasons) = try rig.run(one.bytes)
        #expect(verdict == dropped && reasons == ["probe-answered": 1])
        rig.plane.consumeEvents()
        let event = try #require(told.events.first)
        #expect(told.events.count == 1 && event.kind == .probeAnswer && event.probe == 4711)
        #expect(event.acknowledged == one.acknowledged && event.tcpFlags == one.flags)
        #expect(event.hopLimit == one.hopLimit && event.mac == Self.guest)
        rig.plane.unexpect(one.key)
        #expect(try rig.run(one.bytes).0 == nextHop)
    }

    @Test("an answer cut short anywhere is nobody's, and harms nobody", arguments: cases)
    func cut(_ one: Case) throws {
        let rig = try Rig()
        try rig.plane.expect(one.key, number: 1)
        for count in 54..<max(54, one.bytes.count) {
            _ = try rig.run(Array(one.bytes.prefix(count)))
        }
    }

    final class Copied {
        var frames: [(bytes: [UInt8], network: NetworkID, isProbes: Bool)] = []
        var events = 0
    }

    @Test(
        "what is said on a connection of the agent's own ends at the port, and is copied to it, up to a bound",
        arguments: [("10.0.0.1", "10.0.0.254"), ("fd00::1", "fd00::fe")], [Mode.observe, .enforce])
    func spoken(ends: (String, String), mode: Mode) throws {
        let rig = try Rig(mode: mode, registries: SniffTests.registries, vlans: [100: NetworkID(7)], httpProbe: true)
        let copied = Copied()
        _ = try rig.plane.openRings(
            frame: { copied.frames.append((Array($0.bytes), $0.network, $0.isProbes)) },
            flow: { _ in }, event: { _ in copied.events += 1 })
        let (a, us) = ends
        let answer = Array("HTTP/1.1 200 OK\r\n\r\n".utf8)
        let segments: [[UInt8]] = [
            Self.segment(a, us, flags: .ack), Self.segment(a, us, flags: [.ack, .psh], payload: answer),
            Self.segment(a, us, flags: [.ack, .fin]),
            Self.segment(a, us, flags: .ack, payload: [UInt8](repeating: 65, count: 3400)),
        ]
        for bytes in segments { #expect(try rig.run(bytes).0 == nextHop, "nobody expects it") }
        try rig.plane.expect(Self.key(6, a, 80, us, 40000), number: 4711)
        for bytes in segments {
            copied.frames = []
            let (verdict, _, reasons) = try rig.run(bytes)
            #expect(verdict == dropped && reasons == ["probe-answered": 1])
            rig.plane.consumeAdverts()
            let frame = try #require(copied.frames.first)
            #expect(copied.frames.count == 1 && frame.isProbes && frame.network == NetworkID(0))
            #expect(frame.bytes == Array(bytes.prefix(3072)))
        }
        rig.plane.consumeEvents()
        #expect(copied.events == 0)
        #expect(try rig.run(Self.segment(a, us, flags: [.ack, .fin], vlan: 100)).0 == nextHop, "another network's")
    }

    @Test("where no request is configured, what is said on a connection is not looked at") func unspoken() throws {
        let rig = try Rig()
        try rig.plane.expect(Self.key(6, "10.0.0.1", 80, "10.0.0.254", 40000), number: 1)
        #expect(try rig.run(Self.segment("10.0.0.1", "10.0.0.254", flags: [.ack, .psh], payload: [1])).0 == nextHop)
    }

    @Test("in observe mode, and behind a VLAN's tag, it ends as well", arguments: [false, true])
    func observed(tagged: Bool) throws {
        let blue = NetworkID(7)
        let rig = try Rig(mode: .observe, vlans: [100: blue])
        let network = tagged ? blue : NetworkID(0)
        var segment = TCPSegment(
            sourceMAC: Self.guest, destinationMAC: Self.ours, source: Self.ip("fd00::1"),
            destination: Self.ip("fd00::fe"), sourcePort: 80, destinationPort: 40000, sequence: 1,
            flags: [.syn, .ack])
        segment.vlan = tagged ? 100 : nil
        let bytes = try #require(segment.frame())
        try rig.plane.expect(
            ProbeKey(
                network: network, protocolNumber: 6, source: segment.source, sourcePort: 80,
                destination: segment.destination, destinationPort: 40000), number: 1)
        #expect(try rig.run(bytes).0 == dropped)
    }

    @Test("a guest that checks whether the asker is still there troubles nobody else") func checked() throws {
        let rig = try Rig()
        func ask(_ target: IPv6Address, _ destination: MACAddress?) throws -> Int32 {
            let question = NeighbourSolicitation(sender: Self.guest, target: target, destination: destination)
            return try rig.run(try #require(question.frame)).0
        }
        let own = IPv6Address.linkLocal(of: rig.plane.vipMAC)
        #expect(try ask(own, rig.plane.vipMAC) == dropped)
        #expect(try ask(own, Self.ours) == nextHop, "another one's MAC")
        #expect(try ask(own, nil) == nextHop, "to all")
        let global = IPv6Address(high: 0xfd00_0000_0000_0000, low: 1)
        #expect(try ask(global, rig.plane.vipMAC) == nextHop)
    }
}
