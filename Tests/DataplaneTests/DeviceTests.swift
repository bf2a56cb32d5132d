import BPFRuntime
import CRemoraABI
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

    @Test("a port's programs stay where only the way of its frames changes, and their functions are known by name")
    func programs() async throws {
        try await PrivateNetwork.run { () throws -> Void in
            try Self.addCable()
            let plane = try Self.plane()
            defer { try? plane.detachAll() }
            var port = Self.near(mode: .enforce)
            try plane.attach(port)
            func programs() throws -> [UInt32] {
                try Hook.allCases.map { try plane.attachments[port.name]!.programs[$0]!.info().id }
            }
            let first = try programs()
            port.forwarding = .redirect
            port.peerElsewhere = true
            try plane.attach(port)
            #expect(try programs() == first)
            #expect(try plane.maps.ports[0]?.forwarding == REMORA_FORWARD_REDIRECT_PEER.rawValue)
            #expect(plane.attachment(port.name) == port)
            for program in plane.attachments[port.name]!.programs.values { #expect(try program.info().functions > 3) }
            port.mode = .observe
            try plane.attach(port)
            #expect(Set(try programs()).isDisjoint(with: first))
            try PrivateNetwork.ip("link del near")
            port.mode = .enforce
            #expect { try plane.attach(port) } throws: { ($0 as? DataplaneError)?.code == .noDevice }
        }
    }

    /// What is copied of frames that come in by a device, in their order.
    private func heard(_ frames: [[UInt8]]) async throws -> [Copy] {
        try await PrivateNetwork.run { try Self.run(frames) }
    }

    private static func run(_ frames: [[UInt8]]) throws -> [Copy] {
        try addCable()
        let plane = try plane(registries: [.init(address: nil, port: 53, transports: [.udp])])
        defer { try? plane.detachAll() }
        var copies: [Copy] = []
        let rings = try plane.openRings(
            frame: { copies.append(Copy(bytes: Array($0.bytes), vlan: $0.vlan, network: $0.network)) },
            flow: { _ in }, event: { _ in })
        try plane.attach(near(mode: .observe))
        let socket = try ProbeSocket()
        for frame in frames { try socket.send(ProbeFrame(ifindex: if_nametoindex("far"), bytes: frame)) }
        // Copies come in the frames' order: the last one that is to be copied ends it, or nothing does for seconds.
        var ready = pollfd(fd: rings.adverts, events: Int16(POLLIN), revents: 0)
        while copies.count < frames.count - 1, poll(&ready, 1, 3000) > 0 { plane.consumeAdverts() }
        return copies
    }

    private static func addCable() throws {
        try PrivateNetwork.ip("link add near type veth peer name far")
        for device in ["near", "far"] { try PrivateNetwork.ip("link set \(device) up") }
    }

    private static func plane(registries: [Dataplane.Settings.Registry] = []) throws -> Dataplane {
        var settings = Dataplane.Settings(node: "devices-\(getpid())")
        settings.flowCapacity = 64
        settings.registries = registries
        return try Dataplane(settings)
    }

    private static func near(mode: Mode) -> PortAttachment {
        PortAttachment(
            name: PortName("near"), ifindex: if_nametoindex("near"), role: .vm, mode: mode, vlans: [100: NetworkID(7)])
    }
}
