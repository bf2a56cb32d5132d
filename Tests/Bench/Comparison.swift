import ArgumentParser
import Foundation
import Lab

/// What clients get through a VIP, against the bare bridge under it: interleaved rounds in one run.
struct Comparison: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "comparison", abstract: "Compares the bare bridge, nftables and Remora, on veth and on tap ports.")

    @Option(help: "The remora binary.")
    var remora = Remora.defaultBinary
    @Option(help: "Rounds; in each, every variant is measured once.")
    var rounds = 7
    @Option(help: "Seconds of each single measurement.")
    var seconds = 2
    @Option(help: "Kinds of ports, of: \(Rig.Ports.allCases.map(\.rawValue).joined(separator: ", ")).")
    var ports = Rig.Ports.allCases
    @Option(
        help: "Variants beside the bare bridge, of: \(Rig.Variant.allCases.map(\.rawValue).joined(separator: ", ")).")
    var variants = Rig.Variant.allCases
    @Option(help: "How often the time from a registration to its proxy is measured.")
    var registrations = 21
    @Option(help: "Directory for the results as JSON.")
    var output = "bench-results"

    func run() throws { try BenchLab.inLab(measure) }

    private func measure(in lab: Lab) throws {
        var report = Report(rounds: rounds, seconds: seconds)
        var wanted = [Rig.Variant.bridge]
        for variant in variants where !wanted.contains(variant) { wanted.append(variant) }
        try Self.loadBridgeNetfilter()
        for kind in ports {
            let rigs = try wanted.map { try Rig($0, on: kind, in: lab, remora: remora) }
            var section = Report.Section(ports: kind, variants: wanted)
            for round in 1...max(1, rounds) {
                BenchLab.say("\(kind.rawValue), round \(round) of \(rounds)")
                try measure(rigs, forwards: round % 2 == 1, into: &section)
            }
            for rig in rigs { try rig.checkProxy() }
            report.sections.append(section)
            print(section.table)
        }
        if registrations > 0, wanted.contains(where: \.isRemora) {
            report.registration = try Registering.measure(times: registrations, in: lab, remora: remora)
            print(report.registrationLine)
        }
        print("written: \(try report.write(to: output))")
    }
}

extension Comparison {
    /// Before the first bridge is made, so that all are alike: nftables' variant needs it, and most hosts have it.
    private static func loadBridgeNetfilter() throws {
        guard !FileManager.default.fileExists(atPath: "/proc/sys/net/bridge") else { return }
        try call(["modprobe", "br_netfilter"])
    }

    /// One round: each load on every rig in turn, so that what is compared is seconds apart; the order alternates.
    private func measure(_ rigs: [Rig], forwards: Bool, into section: inout Report.Section) throws {
        var values: [Rig.Variant: [Metric: Double]] = [:]
        for load in Load.Kind.allCases {
            for rig in forwards ? rigs : rigs.reversed() {
                values[rig.variant, default: [:]].merge(try rig.measure(load, seconds: seconds)) { $1 }
            }
        }
        for (variant, values) in values { section.add(values, of: variant) }
    }
}

extension Rig.Ports: ExpressibleByArgument {}
extension Rig.Variant: ExpressibleByArgument {}
