import ArgumentParser
import Foundation
import Testing

@testable import Agent
@testable import remora

/// The project's own files, beside the sources.
enum ProjectFile {
    static func text(_ path: String, from file: String = #filePath) throws -> String {
        try readText(URL(filePath: file).appending(path: "../../../\(path)").standardized.path(), most: 1 << 20)
    }
}

@Suite("What is deployed") struct DeployTests {
    /// The unit's settings, each key's values in order.
    static func unit() throws -> [String: [String]] {
        var settings: [String: [String]] = [:]
        for line in try ProjectFile.text("deploy/remora.service").split(separator: "\n") {
            guard !line.hasPrefix("#"), let equals = line.firstIndex(of: "=") else { continue }
            settings[String(line[..<equals]), default: []].append(String(line[line.index(after: equals)...]))
        }
        return settings
    }

    @Test("the example configuration is well-formed, and observes") func example() throws {
        let config = try Config.parse(
            try ProjectFile.text("deploy/remora.yaml"), file: "deploy/remora.yaml", hostname: "nic")
        #expect(config.mode == .observe && config.ports.count == 3)
        #expect(config.registries.isEmpty && !config.endpoints.isEmpty)
        #expect(config.networks[0].vips != nil)
    }

    @Test("what the example shows as commented out is well-formed too, and the defaults it shows are true")
    func commented() throws {
        let text = try ProjectFile.text("deploy/remora.yaml")
        let shown = text.replacing("\n#", with: "\n").replacing("\n  #- ", with: "\n  - ")
            .split(separator: "\n", omittingEmptySubsequences: false)
            .filter { $0.first != " " || $0.hasPrefix("  - ") }.joined(separator: "\n")
        let config = try Config.parse(shown, file: "deploy/remora.yaml", hostname: "nic")
        let plain = Config(node: "nic-0")
        #expect(config.node == "nic-0" && config.ports.count == 4 && config.networks.count == 2)
        #expect(config.registries.flatMap(\.kinds).map(\.rawValue) == ["consul", "etcd", "eureka", "nacos"])
        #expect(config.state == plain.state && config.socket == plain.socket && config.bpffs == plain.bpffs)
        #expect(config.flows == plain.flows && config.probe == plain.probe && config.limits == plain.limits)
        #expect(config.proxies == plain.proxies && config.logLevel == plain.logLevel)
    }

    @Test("the unit starts the agent as the command line knows it, with the configuration's own places")
    func execStart() throws {
        let unit = try Self.unit()
        let words = try #require(unit["ExecStart"]?.first).split(separator: " ").map(String.init)
        #expect(words.first?.hasSuffix("/remora") == true)
        let command = try #require(try Remora.parseAsRoot(Array(words.dropFirst())) as? AgentCommand)
        #expect(command.config == Config.defaultPath)
        let plain = Config(node: "n")
        #expect(plain.socket.hasPrefix("/run/\(try #require(unit["RuntimeDirectory"]?.first))/"))
        #expect(plain.state == "/var/lib/\(try #require(unit["StateDirectory"]?.first))")
        #expect(unit["ReadWritePaths"] == [plain.bpffs] && unit["RequiresMountsFor"] == [plain.bpffs])
    }

    @Test("the unit has just four capabilities, and no way to more") func capabilities() throws {
        let unit = try Self.unit()
        let bounded = Set(unit["CapabilityBoundingSet", default: []].flatMap { $0.split(separator: " ") })
        #expect(bounded == ["CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_PERFMON"])
        #expect(unit["NoNewPrivileges"] == ["yes"] && unit["ProtectSystem"] == ["strict"])
        #expect(unit["KillMode"] == ["process"])
    }

    private static let analyzer = "/usr/bin/systemd-analyze"

    @Test("systemd finds nothing wrong with the unit", .enabled(if: access(analyzer, X_OK) == 0, "no systemd here"))
    func verify() async throws {
        // systemd wants the program to exist: any other stands in for it.
        let text = try ProjectFile.text("deploy/remora.service").replacing("/usr/local/bin/remora", with: "/bin/true")
        let directory = TemporaryDirectory()
        let path = directory.path + "/remora.service"
        try Data(text.utf8).write(to: URL(filePath: path))
        let process = Process()
        process.executableURL = URL(filePath: Self.analyzer)
        process.arguments = ["verify", "--man=no", path]
        let output = Pipe()
        process.standardError = output
        try process.run()
        let complaints = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
            .split(separator: "\n").filter { $0.contains("remora.service") }
        process.waitUntilExit()
        #expect(complaints.isEmpty)
    }
}
