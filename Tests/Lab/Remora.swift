import Foundation
import Synchronization

/// The agent under trial in a NIC's namespace, and its command line.
public final class Remora: Sendable {
    /// What the configuration file says beside paths.
    public struct Settings: Sendable {
        public var mode = "enforce"
        public var forwarding = "switch"
        /// Every port's role is `mixed`.
        public var mixedRoles = false
        public var proxiesPer = "service"
        public var drain = "30s"
        public var restoreGrace = "10s"
        public var logLevel = "info"
        /// Keys of the section `flows`, like "max: 1024".
        public var flows = ""
        /// A second network "blue" with the same VIPs, on ports of its own: ub* to the fabric, vb* to VMs.
        public var hasBlue = false
        /// A network "tagged" in a VLAN, on the uplinks and on ports tr* that lead to VMs.
        public var vlan: UInt16?
        /// Lines of the list of container services.
        public var containers: [String] = []
        /// Further keys of the section `containers`, like "maxAge: 60s".
        public var containerKeys = ""
        /// What is listened to; if none is named, every kind at its usual ports.
        public var registries = ["{kind: etcd, port: 2379}", "{kind: consul, port: 8500}"]
        /// Addresses of those who may register others' services.
        public var registrars: [String] = []
        /// Keys of the sections `probe` and `limits`, like "enabled: false".
        public var probe = "enabled: true"
        public var limits = ""
        /// Words that run the agent with less than root has, like `setpriv`; the command line has all of it.
        public var launcher: [String] = []
        public init() {}
    }
    public let node: String
    public let configuration: String
    /// The agent's.
    public let socket: String
    private let list: String
    public var pins: String { Lab.pins + node }
    public var journal: String { "\(nic.lab.directory)/\(node).state/journal" }
    private let launcher: [String]
    private let binary: String
    private let nic: Namespace
    private let process = Mutex<Child?>(nil)

    /// Where `swift build -c release` puts the binary, or what REMORA_BIN names.
    public static let defaultBinary =
        ProcessInfo.processInfo.environment["REMORA_BIN"] ?? Lab.sourceRoot + "/.build/release/remora"

    /// Writes the configuration; `start` runs the agent.
    public init(_ settings: Settings = Settings(), on nic: Namespace, binary: String = defaultBinary) throws {
        guard access(binary, X_OK) == 0 else { throw Failure("no program \(binary): build it first") }
        self.binary = binary
        self.nic = nic
        launcher = settings.launcher
        node = nic.lab.unique(nic.lab.token)  // the lab removes its pins by this name
        let directory = nic.lab.directory
        socket = "\(directory)/\(node).sock"
        list = try nic.lab.file("\(node).containers", settings.containers.joined(separator: "\n") + "\n")
        configuration = try nic.lab.file(
            "\(node).yaml", Self.text(settings, node: node, directory: directory, list: list))
    }

    private static func text(_ settings: Settings, node: String, directory: String, list: String) -> String {
        func role(_ role: String) -> String { settings.mixedRoles ? "mixed" : role }
        let keys = settings.containerKeys.isEmpty ? "" : ", " + settings.containerKeys
        let tagged = settings.vlan.map { ", vlans: {\($0): tagged}" } ?? ""
        let text = """
            node: \(node)
            mode: \(settings.mode)
            forwarding: \(settings.forwarding)
            state: \(directory)/\(node).state
            socket: \(directory)/\(node).sock
            logLevel: \(settings.logLevel)
            ports:
              - {match: "up*", role: \(role("uplink")), answerARP: true\(tagged)}
              - {match: "vm*", role: \(role("vm"))}
              - {match: "ct*", role: \(role("container"))}
            networks:
              - {name: default, id: 0, vips: \(Site.vips)}
            containers: {file: \(list)\(keys)}
            proxies: {per: \(settings.proxiesPer), drain: \(settings.drain), restoreGrace: \(settings.restoreGrace)}
            flows: {\(settings.flows)}
            probe: {\(settings.probe)}
            limits: {\(settings.limits)}
            registrars: [\(settings.registrars.joined(separator: ", "))]
            \(settings.registries.isEmpty ? "" : "registries: [\(settings.registries.joined(separator: ", "))]")

            """
        let whole = settings.hasBlue ? addBlue(to: text) : text
        return settings.vlan == nil ? whole : addTagged(to: whole, role: role("vm"), vlans: tagged)
    }

    private static func addTagged(to text: String, role: String, vlans: String) -> String {
        text.replacing(
            "networks:\n", with: "networks:\n  - {name: tagged, id: 9}\n"
        ).replacing("ports:\n", with: "ports:\n  - {match: \"tr*\", role: \(role)\(vlans)}\n")
    }

    private static func addBlue(to text: String) -> String {
        text.replacing(
            "networks:\n", with: "networks:\n  - {name: blue, id: 7, vips: \(Site.vips)}\n"
        ).replacing(
            "ports:\n",
            with: """
                ports:
                  - {match: "ub*", role: uplink, answerARP: true, network: blue}
                  - {match: "vb*", role: vm, network: blue}

                """)
    }

    /// Puts another list of container services in the place of the one that is there.
    /// - Parameter age: how long ago it was written, for all that anybody can see.
    public func list(_ lines: [String], age: Duration = .zero) throws {
        let fresh = try nic.lab.file("\(node).containers-new", lines.joined(separator: "\n") + "\n")
        let written = Date(timeIntervalSinceNow: -Double(age.components.seconds))
        try FileManager.default.setAttributes([.modificationDate: written], ofItemAtPath: fresh)
        guard rename(fresh, list) == 0 else { throw Failure.system("replace \(list)", -ErrorNumber.last) }
    }

