import Agent
import ArgumentParser
import Foundation

/// The command line. Ends with an `ExitStatus`: 0 done, 1 failed, 2 wrong input, 3 no agent, 4 no such thing.
struct Remora: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remora",
        abstract: "Lets the services of virtual machines join a service mesh, with nothing installed in the guest.",
        discussion: """
            Exit codes: \(ExitStatus.allCases.map { "\($0.rawValue) \($0.meaning)" }.joined(separator: "; ")).
            """,
        version: Version.text,
        subcommands: [
            AgentCommand.self, StatusCommand.self, GetCommand.self, ExplainCommand.self, FlowsCommand.self,
            ApplyCommand.self, DeleteCommand.self, ModeCommand.self, DetachCommand.self, SniffCommand.self,
            DoctorCommand.self, BenchCommand.self, VersionCommand.self,
        ])
}

@main enum Main {
    static func main() async {
        exit(await run(Array(CommandLine.arguments.dropFirst())).rawValue)
    }

    static func run(_ arguments: [String]) async -> ExitStatus {
        do {
            var command = try Remora.parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return .ok
        } catch let error as OperationError {
            complain(error.description)
            return error.exitCode
        } catch let error as ProblemList {
            complain(error.description)
            return .badInput
        } catch  where Remora.exitCode(for: error) == .success {
            print(Remora.fullMessage(for: error))
            return .ok
        } catch let error where error is ValidationError || Remora.exitCode(for: error) == .validationFailure {
            complain(Remora.fullMessage(for: error))
            return .badInput
        } catch {
            complain("\(error)")
            return .failed
        }
    }

    /// To the standard error, with what a stranger may have put into a name made visible, line by line.
    private static func complain(_ message: String) {
        let lines = message.split(separator: "\n", omittingEmptySubsequences: false).map { printable(String($0)) }
        FileHandle.standardError.write(Data(("remora: " + lines.joined(separator: "\n        ") + "\n").utf8))
    }
}
