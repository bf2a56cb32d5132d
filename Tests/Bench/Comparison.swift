import ArgumentParser
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
        for kind in ports {
            let rigs = try wanted.map { try Rig($0, on: kind, in: lab, remora: remora) }
            var section = Report.Section(ports: kind, variants: wanted)
            for round in 1...max(1, rounds) {
                for rig in rigs {
                    BenchLab.say("\(kind.rawValue), round \(round) of \(rounds): \(rig.variant.rawValue)")
                    section.add(try rig.measure(seconds: seconds), of: rig.variant)
                }
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

extension Rig.Ports: ExpressibleByArgument {}
extension Rig.Variant: ExpressibleByArgument {}
