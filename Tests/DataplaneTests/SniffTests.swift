import Model
import Testing

@testable import Dataplane

@Suite("What is copied for the ear", .enabled(if: mayLoadBPF, Comment(rawValue: needsRoot)), .serialized)
struct SniffTests {
    static let guest = "10.0.9.9"
    static let registry = "10.0.0.254"
    static let guest6 = "fd00::9"
    static let registry6 = "fd00::fe"
    static let ipv4: UInt16 = 0x0800
    static let ipv6: UInt16 = 0x86dd
    static let tcp: UInt8 = 6
    static let udp: UInt8 = 17
    /// DNS by both, mDNS by UDP, Consul by TCP at one address only.
    static let registries: [Dataplane.Settings.Registry] = [
        .init(address: nil, port: 53, transports: [.tcp, .udp]), .init(address: nil, port: 5353, transports: [.udp]),
        .init(address: IPAddress(registry), port: 8500), .init(address: IPAddress(registry6), port: 8500),
    ]

    /// A rig whose copies are kept.
    final class Listener {
        let rig: Rig
        private(set) var copies: [CopiedFrameValue] = []

        struct CopiedFrameValue: Equatable {
            var bytes: [UInt8]
            var network: NetworkID
            var vlan: UInt16?
            var isProbes = false
        }

        init(vlans: [UInt16: NetworkID] = [:], mode: Mode = .enforce) throws {
            rig = try Rig(mode: mode, registries: SniffTests.registries, vlans: vlans)
            _ = try rig.plane.openRings(
                frame: { [unowned self] in
                    copies.append(
                        .init(bytes: Array($0.bytes), network: $0.network, vlan: $0.vlan, isProbes: $0.isProbes))
                }, flow: { _ in }, event: { _ in })
        }

        /// What is copied of this frame, which itself goes on untouched.
        func hear(_ bytes: [UInt8], egress: Bool = false) throws -> [CopiedFrameValue] {
            copies = []
            let (verdict, after, reasons) = try rig.run(bytes, egress: egress)
            rig.plane.consumeAdverts()
            #expect(verdict == nextHop && after == bytes)
            #expect(reasons.values.reduce(0, +) == 1)
            return copies
        }
    }

    struct Form: CustomTestStringConvertible, Sendable {
        var name: String
        var isCopied: Bool
        var frame: [UInt8]
        var testDescription: String { name }

        init(_ name: String, _ isCopied: Bool, _ frame: [UInt8]) {
            (self.name, self.isCopied, self.frame) = (name, isCopied, frame)
        }
    }

    static func v4(_ proto: UInt8, _ payload: [UInt8], to destination: String = registry) -> [UInt8] {
        Wire.ethernet(ipv4, Wire.ipv4(guest, destination, proto, payload))
    }
    static func v6(_ proto: UInt8, _ payload: [UInt8], behind kinds: [UInt8] = []) -> [UInt8] {
        let body = Extension.chain(kinds, to: proto, payload)
        return Wire.ethernet(ipv6, Wire.ipv6(guest6, registry6, next: kinds.first ?? proto, body))
    }
    static func tagged(_ tags: [(type: UInt16, id: UInt16)], _ payload: [UInt8]) -> [UInt8] {
        Wire.ethernet(ipv4, tags: tags, Wire.ipv4(guest, registry, udp, payload))
    }

