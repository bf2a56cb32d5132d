import ArgumentParser
import CLab
import Foundation
import Lab

@main
struct BenchLab: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remora-bench-lab", abstract: "Measures the agent in labs of its own.",
        subcommands: [Comparison.self, Verdicts.self], defaultSubcommand: Comparison.self)

    /// Does something in a lab that is gone afterwards, whatever happens, Ctrl-C included.
    static func inLab(_ work: (Lab) throws -> Void) throws {
        clab_block_ends()
        let lab = try Lab()
        Thread.detachNewThread {
            let number = clab_wait_end()
            lab.tearDown()
            _exit(128 + number)
        }
        defer { lab.tearDown() }
        do {
            try work(lab)
        } catch let code as ExitCode {
            throw code
        } catch {
            guard !lab.isEnding else { throw ExitCode(128 + SIGINT) }
            lab.keepLogs()
            lab.tearDown()
            say("\(error)\nlogs: \(lab.logs)")
            throw ExitCode.failure
        }
    }

    /// What is going on, beside the results.
    static func say(_ text: String) {
        fflush(nil)
        try? FileHandle.standardError.write(contentsOf: Data((text + "\n").utf8))
    }
}
