import CRemoraABI
import Glibc
import Lab
import Model
import Prober
import Testing

@testable import Dataplane

/// What the kernel does to packets after a redirect, which no test run shows: a client's and a machine's Ethernet
/// devices, in a network namespace that is one thread's own.
@Suite("Losses after a redirect", .enabled(if: mayLoadBPF, Comment(rawValue: needsRoot)), .serialized)
struct LossTests {
    /// How a packet is lost that was sent to the machine's port.
    struct Way: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var change = ""
        var port = Street.cable
        var payload = 0
    }

    static let ways = [
        Way(testDescription: "the port is down", change: "link set vm1 down"),
        Way(testDescription: "the port is gone", change: "link del vm1"),
        Way(testDescription: "its other end is down", change: "link set guest down"),
        Way(testDescription: "the frame is too long for its other end", change: "link set guest mtu 68", payload: 200),
        Way(testDescription: "nobody reads the tap", port: ["tuntap add dev vm1 mode tap"]),
    ]

    @Test("it is counted for the port that it came in by, beside that it was handed on", arguments: ways)
    func lost(way: Way) async throws {
        let counts = try await PrivateNetwork.run {
            let street = try Street(port: way.port)
            if !way.change.isEmpty { try PrivateNetwork.ip(way.change) }
            for port in 1...3 { try street.send(from: port, payload: way.payload) }
            try wait(for: "all to be lost, of \(street.counts)") { street.counts["redirect-lost"]?.packets == 3 }
            return street.counts
        }
        #expect(counts["opened"] == counts["redirect-lost"])
        #expect(counts["redirect-lost"]?.bytes == UInt64(3 * (54 + way.payload)))
    }

    @Test("what arrives is not counted, nor what is dropped behind the port, nor a watcher's copy that found no room")
    func arrived() async throws {
        let counts = try await PrivateNetwork.run {
            let street = try Street()
            let watcher = socket(AF_PACKET, Int32(SOCK_RAW.rawValue), Int32(UInt16(3).bigEndian))  // ETH_P_ALL
            defer { close(watcher) }
            var least: Int32 = 1
            setsockopt(watcher, SOL_SOCKET, SO_RCVBUF, &least, socklen_t(MemoryLayout<Int32>.size))
            for port in 1...100 { try street.send(from: port) }
            try wait(for: "all to be handed on") { street.counts["opened"]?.packets == 100 }
            // the last word: it comes after all others
            try PrivateNetwork.ip("link set vm1 down")
            try street.send(from: 101)
            try wait(for: "a loss") { street.counts["redirect-lost"] != nil }
            return street.counts
        }
        #expect(counts["redirect-lost"]?.packets == 1)
    }

    @Test("another node's losses are not this one's, though its port has the same slot and the same device number")
    func others() async throws {
        let other = try Dataplane(Dataplane.Settings(node: "losses-other-\(getpid())"))
        defer { try? other.detachAll() }
        try other.prepare(Street.near(ifindex: 3))
        try other.countLosses()
        let number = try await PrivateNetwork.run {
            let street = try Street()
            try PrivateNetwork.ip("link set vm1 down")
            try street.send(from: 1)
            try wait(for: "a loss") { street.counts["redirect-lost"] != nil }
            return if_nametoindex("near")
        }
        #expect(number == 3)
        #expect(try other.portCounters().allSatisfy { $0.reasons.isEmpty })
    }

    @Test("the event tells the connection as its client knows it, and its service") func event() async throws {
        let events = try await PrivateNetwork.run {
            let street = try Street()
            let plane = street.plane
            var events: [DataplaneEvent] = []
            _ = try plane.openRings(
                frame: { _ in }, flow: { [unowned plane] in if let told = plane.described($0) { events.append(told) } },
                event: { _ in })
            try PrivateNetwork.ip("link set vm1 down")
            try street.send(from: 4000)
            try wait(for: "its event") {
                plane.consumeEvents()
                return events.contains { $0.kind == .dropped }
            }
            return events
        }
        let dropped = events.filter { $0.kind == .dropped }
        #expect(dropped.count == 1 && dropped.first?.reason == REMORA_DROP_KERNEL.rawValue)
        #expect(dropped.first?.flow == events.first { $0.kind == .opened }?.flow)
        #expect(dropped.first?.port == Street.nearName && dropped.first?.service?.name == "web")
    }

    @Test("it is counted while no agent runs, the next one takes it over, and in another namespace makes it anew")
    func adopted() async throws {
        let node = "losses-kept-\(getpid())"
        let (first, again) = try await PrivateNetwork.run {
            var street: Street? = try Street(node: node)
            let program = try street?.plane.losses?.link.programID()
            try PrivateNetwork.ip("link set vm1 down")
            street?.detaches = false
            street = nil
            try Street.send(from: 1)
            let again = try Street(node: node, make: false)
            again.detaches = false
            try wait(for: "what was lost meanwhile") { again.counts["redirect-lost"]?.packets == 1 }
            return (program, try again.plane.losses?.link.programID())
        }
        #expect(first != nil && first == again)
        let second = try await PrivateNetwork.run {
            // other device numbers than before: the ports begin anew, too
            try PrivateNetwork.ip("link add spare type veth peer name other")
            let street = try Street(node: node)
            try PrivateNetwork.ip("link set vm1 down")
            try street.send(from: 1)
            try wait(for: "a loss here") { street.counts["redirect-lost"]?.packets == 1 }
            return try street.plane.losses?.link.programID()
        }
        let last = try #require(second)
        #expect(last != first)
        try wait(for: "the program to be gone") { try run(["bpftool", "prog", "show", "id", "\(last)"]).code != 0 }
    }
}

