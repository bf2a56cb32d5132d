import Foundation
import Glibc
import Lab
import Model
import Synchronization
import Testing

@testable import Netlink

/// With the kernel's own tables, in a network namespace of the test's thread.
@Suite("The kernel's tables") struct NetlinkSocketTests {
    @Test("the loopback device is there") func loopback() throws {
        let links = try NetlinkSocket.links()
        let loopback = try #require(links.first { $0.name.description == "lo" })
        #expect(loopback.index == 1)
        #expect(loopback.mac == MACAddress(bits: 0))
    }

    @Test("tables of neighbours can be read", arguments: [Neighbour.Table.bridge, .ipv4, .ipv6])
    func neighbours(table: Neighbour.Table) throws {
        #expect(try NetlinkSocket.neighbours(table).allSatisfy { $0.table == table })
    }

    @Test("a device's driver and features are asked for, and an absent device is an error") func features() throws {
        let loopback = try DeviceFeatures(of: PortName("lo"))
        // NETIF_F_LOOPBACK is fixed on for it
        #expect(loopback.active.contains("loopback") && !loopback.active.contains(""))
        for name in ["no-such-dev", String(repeating: "x", count: 40), ""] {
            #expect(throws: NetlinkError.self) { try DeviceFeatures(of: PortName(name)) }
        }
    }

    @Test(
        "frames that pass a device are heard, both ways, with the tag that is not in their bytes",
        .enabled(if: geteuid() == 0, "needs root"))
    func frames() async throws {
        let plain: [UInt8] = [UInt8](repeating: 0xff, count: 6) + [2, 0, 0, 0, 0, 9, 0x88, 0xb5] + Array(0..<50)
        let tagged = Array(plain.prefix(12)) + [0x81, 0, 0, 7] + plain.dropFirst(12)
        let (sent, come, lost) = try await PrivateNetwork.run {
            try PrivateNetwork.ip("link add up0 type veth peer name vm0")
            try PrivateNetwork.ip("link set up0 up")
            try PrivateNetwork.ip("link set vm0 up")
            try Self.waitUntilUp(["up0", "vm0"])
            let sender = try FrameSocket(device: PortName("up0"))
            var near = try FrameSocket(device: PortName("up0"))
            var far = try FrameSocket(device: PortName("vm0"))
            for frame in [plain, tagged] {
                guard write(sender.fd, frame, frame.count) == frame.count else { throw CommandFailed(command: "send") }
            }
            return (try Self.take(2, from: &near), try Self.take(2, from: &far), far.takeLost())
        }
        #expect(sent.map(\.bytes) == [plain, tagged] && sent.allSatisfy { $0.vlan == nil })
        // the receiving device has taken the tag out
        #expect(come.map(\.bytes) == [plain, plain] && come.map(\.vlan) == [nil, 7] && lost == 0)
    }

    /// A device takes frames once the kernel has told it so, a little after it was switched on.
    static func waitUntilUp(_ names: Set<String>) throws {
        let end = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < end {
            let up = try NetlinkSocket.links().filter { $0.hasCarrier && $0.state == .up }.map(\.name.description)
            if names.isSubset(of: up) { return }
            usleep(1000)
        }
        throw CommandFailed(command: "wait until \(names) are up")
    }

    struct Taken: Sendable {
        let bytes: [UInt8]
        let vlan: UInt16?
    }

    /// Waits for so many frames of the test's own Ethernet type: others may pass too.
    static func take(_ count: Int, from socket: inout FrameSocket) throws -> [Taken] {
        var taken: [Taken] = []
        while taken.count < count {
            var wait = pollfd(fd: socket.fd, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, 10_000) == 1 else { break }
            guard let frame = try socket.read() else { continue }
            if frame.bytes[6...11].elementsEqual([2, 0, 0, 0, 0, 9]) {
                taken.append(Taken(bytes: Array(frame.bytes), vlan: frame.vlan))
            }
        }
        return taken
    }

    @Test("a veth that comes, goes up and goes is followed", .enabled(if: geteuid() == 0, "needs root"))
    func follow() async throws {
        let seen = try await PrivateNetwork.run {
            var socket = try NetlinkSocket()
            #expect(try socket.read().isEmpty)
            try PrivateNetwork.ip("link add up0 type veth peer name vm0")
            let born = try Self.drain(&socket)
            try PrivateNetwork.ip("link set up0 up")
            try PrivateNetwork.ip("link set vm0 up")
            try PrivateNetwork.ip("neigh add 10.9.9.9 lladdr 02:00:00:00:00:09 dev up0")
            let up = try Self.drain(&socket)
            let dumped = try NetlinkSocket.links()
            let table = try NetlinkSocket.neighbours(.ipv4)
            try PrivateNetwork.ip("link del up0")
            return Seen(born: born, up: up, gone: try Self.drain(&socket), dumped: dumped, table: table)
        }
        let up0 = try #require(seen.dumped.first { $0.name.description == "up0" })
        let vm0 = try #require(seen.dumped.first { $0.name.description == "vm0" })
        #expect(up0.kind == "veth" && up0.peer == vm0.index && vm0.peer == up0.index && up0.peerNamespace == nil)
        #expect(up0.isUp && up0.hasCarrier && up0.state == .up && up0.mac != nil)
        #expect(
            seen.born.contains { if case .link(let link) = $0 { link.name == up0.name && !link.isUp } else { false } })
        #expect(seen.up.contains { if case .link(let link) = $0 { link == up0 } else { false } })
        let neighbour = seen.table.first { $0.address == IPAddress("10.9.9.9") }
        #expect(neighbour?.mac == MACAddress("02:00:00:00:00:09") && neighbour?.isPermanent == true)
        #expect(
            seen.up.contains {
                if case .neighbour(let entry) = $0 { entry.address == neighbour?.address } else { false }
            })
        #expect(seen.gone.contains { if case .linkGone(let link) = $0 { link.index == vm0.index } else { false } })
    }

    @Test("a reader that falls behind is told that it missed something", .enabled(if: geteuid() == 0, "needs root"))
    func overrun() async throws {
        let events = try await PrivateNetwork.run {
            var socket = try NetlinkSocket(receiveBytes: 1)
            try PrivateNetwork.ip("link add d0 type veth peer name d1")
            for mtu in 1000..<1040 { try PrivateNetwork.ip("link set d0 mtu \(mtu)") }
            var first = try Self.drain(&socket)
            // Once told, it hears again.
            try PrivateNetwork.ip("link set d0 mtu 1400")
            first += try Self.drain(&socket)
            return first
        }
        #expect(events.contains(.overrun))
        #expect(events.contains { if case .link(let link) = $0 { link.mtu == 1400 } else { false } })
    }

    struct Seen: Sendable {
        let born: [NetlinkEvent]
        let up: [NetlinkEvent]
        let gone: [NetlinkEvent]
        let dumped: [Link]
        let table: [Neighbour]
    }

    /// Reads until nothing is left: what `ip` caused has been queued by the time it ends.
    static func drain(_ socket: inout NetlinkSocket) throws -> [NetlinkEvent] {
        var events: [NetlinkEvent] = []
        while true {
            let more = try socket.read()
            if more.isEmpty { return events }
            events += more
        }
    }

    struct CommandFailed: Error { let command: String }
}
