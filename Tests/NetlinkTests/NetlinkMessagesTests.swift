import Model
import Testing

@testable import Netlink

@Suite("rtnetlink messages") struct NetlinkMessagesTests {
    static func number<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number) { Array($0) }
    }

    static func attribute(_ type: UInt16, _ value: [UInt8]) -> [UInt8] {
        let bytes = number(UInt16(4 + value.count)) + number(type) + value
        return bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
    }

    static func message(_ type: UInt16, flags: UInt16 = 0, _ payload: [UInt8]) -> [UInt8] {
        number(UInt32(16 + payload.count)) + number(type) + number(flags) + number(UInt32(1)) + number(UInt32(0))
            + payload
    }

    /// A veth, up with carrier, of another namespace's peer, in bridge 3.
    static let link: [UInt8] =
        [0, 0] + number(UInt16(1)) + number(Int32(12)) + number(UInt32(0x11043)) + number(UInt32(0))
        + attribute(3, Array("vm0\0".utf8)) + attribute(1, [2, 0, 0, 0, 0, 1]) + attribute(10, number(UInt32(3)))
        + attribute(5, number(UInt32(2))) + attribute(37, number(Int32(1))) + attribute(4, number(UInt32(9000)))
        + attribute(16, [6]) + attribute(18, attribute(1, Array("veth\0".utf8)))

    func read(_ bytes: [UInt8]) -> [NetlinkMessages.Item] { bytes.withUnsafeBytes { NetlinkMessages.read($0) } }

    @Test("a link is read with all that is asked of it") func link() {
        let expected = Link(
            index: 12, name: PortName("vm0"), kind: "veth", isUp: true, hasCarrier: true, state: .up,
            mac: MACAddress("02:00:00:00:00:01"), master: 3, peer: 2, peerNamespace: 1, mtu: 9000)
        #expect(read(Self.message(16, Self.link)) == [.event(.link(expected))])
        #expect(read(Self.message(17, Self.link)) == [.event(.linkGone(expected))])
    }

    @Test("what filters, switches and runs on a device is read too") func surroundings() {
        let fixed = Array(Self.link.prefix(16))
        func read(_ attributes: [UInt8]) -> Link? {
            let name = Self.attribute(3, Array("p0\0".utf8))
            guard case .event(.link(let link))? = self.read(Self.message(16, fixed + name + attributes)).first else {
                return nil
            }
            return link
        }
        let xdp = Self.attribute(43 | 1 << 15, Self.attribute(2, [2]) + Self.attribute(4, Self.number(UInt32(77))))
        #expect(read(xdp)?.xdpProgram == 77)
        #expect(read(Self.attribute(43, Self.attribute(2, [0])))?.xdpProgram == nil)
        #expect(read(Self.attribute(36, [0xab, 0xcd]))?.hardwareSwitch == [0xab, 0xcd])
        let bridge = Self.attribute(1, Array("bridge\0".utf8)) + Self.attribute(2, Self.attribute(7, [1]))
        #expect(read(Self.attribute(18, bridge))?.filtersVLANs == true)
        let slave = Self.attribute(4, Array("bridge\0".utf8)) + Self.attribute(5, Self.attribute(33, [1]))
        #expect(read(Self.attribute(18, slave))?.isIsolated == true)
        #expect(read([])?.isIsolated == false)
    }

    @Test("a packet filter's tables are read by family, and strange families passed over") func tables() {
        func table(_ family: UInt8) -> [UInt8] {
            Self.message(0xa00, [family, 0, 0, 0] + Self.attribute(1, Array("filter\0".utf8)))
        }
        #expect(read(table(7) + table(99)) == [.table(FilterTable(family: .bridge, name: "filter"))])
        #expect(read(Self.message(0xa00, [7, 0])).isEmpty)
    }

    @Test("an entry that hardware forwards by is told") func offloaded() {
        let entry: [UInt8] = [7, 0, 0, 0] + Self.number(Int32(5)) + Self.number(UInt16(2)) + [0x20, 0]
        guard case .event(.neighbour(let neighbour))? = read(Self.message(28, entry)).first else {
            Issue.record("no neighbour")
            return
        }
        #expect(neighbour.isOffloaded)
    }

    @Test("a bridge's own table and the ARP table are told apart") func neighbours() {
        func entry(_ family: UInt8, state: UInt16, _ attributes: [UInt8]) -> [UInt8] {
            [family, 0, 0, 0] + Self.number(Int32(5)) + Self.number(state) + [0, 0] + attributes
        }
        let mac = Self.attribute(2, [2, 0, 0, 0, 0, 9])
        let bytes =
            Self.message(28, entry(7, state: 2, mac + Self.attribute(5, Self.number(UInt16(100)))))
            + Self.message(29, entry(2, state: 0x20, Self.attribute(1, [10, 0, 0, 9])))
        #expect(
            read(bytes) == [
                .event(.neighbour(.init(table: .bridge, index: 5, mac: MACAddress("02:00:00:00:00:09"), vlan: 100))),
                .event(.neighbourGone(.init(table: .ipv4, index: 5, address: IPAddress("10.0.0.9"), isFailed: true))),
            ])
    }

    @Test("the end of a dump, an error, an overrun and a torn dump are told") func control() {
        #expect(read(Self.message(3, Self.number(Int32(0)))) == [.done])
        #expect(read(Self.message(2, Self.number(Int32(-1)) + [UInt8](repeating: 0, count: 16))) == [.error(1)])
        #expect(read(Self.message(4, [])) == [.event(.overrun)])
        #expect(read(Self.message(3, flags: 0x10, Self.number(Int32(0)))) == [.interrupted, .done])
    }

    @Test("a link that a bridge tells of its port, and messages of other kinds, are passed over") func others() {
        var bridged = Self.link
        bridged[0] = 7
        #expect(read(Self.message(16, bridged)).isEmpty)
        #expect(read(Self.message(999, Self.link)).isEmpty)
    }

    @Test("any prefix and any flipped byte of a message is read without a crash") func damaged() {
        let whole = Self.message(16, Self.link) + Self.message(28, Self.link)
        for length in 0..<whole.count { _ = read(Array(whole.prefix(length))) }
        for index in whole.indices {
            for value: UInt8 in [0, 1, 0x7f, 0x80, 0xff] {
                var damaged = whole
                damaged[index] = value
                #expect(read(damaged).count <= whole.count / 16 * 2)
            }
        }
    }
}