    static let forms: [Form] = [
        .init("a query by UDP", true, v4(udp, Wire.udp(40000, 53))),
        .init("its answer", true, Wire.ethernet(ipv4, Wire.ipv4(registry, guest, udp, Wire.udp(53, 40000)))),
        .init("a short datagram", true, v4(udp, Wire.udp(40000, 53, [1]))),
        .init("anybody's UDP", false, v4(udp, Wire.udp(40000, 9999))),
        .init("UDP to a port that is listened to by TCP", false, v4(udp, Wire.udp(40000, 8500))),
        .init("TCP to a port that is listened to by UDP", false, v4(tcp, Wire.tcp(40000, 5353))),
        .init("mDNS by multicast", true, v4(udp, Wire.udp(5353, 5353), to: "224.0.0.251")),
        .init(
            "mDNS over IPv6", true,
            Wire.ethernet(ipv6, Wire.ipv6("fe80::9", "ff02::fb", next: udp, Wire.udp(5353, 5353)))),
        .init("a segment", true, v4(tcp, Wire.tcp(40000, 8500))),
        .init("a segment to another address", false, v4(tcp, Wire.tcp(40000, 8500), to: "10.0.0.253")),
        .init("an acknowledgement", false, v4(tcp, Wire.tcp(40000, 8500, flags: 0x10, []))),
        .init("neither TCP nor UDP", false, v4(47, Wire.udp(40000, 53))),
        .init(
            "IPv4 options", true,
            Wire.ethernet(
                ipv4,
                Wire.ipv4(guest, registry, udp, options: [UInt8](repeating: 1, count: 40), Wire.udp(40000, 53)))),
        .init("a segment over IPv6", true, v6(tcp, Wire.tcp(40000, 8500))),
        .init("an acknowledgement over IPv6", false, v6(tcp, Wire.tcp(40000, 8500, flags: 0x10, []))),
        .init("a datagram over IPv6", true, v6(udp, Wire.udp(40000, 53))),
        .init("anybody's over IPv6", false, v6(udp, Wire.udp(40000, 54))),
        .init("ICMPv6", false, v6(58, Wire.udp(40000, 53))),
        .init("a hop-by-hop header", true, v6(udp, Wire.udp(40000, 53), behind: [Extension.hopByHop])),
        .init(
            "several headers", true,
            v6(
                tcp, Wire.tcp(40000, 8500),
                behind: [Extension.hopByHop, Extension.options, Extension.routing, Extension.authentication])),
        .init(
            "an acknowledgement behind a header", false,
            v6(tcp, Wire.tcp(40000, 8500, flags: 0x10, []), behind: [Extension.hopByHop])),
        .init(
            "six headers", true, v6(udp, Wire.udp(40000, 53), behind: [UInt8](repeating: Extension.options, count: 6))),
        .init(
            "seven headers", false,
            v6(udp, Wire.udp(40000, 53), behind: [UInt8](repeating: Extension.options, count: 7))),
        .init("a header before anybody's", false, v6(udp, Wire.udp(40000, 54), behind: [Extension.hopByHop])),
        .init("a tag", true, tagged([(0x8100, 100)], Wire.udp(40000, 53))),
        .init("a tag with a priority alone", true, tagged([(0x8100, 0xe000)], Wire.udp(40000, 53))),
        .init("two tags", true, tagged([(0x88a8, 100), (0x8100, 5)], Wire.udp(40000, 53))),
        .init("a tag of no network", false, tagged([(0x8100, 101)], Wire.udp(40000, 53))),
    ]

    @Test("what goes to or from a registry is copied whole, and nothing else", arguments: forms)
    func copied(form: Form) throws {
        for mode in Mode.allCases {
            let listener = try Listener(vlans: [100: NetworkID(7)], mode: mode)
            let copies = try listener.hear(form.frame)
            #expect(copies.map(\.bytes) == (form.isCopied ? [form.frame] : []))
            // What the NIC itself sends is heard on its way out.
            #expect(try listener.hear(form.frame, egress: true) == copies)
        }
    }

    @Test("the outer tag names the network") func network() throws {
        let listener = try Listener(vlans: [100: NetworkID(7)])
        for (tags, network) in [
            ([], 0), ([(0x8100, 0xe000)], 0), ([(0x8100, 100)], 7), ([(0x88a8, 100), (0x8100, 5)], 7),
        ]
            as [([(type: UInt16, id: UInt16)], UInt16)]
        {
            let copies = try listener.hear(Self.tagged(tags, Wire.udp(40000, 53)))
            #expect(copies.map(\.network.number) == [network])
            #expect(copies.first?.vlan == nil, "the tag is in the bytes")
        }
    }

    @Test("frames cut anywhere pass, and are copied only where their ports are there") func cut() throws {
        let listener = try Listener(vlans: [100: NetworkID(7)])
        for form in Self.forms {
            // The kernel itself runs no program on less than an IP header.
            let least = form.frame[12] == 0x86 ? 54 : 34
            for length in least..<form.frame.count { _ = try listener.hear(Array(form.frame.prefix(length))) }
        }
    }

