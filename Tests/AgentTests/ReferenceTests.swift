import ArgumentParser
import Fleet
import Registries
import Testing

@testable import Agent
@testable import remora

/// docs/reference.md says what the code holds, and nothing else.
@Suite("The reference") struct ReferenceTests {
    let page: String
    /// First cells of its tables, without backquotes.
    let firstCells: Set<String>

    init() throws {
        page = try ProjectFile.text("docs/reference.md")
        firstCells = Set(Self.rows(page).compactMap(\.first))
    }

    static func rows(_ text: some StringProtocol) -> [[String]] {
        text.split(separator: "\n").filter { $0.hasPrefix("| ") }.map { line in
            line.split(separator: "|").map { cell in
                String(cell.filter { $0 != "`" }.trimmingPrefix(while: \.isWhitespace)).trimmedEnd
            }
        }
    }

    func section(_ title: String) throws -> Substring {
        let start = try #require(page.range(of: "## \(title)\n")).upperBound
        let rest = page[start...]
        return rest[..<(rest.range(of: "\n## ")?.lowerBound ?? rest.endIndex)]
    }

    @Test("every key of the configuration is described") func keys() throws {
        let text = try section("Configuration")
        for (section, keys) in Config.keys {
            for key in keys where section != "" || !Config.keys.contains(where: { $0.key == key }) {
                let isRow = firstCells.contains { cell in
                    cell == key || cell == "\(section).\(key)" || cell.split(separator: ", ").contains(Substring(key))
                }
                #expect(isRow || text.contains("`\(key)`"), "\(section).\(key)")
            }
        }
    }

    @Test("the defaults that are described are the code's") func defaults() throws {
        let plain = Config(node: "n")
        let rows = Self.rows(try section("Configuration"))
        for (key, value) in [
            ("mode", plain.mode.rawValue), ("forwarding", plain.forwarding.rawValue), ("state", plain.state),
            ("socket", plain.socket), ("bpffs", plain.bpffs), ("logLevel", plain.logLevel.rawValue),
            ("proxies.per", plain.proxies.per.rawValue), ("proxies.drain", plain.proxies.drain.text),
            ("proxies.restoreGrace", plain.proxies.restoreGrace.text),
            ("flows.max", "\(plain.flows.max)"), ("flows.idle", plain.flows.idle.text),
            ("flows.halfOpen", plain.flows.halfOpen.text), ("flows.closed", "60s"),
            ("flows.halfOpenPerPort", "\(plain.flows.halfOpenPerPort)"), ("probe.enabled", "\(plain.probe.enabled)"),
            ("probe.timeout", plain.probe.timeout.text), ("probe.tries", "\(plain.probe.tries)"),
            ("probe.liveness", plain.probe.liveness.text), ("probe.rate", "\(plain.probe.rate)"),
            ("probe.ratePerPort", "\(plain.probe.ratePerPort)"), ("containers.maxAge", "60s"),
            ("limits.instancesPerPort", "\(plain.limits.instancesPerPort)"),
            ("limits.servicesPerPort", "\(plain.limits.servicesPerPort)"),
            ("limits.instances", "\(plain.limits.instances)"),
        ] {
            #expect(rows.contains { $0.count > 1 && $0[0] == key && $0[1] == value }, "\(key): \(value)")
        }
        #expect(plain.flows.closed == .seconds(60))
    }

    @Test("every kind of registry is described with its usual ports") func kinds() throws {
        let rows = Self.rows(try section("Configuration"))
        for kind in RegistryEndpoint.Kind.allCases {
            let row = try #require(rows.first { $0.count > 1 && $0[0] == kind.rawValue }, "\(kind)")
            let ports = row[1].split(separator: ", ").compactMap { UInt16($0) }
            #expect(Set(kind.usualPorts).isSubset(of: ports), "\(kind)")
        }
    }

    @Test("every state of an instance is described, and no other") func states() throws {
        let rows = Self.rows(try section("What becomes of a registration")).compactMap(\.first)
        let states = rows.prefix { $0 != "Registry" }.filter { $0 != "State" && $0 != "---" }
        #expect(states == InstanceState.allCases.map(\.rawValue))
    }

    @Test("every verb is described, and no other") func verbs() throws {
        let verbs = Remora.configuration.subcommands.compactMap { $0.configuration.commandName }
        let described = Self.rows(try section("Command line")).compactMap(\.first).filter { $0.hasPrefix("remora ") }
        #expect(described == verbs.map { "remora \($0)" })
    }

    @Test("every exit code is described as it is meant") func exitCodes() throws {
        let rows = Self.rows(try section("Command line"))
        for status in ExitStatus.allCases { #expect(rows.contains([String(status.rawValue), status.meaning])) }
    }

    @Test("every request is described with its parameters, and no other") func requests() throws {
        let rows = Self.rows(try section("Socket")).dropFirst(1)
        #expect(rows.compactMap(\.first).filter { $0.contains("/") } == APIRoute.all.map { "\($0.method) \($0.path)" })
        for route in APIRoute.all {
            let row = try #require(rows.first { $0.first == "\(route.method) \(route.path)" })
            for parameter in route.parameters { #expect(row.last?.contains(parameter) == true, "\(route.path)") }
        }
    }

    @Test("every metric is described with its type, labels and meaning, and no other") func metrics() throws {
        let rows = Self.rows(try section("Metrics")).filter { $0.first?.hasPrefix("remora_") == true }
        #expect(
            rows.map { $0.filter { !$0.isEmpty } }
                == MetricFamily.all.map { family in
                    [family.name, family.kind.rawValue, family.labels.joined(separator: ", "), family.help]
                        .filter { !$0.isEmpty }
                })
    }

    @Test("every reason is described in the ABI's words, and no other") func reasons() throws {
        let rows = Self.rows(try section("What becomes of a packet")).filter {
            $0.first != "Reason" && $0.first != "---"
        }
        #expect(rows == Reason.all.map { [$0.name, $0.isDrop ? "drop" : "no", $0.text] })
    }

    @Test("the documents that the page shows are well-formed") func documents() throws {
        let text = try section("Declared services and policies")
        let start = try #require(text.range(of: "```yaml\n")).upperBound
        let end = try #require(text[start...].range(of: "```")).lowerBound
        let networks = [Config.Network(name: "default", id: .init(0))]
        #expect(
            try Documents.parse(String(text[start..<end]), file: "reference.md", networks: networks).list.count == 2)
        for (_, keys) in Documents.keys { for key in keys { #expect(text.contains("\(key):"), "\(key)") } }
    }
}

extension String {
    fileprivate var trimmedEnd: String {
        var text = self
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