/// A client at the one end, a machine with a service at the other, in the calling thread's namespace.
private final class Street {
    static let cable = ["link add vm1 type veth peer name guest", "link set guest up"]
    static let nearName = PortName("near")
    let plane: Dataplane
    var detaches = true

    init(port: [String] = cable, node: String = "losses-\(getpid())", make: Bool = true) throws {
        if make {
            for command in ["link add near type veth peer name far"] + port { try PrivateNetwork.ip(command) }
            for device in ["near", "far", "vm1"] { try PrivateNetwork.ip("link set \(device) up") }
        }
        var settings = Dataplane.Settings(node: node)
        settings.flowCapacity = 1024
        plane = try Dataplane(settings)
        try plane.countLosses()
        try plane.attach(Self.near(ifindex: if_nametoindex("near")))
        let machine = PortName("vm1")
        try plane.attach(
            PortAttachment(
                name: machine, ifindex: if_nametoindex("vm1"), role: .vm, mode: .enforce, forwarding: .redirect))
        var backend = Rig.vm1
        backend.device = machine
        try plane.apply(Rig.web([backend]))
    }

    deinit {
        if detaches { try? plane.detachAll() }
    }

    static func near(ifindex: UInt32) -> PortAttachment {
        PortAttachment(name: nearName, ifindex: ifindex, role: .uplink, mode: .enforce, forwarding: .redirect)
    }

    /// A client's first packet to the VIP.
    static func send(from port: Int, payload: Int = 0) throws {
        var packet = Packet(from: "10.0.9.9", UInt16(port), to: Rig.vip, 80)
        packet.payload = [UInt8](repeating: 7, count: payload)
        try ProbeSocket().send(ProbeFrame(ifindex: if_nametoindex("far"), bytes: packet.bytes))
    }

    func send(from port: Int, payload: Int = 0) throws { try Self.send(from: port, payload: payload) }

    /// Of the client's port, by the reason's name.
    var counts: [String: PacketCount] {
        guard let counters = try? plane.portCounters().first(where: { $0.port == Self.nearName && !$0.egress }) else {
            return [:]
        }
        return Dictionary(
            uniqueKeysWithValues: counters.reasons.map { (String(cString: remora_reason_name($0.key)), $0.value) })
    }
}