    static let datagram = Wire.udp(53, 40000, [UInt8](repeating: 7, count: 64))

    @Test("the pieces of a datagram over IPv4 follow the first one") func pieces() throws {
        let listener = try Listener()
        func piece(_ id: UInt16, _ offset: Int, more: Bool, proto: UInt8 = Self.udp, to guest: String = Self.guest)
            -> [UInt8]
        {
            let bytes = Array(Self.datagram[offset..<min(offset + 32, Self.datagram.count)])
            let field = UInt16(offset / 8) | (more ? 0x2000 : 0)
            return Wire.ethernet(
                Self.ipv4, Wire.ipv4(Self.registry, guest, proto, id: id, fragment: field, bytes))
        }
        #expect(try listener.hear(piece(1, 32, more: true)).isEmpty, "it overtook the first")
        #expect(try listener.hear(piece(1, 0, more: true)).count == 1)
        #expect(try listener.hear(piece(1, 32, more: true)).count == 1)
        #expect(try listener.hear(piece(1, 64, more: false)).count == 1)
        #expect(try listener.hear(piece(2, 32, more: true)).isEmpty, "another datagram's")
        #expect(try listener.hear(piece(1, 32, more: true, to: "10.0.9.8")).isEmpty, "another guest's")
        #expect(try listener.hear(piece(3, 0, more: true, proto: 47)).isEmpty)
    }

    @Test("pieces of a segment are copied, too") func segmentPieces() throws {
        let listener = try Listener()
        let segment = Wire.tcp(40000, 8500, [UInt8](repeating: 9, count: 44))
        let first = Wire.ipv4(Self.guest, Self.registry, Self.tcp, id: 9, fragment: 0x2000, Array(segment.prefix(32)))
        let last = Wire.ipv4(Self.guest, Self.registry, Self.tcp, id: 9, fragment: 4, Array(segment.dropFirst(32)))
        #expect(try listener.hear(Wire.ethernet(Self.ipv4, first)).count == 1)
        #expect(try listener.hear(Wire.ethernet(Self.ipv4, last)).count == 1)
    }

    @Test("the pieces of a datagram over IPv6 follow the first one", arguments: [[], [Extension.hopByHop]])
    func pieces6(before: [UInt8]) throws {
        let listener = try Listener()
        func piece(_ id: UInt32, _ offset: Int, more: Bool) -> [UInt8] {
            let bytes = Array(Self.datagram[offset..<min(offset + 32, Self.datagram.count)])
            let piece = Extension.piece(of: id, offset: UInt16(offset), more: more, next: Self.udp, bytes)
            let chain = Extension.chain(before, to: Extension.fragment, piece)
            return Wire.ethernet(
                Self.ipv6, Wire.ipv6(Self.registry6, Self.guest6, next: before.first ?? Extension.fragment, chain))
        }
        #expect(try listener.hear(piece(1, 32, more: true)).isEmpty, "it overtook the first")
        #expect(try listener.hear(piece(1, 0, more: true)).count == 1)
        #expect(try listener.hear(piece(1, 32, more: true)).count == 1)
        #expect(try listener.hear(piece(1, 64, more: false)).count == 1)
        #expect(try listener.hear(piece(2, 32, more: true)).isEmpty, "another datagram's")
        #expect(try listener.hear(piece(3, 0, more: false)).count == 1, "one that is whole")
    }

    @Test("a stream that is ignored is copied no more, in neither direction") func ignored() throws {
        let listener = try Listener()
        let there = Self.v4(Self.tcp, Wire.tcp(40000, 8500))
        let back = Wire.ethernet(Self.ipv4, Wire.ipv4(Self.registry, Self.guest, Self.tcp, Wire.tcp(8500, 40000)))
        #expect(try listener.hear(there).count == 1)
        listener.rig.plane.ignore(
            FiveTuple(
                network: NetworkID(0), source: IPAddress(Self.guest)!, sourcePort: 40000,
                destination: IPAddress(Self.registry)!, destinationPort: 8500))
        #expect(try listener.hear(there).isEmpty)
        #expect(try listener.hear(back).isEmpty)
        #expect(try listener.hear(Self.v4(Self.tcp, Wire.tcp(40001, 8500))).count == 1)
    }
}
