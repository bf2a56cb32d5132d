internal import BPFRuntime
internal import CRemoraABI
internal import Model

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// What the data path costs on this machine: `remora bench`.
public struct CostReport: Codable, Sendable {
    public struct Path: Codable, Sendable {
        /// "established" or "first packet".
        public var path: String
        public var flows: Int
        public var services: Int
        /// Nanoseconds a packet over an empty program, single runs, each on a fresh packet: the median of the rounds.
        public var nanoseconds: Double
        public var least: Double
        public var most: Double
    }
    public struct Load: Codable, Sendable {
        public var services: Int
        /// Of one more service, at this many: the median, in milliseconds.
        public var milliseconds: Double
        /// The kernel's own figures before and after, by service: slab, vmalloc and per-CPU memory.
        public var kibibytes: Double
    }
    public var processors: Int
    public var paths: [Path] = []
    public var loads: [Load] = []
}

/// Runs the real programs on packets of its own making, on a node that is attached to nothing.
public final class CostBench {
    private let plane: Dataplane
    private var report = CostReport(processors: possibleProcessors())
    private let port = PortName("remora-bench")
    private let rounds: Int
    private let runsPerRound = 1000
    private var services = 0

    public init(bpffs: String, rounds: Int = 11) throws(DataplaneError) {
        self.rounds = rounds
        var settings = Dataplane.Settings(node: "bench-\(UInt32.random(in: .min ... .max))", bpffs: bpffs)
        settings.halfOpenPerPort = 1 << 30
        settings.flowCapacity = 1 << 16
        plane = try Dataplane(settings)
        try plane.prepare(PortAttachment(name: port, ifindex: 1, role: .vm, mode: .enforce, forwarding: .switch))
    }

    deinit { try? plane.detachAll() }

    /// Gives the calling thread a bpffs of its own, so that an interrupt leaves nothing pinned. For a process that does
    /// nothing else on it.
    public static func isolate(bpffs: String) throws(DataplaneError) {
        try during("set a bpffs apart for the measurements") { () throws(BPFError) in
            try PinDirectory.mountPrivately(bpffs)
        }
    }

    /// `progress` is told what is measured next.
    public func run(loadsOnly: Bool = false, progress: (String) -> Void) throws(DataplaneError) -> CostReport {
        try load(1)
        for flows in loadsOnly ? [] : [1, 1000, 10_000, 100_000] {
            progress("\(flows) flows through one service")
            try measure(flows: flows)
        }
        for count in [100, 1000] {
            progress("\(count) services")
            try load(count)
        }
        if loadsOnly { return report }
        progress("1000 flows through \(services) services")
        try measure(flows: 1000)
        return report
    }

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

    private func load(_ count: Int) throws(DataplaneError) {
        let before = KernelMemory.now
        let first = services
        var times: [Double] = []
        while services < count {
            let start = ContinuousClock.now
            try plane.apply(spec(services))
            times.append((ContinuousClock.now - start) / .milliseconds(1))
            services += 1
        }
        let grown = KernelMemory.now - before
        report.loads.append(
            .init(services: count, milliseconds: median(times), kibibytes: Double(grown) / Double(count - first)))
    }

    private func measure(flows: Int) throws(DataplaneError) {
        let (established, first) = try during("measure \(flows) flows") { () throws(BPFError) in
            try costs(flows: flows)
        }
        report.paths.append(path("established", flows, established))
        report.paths.append(path("first packet", flows, first))
    }

    private func path(_ name: String, _ flows: Int, _ costs: [Double]) -> CostReport.Path {
        .init(
            path: name, flows: flows, services: services, nanoseconds: median(costs), least: costs.min() ?? 0,
            most: costs.max() ?? 0)
    }

    private func costs(flows: Int) throws(BPFError) -> (established: [Double], first: [Double]) {
        let program = plane.attachments[port]!.programs[.ingress]!
        for key in try plane.maps.flows.keys() { try plane.maps.flows.remove(key) }
        for flow in 0..<flows { _ = try program.testRun(packet(flow, opening: true)) }
        return try rounds(flows: flows, program, counted: RunStatistics())
    }

    /// `counted`: nothing is counted without it.
    private func rounds(flows: Int, _ program: Program, counted: consuming RunStatistics) throws(BPFError)
        -> (established: [Double], first: [Double])
    {
        var established: [Double] = []
        var first: [Double] = []
        for flow in 0..<flows { _ = try program.testRun(packet(flow, opening: false)) }
        for _ in 0..<rounds {
            let base = try cost(of: plane.maps.empty) { packet(0, opening: false) }
            established.append(
                try cost(of: program) { packet(Int.random(in: 0..<flows), opening: false) } - base)
        }
        // New flows push the others out of the caches: they come when these are done.
        var fresh = flows
        for _ in 0..<rounds {
            let base = try cost(of: plane.maps.empty) { packet(0, opening: false) }
            first.append(
                try cost(of: program) {
                    fresh += 1
                    return packet(fresh, opening: true)
                } - base)
        }
        return (established, first)
    }

    private func cost(of program: Program, _ packet: () -> [UInt8]) throws(BPFError) -> Double {
        let before = try program.info()
        for _ in 0..<runsPerRound { _ = try program.testRun(packet()) }
        let after = try program.info()
        return Double(after.nanoseconds - before.nanoseconds) / Double(after.runs - before.runs)
    }

    /// Flow number `flow`, spread over the services; its checksum is not looked at.
    private func packet(_ flow: Int, opening: Bool) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 74)
        let destination = vip(of: flow % services).bits
        let source = Self.clients + UInt32(flow / 50_000)
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
        put(source, 26, 4)
        put(destination, 30, 4)
        put(UInt32(1024 + flow % 50_000), 34, 2)
        put(80, 36, 2)
        bytes[46] = 0x50
        bytes[47] = opening ? 0x02 : 0x10
        return bytes
    }

    private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}

/// What the kernel says of its own memory, in KiB.
private enum KernelMemory {
    static var now: Int {
        guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return 0 }
        var sum = 0
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == ":" })
            guard words.count > 1, ["Slab", "VmallocUsed", "Percpu"].contains(words[0]) else { continue }
            sum += Int(words[1]) ?? 0
        }
        return sum
    }
}
