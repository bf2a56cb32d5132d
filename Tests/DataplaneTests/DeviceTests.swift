import Glibc
import Lab
import Model
import Prober
import Testing

@testable import Dataplane

/// What a device does to frames before the program sees them, which no test run does: a pair of Ethernet devices in a
/// network namespace that is one thread's own, and gone with it.
@Suite("Frames off a device", .enabled(if: mayLoadBPF, Comment(rawValue: needsRoot)), .serialized)
struct DeviceTests {
    struct Copy: Equatable {
        var bytes: [UInt8]
        var vlan: UInt16?
        var network: NetworkID
    }

    @Test("the outer tag that a device takes off names the network, and comes with the copy") func tags() async throws {
        let query = Wire.ipv4("10.0.9.9", "10.0.0.254", 17, Wire.udp(40000, 53))
        let untagged = Wire.ethernet(0x0800, query)
        let inner = Wire.ethernet(0x0800, tags: [(0x8100, 5)], query)
        let copies = try await heard([
            untagged,
            Wire.ethernet(0x0800, tags: [(0x8100, 100)], query),
            Wire.ethernet(0x0800, tags: [(0x8100, 0xe000)], query),
            Wire.ethernet(0x0800, tags: [(0x88a8, 100), (0x8100, 5)], query),
            Wire.ethernet(0x0800, tags: [(0x8100, 101)], query),
        ])
        #expect(
            copies == [
                Copy(bytes: untagged, vlan: nil, network: NetworkID(0)),
                Copy(bytes: untagged, vlan: 100, network: NetworkID(7)),
                Copy(bytes: untagged, vlan: nil, network: NetworkID(0)),
                Copy(bytes: inner, vlan: 100, network: NetworkID(7)),
            ])
    }

    /// What is copied of frames that come in by a device, in their order.
    private func heard(_ frames: [[UInt8]]) async throws -> [Copy] {
        try await PrivateNetwork.run { try Self.run(frames) }
    }

    private static func run(_ frames: [[UInt8]]) throws -> [Copy] {
        try PrivateNetwork.ip("link add near type veth peer name far")
        for device in ["near", "far"] { try PrivateNetwork.ip("link set \(device) up") }
        var settings = Dataplane.Settings(node: "devices-\(getpid())")
        settings.flowCapacity = 64
        settings.registries = [.init(address: nil, port: 53, transports: [.udp])]
        let plane = try Dataplane(settings)
        defer { try? plane.detachAll() }
        var copies: [Copy] = []
        let rings = try plane.openRings(
            frame: { copies.append(Copy(bytes: Array($0.bytes), vlan: $0.vlan, network: $0.network)) },
            flow: { _ in }, event: { _ in })
        try plane.attach(
            PortAttachment(
                name: PortName("near"), ifindex: if_nametoindex("near"), role: .vm, mode: .observe,
                vlans: [100: NetworkID(7)]))
        let socket = try ProbeSocket()
        for frame in frames { try socket.send(ProbeFrame(ifindex: if_nametoindex("far"), bytes: frame)) }
        // Copies come in the frames' order: the last one that is to be copied ends it, or nothing does for seconds.
        var ready = pollfd(fd: rings.adverts, events: Int16(POLLIN), revents: 0)
        while copies.count < frames.count - 1, poll(&ready, 1, 3000) > 0 { plane.consumeAdverts() }
        return copies
    }
}