    /// Runs the agent; returns when its socket answers.
    public func start() throws {
        let child = try nic.start(launcher + [binary, "agent", "--config", configuration], as: "agent")
        process.withLock { $0 = child }
        try wait(for: "the agent to answer", limit: .seconds(20), seen: child.lastWords) {
            guard child.isRunning else { throw Failure("the agent ended at once:\n\(child.lastWords)") }
            return try cli("status").code == 0
        }
    }

    /// Starts the agent where it must refuse to run, beside another or without what it needs.
    /// - Returns: how it ended. - Throws: a Failure if it does not end.
    public func startInVain() throws -> Outcome {
        try run(launcher + [binary, "agent", "--config", configuration], in: nic, limit: .seconds(20))
    }

    private func running() throws -> Child {
        guard let child = process.withLock({ $0 }) else { throw Failure("the agent was not started") }
        return child
    }

    /// The running agent's number.
    public func processID() throws -> Int32 { try running().pid }

    public var log: String { process.withLock { $0?.log ?? "(never started)" } }
    public var lastWords: String { process.withLock { $0?.lastWords ?? "" } }

    /// SIGKILL, without a chance to tidy up.
    public func kill() throws { try running().destroy() }

    /// SIGTERM.
    public func stop() throws { try running().end() }

    /// Runs one verb to its end, whatever its exit code.
    public func cli(_ words: String...) throws -> Outcome {
        try run([binary] + words + ["--config", configuration], in: nic)
    }

    /// Runs one verb that must succeed. - Returns: its table.
    @discardableResult
    public func tell(_ words: String...) throws -> String {
        try call([binary] + words + ["--config", configuration], in: nic)
    }

    /// Runs one reading verb for programs.
    public func ask(_ words: String...) throws -> JSON {
        try JSON(parsing: call([binary] + words + ["--config", configuration, "-o", "json"], in: nic))
    }

    public func apply(_ yaml: String) throws {
        try tell("apply", "-f", nic.lab.file("\(nic.lab.unique("resource")).yaml", yaml))
    }

    public func delete(_ yaml: String) throws {
        try tell("delete", "-f", nic.lab.file("\(nic.lab.unique("resource")).yaml", yaml))
    }
}

/// What is asked for often.
extension Remora {
    /// The row of `get services`, null where there is none.
    public func service(_ name: String) throws -> JSON {
        try ask("get", "services").array.first { $0["name"].string == name } ?? .null
    }

    /// The row of `get instances`, null where there is none.
    public func instance(_ endpoint: Endpoint) throws -> JSON {
        try ask("get", "instances").array.first {
            $0["address"].string == endpoint.address && $0["port"].number == Double(endpoint.port)
        } ?? .null
    }

    /// Waits until a port has its programs: what a guest says before is not heard.
    public func waitForPort(_ name: String) throws {
        try wait(for: "\(name) to be attached") {
            try ask("get", "ports").array.contains {
                $0["name"].string == name && $0["state"].string == "attached"
            }
        }
    }

    /// Waits until a service has a loaded proxy with this many live instances. - Returns: its VIP.
    @discardableResult
    public func waitForProxy(of name: String, live: Int, limit: Duration = .seconds(15)) throws -> Endpoint {
        var last = JSON.null
        return try wait(for: "a proxy of \(name) with \(live) live", limit: limit, seen: "\(last)") {
            last = try service(name)
            guard last["state"].string == "live", last["live"].number == Double(live) else { return nil }
            return Endpoint(text: last["vip"].string ?? "")
        }
    }

    /// Waits until a service has neither proxy nor pins.
    public func waitForEnd(of name: String, limit: Duration = .seconds(15)) throws {
        var last = JSON.null
        try wait(for: "the end of \(name)'s proxy", limit: limit, seen: "\(last)") {
            last = try service(name)
            return last["proxy"].string == nil && !pinnedServices().contains { $0.hasSuffix("/\(name)") }
        }
    }

    /// Waits until the verdict on an instance is this. - Returns: its row.
    @discardableResult
    public func waitForVerdict(_ verdict: String, on endpoint: Endpoint, limit: Duration = .seconds(15)) throws -> JSON
    {
        var last = JSON.null
        return try wait(for: "the verdict \(verdict) on \(endpoint)", limit: limit, seen: "\(last)") {
            last = try instance(endpoint)
            return last["verdict"].string == verdict ? last : nil
        }
    }

    /// Directories of services in bpffs.
    public func pinnedServices() -> [String] {
        let root = "\(pins)/services"
        let all = FileManager.default.subpaths(atPath: root) ?? []
        return all.map { "\(root)/\($0)" }.filter { path in
            var isDirectory: ObjCBool = false
            return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
        }
    }

    /// How many packets were dropped for a reason, as `status` counts them.
    public func drops(_ reason: String) throws -> Int {
        Int(try ask("status")["drops"][reason].number ?? 0)
    }

    /// A policy that denies these sources everything of one service.
    public static func denial(of service: String, from sources: [String]) -> String {
        "kind: Policy\nservice: \(service)\nrules:\n" + sources.map { "  - deny: {from: \($0)}\n" }.joined()
    }
}

extension Endpoint {
    /// - Parameter text: `address:port`.
    public init?(text: String) {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let port = UInt16(parts[1]) else { return nil }
        self.init(String(parts[0]), port)
    }
}
