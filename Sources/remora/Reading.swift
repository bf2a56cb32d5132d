import Agent
import ArgumentParser
import Foundation
import Model

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Is it working: ports, proxies, how full maps are, drops, alarms.")
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let status = try await agent.client().status()
        try output.show(status) { Self.text(status, width: Terminal.width) }
    }

    static func text(_ status: StatusView, width: Int?) -> String {
        func table<Row: Tabular>(_ rows: [Row]) -> String {
            rows.isEmpty ? "" : "\n" + Table(Row.columns, rows.map(\.cells)).rendered(width: width)
        }
        let verdicts = status.instances.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
        let heard = status.heard
        func count(_ kind: String) -> String { "\(heard[kind] ?? 0)" }
        let drops = status.drops.filter { $0.value > 0 }.sorted { $0.value > $1.value }
        let uncounted = status.uncounted.map { "\n\(printable($0))\n" } ?? ""
        return """
            node \(printable(status.node)), mode \(status.mode.rawValue), since \(status.started.dateAndTime), \
            version \(printable(status.version))
            \(status.services) services, \(status.proxies) proxies, \
            instances: \(verdicts.isEmpty ? "none" : verdicts.joined(separator: ", "))
            heard: \(count("advertisements")) events in \(count("messages")) messages of \(count("frames")) frames; \
            \(count("gaps")) gaps, \(count("parse_errors")) unreadable, \
            \(status.encryptedRegistries) encrypted conversations (remora get registries)

            """ + table(status.alarms) + table(status.ports) + table(status.maps) + table(drops.map(DropRow.init))
                + uncounted
    }
}

private struct DropRow: Tabular {
    let drop: (key: String, value: UInt64)
    static var columns: [Table.Column] { [.init("DROPPED", .right), .init("REASON"), .init("MEANING")] }
    var cells: [String] {
        ["\(drop.value)", drop.key, Reason.all.first { $0.name == drop.key }?.text ?? ""]
    }
}

struct GetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "get", abstract: "Lists what the agent knows.")

    enum Kind: String, ExpressibleByArgument, CaseIterable {
        case services, proxies, ports, instances, workloads, registries, connections
    }
    @Argument(help: ArgumentHelp("\(Kind.allCases.map(\.rawValue).joined(separator: ", ")).")) var kind: Kind
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let client = try agent.client()
        switch kind {
        case .services: try output.show(try await client.services())
        case .proxies: try output.show(try await client.proxies())
        case .ports: try output.show(try await client.ports())
        case .instances: try output.show(try await client.instances())
        case .workloads: try output.show(try await client.workloads())
        case .registries: try output.show(try await client.registries())
        case .connections: try output.show(try await client.connections(limit: APILimits.mostFlows))
        }
    }
}

struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Why something has its verdict, and why it has, or has no, proxy.")
    @Argument(help: "A service, namespace/service, address or address:port, of a registry, too.") var subject: String
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let explanations = try await agent.client().explain(subject)
        guard !explanations.isEmpty else {
            throw OperationError(.notFound, "nothing is known of '\(subject)'", remedy: "see remora get services")
        }
        try output.show(explanations) { explanations.map(Self.text).joined(separator: "\n") }
    }

    static func text(_ explanation: ExplanationView) -> String {
        var lines = ["\(printable(explanation.subject)): \(printable(explanation.summary))"]
        if let verdict = explanation.verdict { lines.append("  verdict: \(verdict.rawValue)") }
        lines += explanation.evidence.map { evidence in
            let weight = evidence.weight > 0 ? "+\(evidence.weight)" : "\(evidence.weight)"
            let time = evidence.seen?.microseconds.map { String(format: ", after %.2f ms", Double($0) / 1000) }
            return "  \(weight) \(evidence.kind.rawValue): \(printable(evidence.sentence))\(time ?? "")"
        }
        lines += explanation.facts.map { "  \(printable($0))" }
        if let missing = explanation.missing { lines.append("  would settle it: \(printable(missing))") }
        return lines.joined(separator: "\n") + "\n"
    }
}

struct FlowsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flows", abstract: "What passes: connections opened and closed, packets dropped, and why.",
        discussion: "With -o json: one object a line.")
    @Flag(name: [.short, .long], help: "Go on as things happen, until interrupted.") var follow = false
    @Option(name: [.customShort("n"), .long], help: "How many of the newest to begin with.") var limit = 100
    @OptionGroup var agent: AgentOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...10_000).contains(limit) else { throw ValidationError("--limit is a number from 1 to 10000") }
    }

    func run() async throws {
        let client = try agent.client()
        var page = try await client.flows(from: nil, limit: limit, wait: .zero)
        try show(page, heading: true)
        while follow {
            page = try await client.flows(from: page.next, limit: 1000, wait: .seconds(20))
            try show(page, heading: false)
        }
    }

    private func show(_ page: FlowPage, heading: Bool) throws {
        switch output.output {
        case .json: for flow in page.flows { try printJSON(flow, onOneLine: true) }
        case .table:
            if page.missed > 0 { print("(\(page.missed) events were missed)") }
            let table = Table(FlowView.columns, page.flows.map(\.cells))
            print(table.rendered(width: Terminal.width, heading: heading), terminator: "")
        }
        flushOutput()
    }
}
