import Agent
import Dataplane
import Foundation
import Glibc
import Model

/// What the command line does on this machine itself, with no agent to ask: the one place where it meets the rooms
/// behind the socket.
enum Local {
    static func sniff(pcap: String, write: (String) throws -> Void) throws {
        do {
            try Agent.sniff(pcap: pcap, write: write)
        } catch let error as SniffError {
            throw OperationError(.badInput, error.description)
        }
    }

    static func agent(_ config: Config) async throws {
        if let reason = refusal(toRun: config) { throw reason }
        try await runAgent(config)
    }

    static func sniff(port: String, write: (String) throws -> Void) throws {
        let heard = try Agent.sniff(port: port, write: write)
        if heard.lostFrames > 0 { note("\(heard.lostFrames) frames were lost: more came than could be read") }
    }

    /// Takes the programs off one port, or, with nil, everything off the node, straight through the data plane.
    static func detach(port: PortName?, config: Config) throws -> ChangeView {
        guard let port else {
            try Dataplane.detachAll(node: config.node, bpffs: config.bpffs)
            return ChangeView(changes: ["node \(config.node): detached from everything"])
        }
        guard try Dataplane.detach(port, node: config.node, bpffs: config.bpffs) else {
            throw OperationError(
                .notFound, "detach port \(port): nothing of node \(config.node) is attached there",
                remedy: "see bpftool link show")
        }
        return ChangeView(changes: ["port \(port): detached"])
    }

    static func doctor(config: Config?, output: OutputOptions) throws {
        let report = examine(config: config)
        try output.show(report) { report.text }
        if report.failures > 0 {
            throw OperationError(.failed, "no agent can run here: \(report.failures) of the checks failed")
        }
    }

    static func bench(output: OutputOptions) throws {
        let bpffs = Config(node: "").bpffs
        try CostBench.isolate(bpffs: bpffs)
        let report = try CostBench(bpffs: bpffs).run { note("measures \($0)") }
        try output.show(report) { report.text }
    }

    /// For the person at the terminal, not for what reads the output.
    private static func note(_ text: String) { FileHandle.standardError.write(Data("remora: \(text)\n".utf8)) }
}

/// For readers behind a pipe: what was printed is theirs now.
func flushOutput() { fflush(nil) }
