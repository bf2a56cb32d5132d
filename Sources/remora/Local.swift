import Agent
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

    static func agent(_ config: Config) async throws { try await runAgent(config) }

    static func sniff(port: String, write: (String) throws -> Void) throws { throw absent("sniff --port") }

    /// Takes the programs off one port, or, with nil, everything off the node, straight through the data plane.
    static func detach(port: PortName?, config: Config) throws -> ChangeView { throw absent("detach without an agent") }

    static func doctor(config: Config?, output: OutputOptions) throws { throw absent("doctor") }

    static func bench(output: OutputOptions) throws { throw absent("bench") }

    private static func absent(_ verb: String) -> OperationError {
        OperationError(.failed, "\(verb) is not part of this build")
    }
}

/// For readers behind a pipe: what was printed is theirs now.
func flushOutput() { fflush(nil) }
