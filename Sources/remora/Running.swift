import Agent
import ArgumentParser
import Foundation
import Model

struct AgentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent", abstract: "Runs the agent in the foreground, until SIGTERM or SIGINT.")
    @Option(help: "Its configuration.") var config = Config.defaultPath
    @Flag(help: "Check the configuration, say what is wrong with it, and end.") var check = false

    func run() async throws {
        let config = try Config.load(path: config, hostname: ProcessInfo.processInfo.hostName)
        if check {
            print("\(self.config): \(config.ports.count) port rules, \(config.networks.count) networks: well-formed")
        } else {
            try await Local.agent(config)
        }
    }
}

struct SniffCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sniff", abstract: "What the registry dialects make of a capture or of a port's traffic.",
        discussion: "With -o json: one object a line.")
    @Option(help: "A pcap or pcapng file; - reads standard input.") var pcap: String?
    @Option(help: "A network device to listen on, until interrupted.") var port: String?
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (pcap == nil) != (port == nil) else { throw ValidationError("sniff takes --pcap FILE or --port DEV") }
    }

    /// Told as it comes; a file's table waits for its last row.
    private var isLive: Bool { port != nil || pcap == "-" }

    func run() async throws {
        var rows: [[String]] = []
        let write: (String) throws -> Void = { [output, isLive] line in
            switch output.output {
            case .json:
                print(line)
                flushOutput()
            case .table:
                rows.append(try JSONDecoder().decode(Advertisement.self, from: Data(line.utf8)).cells)
                guard isLive, let row = rows.popLast() else { return }
                print(
                    Table(Advertisement.columns, [row]).rendered(width: Terminal.width, heading: false), terminator: "")
                flushOutput()
            }
        }
        if let pcap {
            try Local.sniff(pcap: pcap, write: write)
            guard output.output == .table, !isLive else { return }
            print(Table(Advertisement.columns, rows).rendered(width: Terminal.width), terminator: "")
        } else if let port {
            try Local.sniff(port: port, write: write)
        }
    }
}

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Kernel, privileges, devices: what would keep it from working here.")
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions

    func run() async throws { try Local.doctor(config: try agent.configuration(), output: output) }
}

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "What a packet and a loaded service cost on this machine.")
    @OptionGroup var output: OutputOptions

    func run() async throws { try Local.bench(output: output) }
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "What this build calls itself.")
    @OptionGroup var output: OutputOptions

    func run() throws { try output.show(["version": Version.text]) { "remora \(Version.text)\n" } }
}
