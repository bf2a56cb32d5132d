import Agent
import ArgumentParser
import Fleet
import Model

struct ApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Declares services and policies: all that the file holds, or nothing.")
    @Option(name: [.customShort("f"), .long], help: "A file of YAML documents; - for the standard input.")
    var file: String
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let text = try readDocuments(file)
        try output.show(try await agent.client().apply(text, file: file))
    }
}

struct DeleteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Takes back what was declared: by file, or by kind and name.")
    @Option(name: [.customShort("f"), .long], help: "The file that was applied; - for the standard input.")
    var file: String?
    @Argument(help: "service or policy.") var kind: String?
    @Argument(help: "The service's name.") var name: String?
    @OptionGroup var service: ServiceOptions
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (file == nil) != (kind == nil), (kind == nil) == (name == nil) else {
            throw ValidationError("delete takes -f FILE, or a kind and a name")
        }
        if let kind, documentKind == nil { throw ValidationError("unknown kind '\(kind)': service or policy") }
    }

    private var documentKind: Document.Kind? {
        Document.Kind.allCases.first { $0.rawValue.lowercased() == kind?.lowercased() }
    }

    func run() async throws {
        let client = try agent.client()
        if let file {
            try output.show(try await client.delete(try readDocuments(file), file: file))
        } else if let kind = documentKind, let name {
            try output.show(try await client.delete(kind, service.id(name)))
        }
    }
}

struct ModeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mode", abstract: "Observe shows what would be done; enforce does it.",
        discussion: "Without --port and --service it is the node's mode.")
    @Argument(help: "observe or enforce.") var mode: Mode
    @Option(help: "For this port only.") var port: String?
    @Option(help: "For this service only.") var service: String?
    @OptionGroup var identity: ServiceOptions
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard port == nil || service == nil else { throw ValidationError("--port or --service, not both") }
    }

    func run() async throws {
        let scope: ModeScope =
            if let port { .port(PortName(port)) } else if let service { .service(identity.id(service)) } else { .all }
        try output.show(try await agent.client().setMode(mode, for: scope))
    }
}

struct DetachCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "detach", abstract: "Leaves a port, or the whole NIC, as it was.",
        discussion: "Where no agent answers it does so itself.")
    @Argument(help: "The port to leave.") var port: String?
    @Flag(help: "Leave every port, and take all programs, maps and pins away.") var all = false
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (port == nil) == all else { throw ValidationError("detach takes a port, or --all") }
    }

    func run() async throws {
        let port = port.map { PortName($0) }
        do {
            try output.show(try await agent.client().detach(port: port))
        } catch let error as OperationError where error.code == .unreachable {
            guard let config = try agent.configuration() else { throw error }
            try output.show(try Local.detach(port: port, config: config))
        }
    }
}

extension OutputOptions {
    func show(_ change: ChangeView) throws {
        try show(change) { change.changes.map { printable($0) + "\n" }.joined() }
    }
}

/// The agent refuses what is longer than it reads: this bound only keeps a wrong file from filling memory.
private func readDocuments(_ file: String) throws -> String {
    do throws(FileError) {
        return try readText(file, most: 4 << 20)
    } catch {
        throw OperationError(.badInput, error.description)
    }
}
