import Agent
public import ArgumentParser
import Foundation
import Glibc
public import Model

extension Mode: ExpressibleByArgument {}

/// Where the agent is.
struct AgentOptions: ParsableArguments {
    @Option(help: "The agent's socket. Default: the one that the configuration names.")
    var socket: String?

    @Option(help: ArgumentHelp("The agent's configuration. Default: \(Config.defaultPath), if there is one."))
    var config: String?

    func client() throws -> APIClient { APIClient(socket: try path()) }

    private func path() throws -> String {
        if let socket { return socket }
        return try configuration()?.socket ?? Config.defaultSocket
    }

    /// Nil where none was named and the usual one does not exist.
    func configuration() throws -> Config? {
        if config == nil && access(Config.defaultPath, F_OK) != 0 { return nil }
        return try load()
    }

    func load() throws -> Config {
        try Config.load(path: config ?? Config.defaultPath, hostname: ProcessInfo.processInfo.hostName)
    }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable { case table, json }

struct OutputOptions: ParsableArguments {
    @Option(name: [.customShort("o"), .long], help: "table, or json for programs.")
    var output = OutputFormat.table

    func show<Row: Tabular & Encodable>(_ rows: [Row]) throws {
        switch output {
        case .json: try printJSON(rows)
        case .table: print(Table(Row.columns, rows.map(\.cells)).rendered(width: Terminal.width), terminator: "")
        }
    }

    func show(_ value: some Encodable, as text: () -> String) throws {
        switch output {
        case .json: try printJSON(value)
        case .table: print(text(), terminator: "")
        }
    }
}

func printJSON(_ value: some Encodable, onOneLine: Bool = false) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting =
        onOneLine
        ? [.sortedKeys, .withoutEscapingSlashes]
        : [
            .sortedKeys, .withoutEscapingSlashes, .prettyPrinted,
        ]
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
}

/// A service, for verbs that mean one.
struct ServiceOptions: ParsableArguments {
    @Option(help: "The service's namespace.")
    var namespace = "default"

    @Option(help: "The number of the service's network.")
    var network: UInt16 = 0

    func id(_ name: String) -> ServiceID {
        ServiceID(network: NetworkID(network), namespace: namespace, name: name)
    }
}

enum Terminal {
    /// Columns of the terminal that is written to; nil where it is none, and nothing is cut.
    static var width: Int? {
        var size = winsize()
        guard isatty(STDOUT_FILENO) == 1, ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return nil
        }
        return Int(size.ws_col)
    }
}
