internal import BPFRuntime
internal import Model

/// A node of `remora bench`: services, flows through them, and what a packet of these costs.
final class CostRig {
    private(set) var services = 0
    private let plane: Dataplane
    private let port = PortName("remora-bench")
    private let runs = 1000
    /// Flows that were opened: the next one is new.
    private var opened = 0

    init(bpffs: String) throws(DataplaneError) {
        var settings = Dataplane.Settings(node: "bench-\(UInt32.random(in: .min ... .max))", bpffs: bpffs)
        settings.halfOpenPerPort = 1 << 30
        plane = try Dataplane(settings)
        try plane.prepare(PortAttachment(name: port, ifindex: 1, role: .vm, mode: .enforce, forwarding: .switch))
    }

    deinit { try? plane.detachAll() }

    /// Loads services until there are `count`; milliseconds for each.
    func load(upTo count: Int) throws(DataplaneError) -> [Double] {
        var times: [Double] = []
        while services < count {
            let start = ContinuousClock.now
            try plane.apply(spec(services))
            times.append((ContinuousClock.now - start) / .milliseconds(1))
            services += 1
        }
        return times
    }

    /// These flows and no others, each of them answered.
    func open(flows: Int) throws(BPFError) {
        try plane.maps.flows.remove(plane.maps.flows.all.map(\.key))
        for flow in 0..<flows {
            let arrived = try program.testRun(packet(flow, opening: true)).packet
            _ = try program.testRun(answer(to: arrived))
        }
        opened = flows
    }

    /// Nanoseconds of a packet of a random one of the flows, over an empty program. Each flow has had a packet just
    /// before: these are flows with traffic.
    func establishedCost(flows: Int) throws(BPFError) -> Double {
        let base = try cost(of: plane.maps.empty) { packet(0, opening: false) }
        for flow in 0..<flows { _ = try program.testRun(packet(flow, opening: false)) }
        return try cost(of: program) { packet(Int.random(in: 0..<flows), opening: false) } - base
    }

    /// The same for a new flow's SYN.
    func firstCost() throws(BPFError) -> Double {
        let base = try cost(of: plane.maps.empty) { packet(0, opening: false) }
        return try cost(of: program) {
            opened += 1
            return packet(opened, opening: true)
        } - base
    }

    private var program: Program { plane.attachments[port]!.programs[.ingress]! }

    private func cost(of program: Program, _ packet: () -> [UInt8]) throws(BPFError) -> Double {
        let before = try program.info()
        for _ in 0..<runs { _ = try program.testRun(packet()) }
        let after = try program.info()
        return Double(after.nanoseconds - before.nanoseconds) / Double(after.runs - before.runs)
    }

    // MARK: - What is loaded, and what is sent

    private static let clients: UInt32 = 0x0a40_0000  // 10.64.0.0

    private func vip(of service: Int) -> IPv4Address { IPv4Address(bits: 0x0aff_0000 + UInt32(service)) }

    private func spec(_ index: Int) -> ProxySpec {
        let id = ServiceID(network: NetworkID(0), name: "bench-\(index)")
        let backends = (0..<2).map {
            Backend(
                address: IPv4Address(bits: 0x0a80_0000 + UInt32(index * 2 + $0)), port: 8080,
                mac: MACAddress(bits: 0x0200_0000_0000 + UInt64(index * 2 + $0)), device: port, state: .live)
        }
        return ProxySpec(
            id: ProxyID(network: NetworkID(0), name: id.name),
            services: [
                ServiceSpec(
                    id: id, vip: .init(address: vip(of: index), port: 80), backends: backends,
                    policy: PolicyRules(rules: [.init(action: .deny, source: IPv4Prefix("192.0.2.0/24")!)]))
            ])
    }

    /// Flow number `flow`, spread over the services; its checksum is not looked at.
    private func packet(_ flow: Int, opening: Bool) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 74)
        bytes[12] = 8
        bytes[14] = 0x45
        bytes[17] = 60
        bytes[22] = 64
        bytes[23] = TransportProtocol.tcp.number
        func put(_ value: UInt32, _ at: Int, _ count: Int) {
            for index in 0..<count {
                bytes[at + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(count - 1 - index)))
            }
        }
        put(Self.clients + UInt32(flow / 50_000), 26, 4)
        put(vip(of: flow % services).bits, 30, 4)
        put(UInt32(1024 + flow % 50_000), 34, 2)
        put(80, 36, 2)
        bytes[46] = 0x50
        bytes[47] = opening ? 0x02 : 0x10
        return bytes
    }

    /// A SYN's, from the backend that got it: addresses and ports change places.
    private func answer(to syn: [UInt8]) -> [UInt8] {
        var answer = syn
        answer[26..<34] = syn[30..<34] + syn[26..<30]
        answer[34..<38] = syn[36..<38] + syn[34..<36]
        answer[47] = 0x12
        return answer
    }
}
