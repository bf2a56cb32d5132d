import ArgumentParser
import CLab
import Foundation
import Lab

/// Remora's main job in a lab that is made and removed again: nine steps, each of them checked.
@main
struct RemoraDemo: ParsableCommand {
    enum Roles: String, ExpressibleByArgument, CaseIterable { case known, mixed }

    static let configuration = CommandConfiguration(
        commandName: "remora-demo",
        abstract: "Shows and checks Remora's main job with real VMs, a real registry and a real container network.")

    @Option(help: "The remora binary.")
    var remora = Remora.defaultBinary
    @Option(help: "Whether the agent is told what leads to VMs and what to containers: known or mixed.")
    var roles = Roles.known

    func run() throws {
        clab_block_ends()
        let lab = try Lab()
        tearDownAtSignal(lab)
        let screen = Screen()
        do {
            try Show(in: lab, remora: remora, mixedRoles: roles == .mixed, screen: screen).play()
        } catch {
            guard !lab.isEnding else {
                lab.tearDown()
                throw ExitCode(128 + SIGINT)
            }
            lab.keepLogs()
            screen.failed(error, logs: lab.logs)
            lab.tearDown()
            throw ExitCode.failure
        }
        lab.tearDown()
        screen.finished()
    }

    private func tearDownAtSignal(_ lab: Lab) {
        Thread.detachNewThread {
            let number = clab_wait_end()
            lab.tearDown()
            _exit(128 + number)
        }
    }
}
