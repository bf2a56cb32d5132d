import Foundation

/// Columns of equal width.
func aligned(_ rows: [[String]]) -> String {
    let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
        let cells = zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
        var line = cells.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        return line + "\n"
    }.joined()
}

/// Where and when something was measured.
struct Machine: Encodable {
    let date = ISO8601DateFormatter().string(from: Date())
    let kernel = Self.kernel
    let processors = ProcessInfo.processInfo.activeProcessorCount

    private static var kernel: String {
        (try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8))?
            .trimmingCharacters(in: .whitespacesAndNewlines) ?? "unknown"
    }

    /// - Returns: the path of the file.
    func write(_ results: some Encodable, named name: String, to directory: String) throws -> String {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let path = "\(directory)/\(name)-\(date.replacing(":", with: "")).json"
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(results).write(to: URL(fileURLWithPath: path))
        return path
    }
}

/// What a run has measured, as a table and as JSON.
struct Report: Encodable {
    let machine = Machine()
    let rounds: Int
    let seconds: Int
    var sections: [Section] = []
    /// Milliseconds from a registration to its proxy.
    var registration: Spread?

    init(rounds: Int, seconds: Int) {
        self.rounds = rounds
        self.seconds = seconds
    }

    /// Median, least and most of some samples.
    struct Spread: Encodable {
        let median: Double
        let least: Double
        let most: Double
        let samples: [Double]

        /// nil of no samples.
        init?(_ samples: [Double]) {
            let sorted = samples.sorted()
            guard let first = sorted.first, let last = sorted.last else { return nil }
            let middle = sorted.count / 2
            median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
            (least, most) = (first, last)
            self.samples = samples
        }

        /// "0.97 (0.93..1.04)"
        var ratioText: String { String(format: "%.2f (%.2f..%.2f)", median, least, most) }
    }

    /// One kind of ports.
    struct Section: Encodable {
        struct Result: Encodable {
            let metric: Metric
            let unit: String
            let variant: Rig.Variant
            let absolute: Spread?
            /// Of each round's value to the bare bridge's in the same round.
            let ratio: Spread?
        }
        let ports: Rig.Ports
        private let variants: [Rig.Variant]
        private var samples: [Rig.Variant: [[Metric: Double]]] = [:]

        init(ports: Rig.Ports, variants: [Rig.Variant]) {
            (self.ports, self.variants) = (ports, variants)
        }

        mutating func add(_ values: [Metric: Double], of variant: Rig.Variant) {
            samples[variant, default: []].append(values)
        }

        private func result(_ metric: Metric, _ variant: Rig.Variant) -> Result {
            let own = samples[variant, default: []].compactMap { $0[metric] }
            let bare = samples[.bridge, default: []].compactMap { $0[metric] }
            let ratios = zip(own, bare).filter { $1 > 0 }.map { $0 / $1 }
            return Result(
                metric: metric, unit: metric.unit, variant: variant, absolute: Spread(own), ratio: Spread(ratios))
        }

        var results: [Result] { Metric.allCases.flatMap { metric in variants.map { result(metric, $0) } } }

        private enum Keys: String, CodingKey { case ports, results }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Keys.self)
            try container.encode(ports, forKey: .ports)
            try container.encode(results, forKey: .results)
        }

        /// Medians of the ratios to the bare bridge, with the least and the most; of the bridge the figures themselves.
        var table: String {
            var rows = [["\(ports.rawValue) ports", "bridge"] + variants.dropFirst().map(\.rawValue)]
            for metric in Metric.allCases {
                let bare = result(metric, .bridge).absolute?.median ?? 0
                let digits = metric == .bulk ? "%.2f" : "%.0f"
                let ratios = variants.dropFirst().map { result(metric, $0).ratio?.ratioText ?? "-" }
                rows.append([metric.rawValue, String(format: digits, bare) + " " + metric.unit] + ratios)
            }
            return aligned(rows)
        }
    }

    var registrationLine: String {
        guard let registration else { return "" }
        return String(
            format: "from etcd's yes to a proxy that carries packets: %.1f ms at the median (%.1f..%.1f, %d times)",
            registration.median, registration.least, registration.most, registration.samples.count)
    }

    /// - Returns: the path of the file.
    func write(to directory: String) throws -> String { try machine.write(self, named: "lab", to: directory) }
}
