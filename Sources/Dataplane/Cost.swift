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
    /// The established path with 1,000 flows over 1,000 services against as many through one service: the median of
    /// the rounds' ratios.
    public var servicesRatio: Double = 0
    public var paths: [Path] = []
    public var loads: [Load] = []
}

/// Runs the real programs on packets of its own making, on nodes that are attached to nothing: one with a single
/// service, one that comes to have many.
public final class CostBench {
    private var report = CostReport(processors: possibleProcessors())
    private let single: CostRig
    private let crowded: CostRig
    private let rounds: Int

    public init(bpffs: String, rounds: Int = 11) throws(DataplaneError) {
        self.rounds = rounds
        single = try CostRig(bpffs: bpffs)
        crowded = try CostRig(bpffs: bpffs)
    }

    /// Gives the calling thread a bpffs of its own, so that an interrupt leaves nothing pinned. For a process that does
    /// nothing else on it.
    public static func isolate(bpffs: String) throws(DataplaneError) {
        try during("set a bpffs apart for the measurements") { () throws(BPFError) in
            try PinDirectory.mountPrivately(bpffs)
        }
    }

    /// `progress` is told what is measured next.
    public func run(progress: (String) -> Void) throws(DataplaneError) -> CostReport {
        _ = try single.load(upTo: 1)
        for services in [1, 100, 1000] {
            progress("\(services) services")
            try load(services)
        }
        for flows in [1, 10_000, 100_000] {
            progress("\(flows) flows through one service")
            try measure(flows: flows, on: [single])
        }
        progress("1000 flows through one service and through \(crowded.services)")
        try measure(flows: 1000, on: [single, crowded])
        return report
    }

    private func load(_ count: Int) throws(DataplaneError) {
        let before = KernelMemory.now
        let times = try crowded.load(upTo: count)
        let grown = KernelMemory.now - before
        report.loads.append(
            .init(services: count, milliseconds: median(times), kibibytes: Double(grown) / Double(times.count)))
    }

    /// The rigs take turns, round by round: what the machine does meanwhile meets them alike.
    private func measure(flows: Int, on rigs: [CostRig]) throws(DataplaneError) {
        let (established, first) = try during("measure \(flows) flows") { () throws(BPFError) in
            try rounds(flows: flows, on: rigs, counted: RunStatistics())
        }
        for (rig, costs) in zip(rigs, established) { note("established", flows, rig, costs) }
        for (rig, costs) in zip(rigs, first) { note("first packet", flows, rig, costs) }
        guard let one = established.first, let many = established.dropFirst().first else { return }
        report.servicesRatio = median(zip(many, one).map { $0 / $1 })
    }

    /// `counted`: the kernel counts nothing without it.
    private func rounds(flows: Int, on rigs: [CostRig], counted: consuming RunStatistics) throws(BPFError)
        -> (established: [[Double]], first: [[Double]])
    {
        var established = [[Double]](repeating: [], count: rigs.count)
        var first = established
        for rig in rigs { try rig.open(flows: flows) }
        for _ in 0..<rounds {
            for (index, rig) in rigs.enumerated() { established[index].append(try rig.establishedCost(flows: flows)) }
        }
        // New flows push the others out of the caches: they come when these are done.
        for _ in 0..<rounds {
            for (index, rig) in rigs.enumerated() { first[index].append(try rig.firstCost()) }
        }
        return (established, first)
    }

    private func note(_ path: String, _ flows: Int, _ rig: CostRig, _ costs: [Double]) {
        report.paths.append(
            .init(
                path: path, flows: flows, services: rig.services, nanoseconds: median(costs),
                least: costs.min() ?? 0, most: costs.max() ?? 0))
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
