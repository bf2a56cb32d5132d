internal import CRemoraABI
internal import Model
internal import Yams

extension Config {
    /// Every key that a configuration may hold, by section, in the order of the documentation.
    public static let keys: KeyValuePairs<String, [String]> = [
        "": rootKeys, "ports": portKeys, "networks": networkKeys, "registries": registryKeys,
        "containers": containerKeys, "overlays": overlayKeys, "proxies": proxyKeys, "flows": flowKeys,
        "probe": probeKeys, "http": httpKeys, "limits": limitKeys,
    ]
    private static let rootKeys = [
        "node", "mode", "forwarding", "state", "socket", "metrics", "bpffs", "logLevel", "ports", "networks",
        "registries", "registrars", "containers", "proxies", "flows", "probe", "limits",
    ]
    private static let portKeys = ["match", "role", "answerARP", "network", "mode", "forwarding", "vlans"]
    private static let networkKeys = ["name", "id", "vips", "probeSource", "probeSource6"]
    private static let registryKeys = ["kind", "kinds", "address", "port"]
    private static let containerKeys = ["file", "maxAge", "confirm", "ranges", "overlays"]
    private static let overlayKeys = ["kind", "port", "vnis"]
    private static let proxyKeys = ["per", "drain", "restoreGrace"]
    private static let flowKeys = ["max", "idle", "halfOpen", "closed", "halfOpenPerPort"]
    private static let probeKeys = [
        "enabled", "timeout", "tries", "liveness", "rate", "ratePerPort", "never", "only", "http",
    ]
    private static let httpKeys = ["ports", "path"]
    private static let limitKeys = ["instancesPerPort", "servicesPerPort", "instances"]

    /// Reads the file at `path`; `hostname` names the node where the file does not.
    public static func load(path: String, hostname: String) throws(ProblemList) -> Config {
        let text: String
        do throws(FileError) {
            text = try readText(path, most: YAMLText.longestText)
        } catch {
            throw ProblemList([Problem(file: path, message: error.cause)])
        }
        return try parse(text, file: path, hostname: hostname)
    }

    /// Reads a whole configuration, or says everything that is wrong with it.
    public static func parse(_ text: String, file: String, hostname: String) throws(ProblemList) -> Config {
        let problems = Problems(file: file)
        var config = Config(node: nodeName(from: hostname))
        if let yaml = YAMLText(text, problems: problems) {
            if yaml.documents.count > 1 { problems.add("holds more than one document", at: yaml.documents[1].position) }
            if let root = yaml.documents.first, !YAMLSection.isNull(root),
                let section = YAMLSection(root, name: "", keys: rootKeys, text: yaml, problems: problems)
            {
                config.read(section)
            } else if problems.list.isEmpty {
                problems.add("is empty: 'ports' is needed at least", at: nil)
            }
        }
        try problems.throwIfAny()
        return config
    }

    /// A host's name as a node's: lower case, what does not fit replaced.
    static func nodeName(from hostname: String) -> String {
        let name = hostname.lowercased().prefix(while: { $0 != "." }).prefix(32)
            .map { isNodeCharacter($0) ? $0 : "-" }
        return name.isEmpty ? "node" : String(name)
    }

    static func isNodeCharacter(_ character: Character) -> Bool {
        ("a"..."z").contains(character) || ("0"..."9").contains(character) || character == "-"
    }

    private mutating func read(_ section: YAMLSection) {
        readNode(section)
        readNetworks(section)
        readPorts(section)
        readRegistries(section)
        readTuning(section)
    }

    private mutating func readNode(_ section: YAMLSection) {
        if let name = section.string("node") {
            if (1...32).contains(name.count), name.allSatisfy(Self.isNodeCharacter) {
                node = name
            } else {
                section.problem("'\(name)' is no node name: 1 to 32 of a-z, 0-9 and -", "node")
            }
        }
        mode = section.choice("mode") ?? mode
        forwarding = section.choice("forwarding") ?? forwarding
        logLevel = section.choice("logLevel") ?? logLevel
        state = section.absolutePath("state") ?? state
        bpffs = section.absolutePath("bpffs") ?? bpffs
        socket = section.absolutePath("socket") ?? socket
        if socket.utf8.count > APISocket.longestPath {
            section.problem("longer than the \(APISocket.longestPath) bytes a Unix socket may have", "socket")
        }
        metrics = section.value("metrics", "address and port, such as 127.0.0.1:9477")
        readContainers(section)
        for (text, mark) in section.strings("registrars", most: 1024) {
            if let address = IPAddress(text) {
                registrars.append(address)
            } else {
                section.problems.add("registrars: '\(text)' is no IP address", at: mark)
            }
        }
    }

    private mutating func readPorts(_ section: YAMLSection) {
        guard section.has("ports") else { return section.missing("ports", "which devices are whose") }
        let sections = section.sections("ports", keys: Self.portKeys, most: Int(REMORA_MAX_PORTS))
        var read: [(Port, YAMLSection)] = []
        for inner in sections {
            guard let port = readPort(inner) else { continue }
            checkOverlap(of: port, in: inner, with: read)
            read.append((port, inner))
        }
        ports = read.map(\.0)
        if sections.isEmpty { section.problem("names no device", "ports") }
    }

    private func readPort(_ section: YAMLSection) -> Port? {
        if !section.has("match") { section.missing("match", "a device name, or a pattern such as vm*") }
        if !section.has("role") {
            section.missing("role", PortRole.allCases.map(\.rawValue).joined(separator: ", "))
        }
        let match = section.string("match").flatMap { text in
            let glob = Glob(text)
            if glob == nil {
                section.problem(
                    "'\(text)' matches no device name: 1 to 15 characters, * and ? stand for others", "match")
            }
            return glob
        }
        let role = section.choice("role", of: PortRole.self)
        let answerARP = section.flag("answerARP")
        let network = readNetworkName("network", in: section)
        if !section.has("network"), !networks.contains(where: { $0.id == NetworkID(0) }) {
            section.missing("network", "there is no network 0, which would be the default")
        }
        let mode = section.choice("mode", of: Mode.self)
        let forwarding = section.choice("forwarding", of: Forwarding.self)
        let vlans = readVLANs(section)
        guard let match, let role else { return nil }
        return Port(
            match: match, role: role, answerARP: answerARP ?? (role == .vm || role == .container),
            network: network ?? NetworkID(0), mode: mode, forwarding: forwarding, vlans: vlans)
    }

    private func readVLANs(_ section: YAMLSection) -> [UInt16: NetworkID] {
        guard let inner = section.section("vlans", keys: nil) else { return [:] }
        var vlans: [UInt16: NetworkID] = [:]
        if inner.keys.count > Int(REMORA_MAX_VLANS) {
            section.problem("\(inner.keys.count) VLANs, a port takes at most \(REMORA_MAX_VLANS)", "vlans")
        }
        for key in inner.keys.prefix(Int(REMORA_MAX_VLANS)) {
            guard let id = UInt16(key), (1...4094).contains(id) else {
                inner.problem("'\(key)' is no VLAN id from 1 to 4094", key)
                continue
            }
            vlans[id] = readNetworkName(key, in: inner)
        }
        return vlans
    }

    private func readNetworkName(_ key: String, in section: YAMLSection) -> NetworkID? {
        guard let name = section.string(key) else { return nil }
        guard let network = network(named: name) else {
            section.problem("unknown network '\(name)'" + didYouMean(name, among: networks.map(\.name)), key)
            return nil
        }
        return network.id
    }
}
