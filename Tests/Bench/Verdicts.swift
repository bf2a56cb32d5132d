import ArgumentParser
import Cases
import Foundation
import Lab

/// Every situation that a verdict can be about, in namespaces with real parts: who is right, and how soon.
struct Verdicts: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verdicts",
        abstract: "Judges VMs and containers in every situation, with port roles and without.",
        discussion: "Ends with 1 if a verdict is wrong, a plain one unknown, or a figure missed.")

    @Option(help: "The remora binary.")
    var remora = Remora.defaultBinary
    @Option(help: "What the agent is told of its ports, of: known, mixed.")
    var roles = Matrix.Roles.allCases
    @Flag(inversion: .prefixedNo, help: "Measure how soon verdicts come, and what lists and idle instances cost.")
    var figures = true
    @Option(help: "Directory for the results as JSON.")
    var output = "bench-results"

    func run() throws {
        try BenchLab.inLab { lab in
            var report = VerdictReport()
            if !roles.isEmpty {
                BenchLab.say("booting six virtual machines")
                let stage = try Stage(in: lab)
                for roles in roles {
                    BenchLab.say("port roles: \(roles.rawValue)")
                    let matrix = try judge(stage, roles)
                    print(matrix.table)
                    report.matrices.append(matrix)
                }
            }
            if figures {
                report.figures = try Figures(in: lab, remora: remora)
                print(report.figures?.table ?? "")
            }
            print("written: \(try report.write(to: output))")
            guard report.isGood else { throw ExitCode.failure }
        }
    }

    private func judge(_ stage: Stage, _ roles: Matrix.Roles) throws -> Matrix {
        let trials = try Trials(on: stage, remora: remora, mixedRoles: roles == .mixed)
        try trials.playStatic()
        try trials.playChanging()
        let findings = try trials.findings()
        try trials.end()
        return Matrix(roles: roles, findings: findings)
    }
}

extension Matrix.Roles: ExpressibleByArgument {}
