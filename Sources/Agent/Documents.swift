public import Model
internal import Yams

/// One thing that an operator declares with `remora apply`.
public enum Document: Hashable, Sendable {
    case service(DeclaredService)
    case policy(ServiceID, PolicyRules)

    public var service: ServiceID {
        switch self {
        case .service(let declared): declared.id
        case .policy(let id, _): id
        }
    }

    public var kind: Kind {
        switch self {
        case .service: .service
        case .policy: .policy
        }
    }

    public enum Kind: String, Codable, Sendable, CaseIterable {
        case service = "Service"
        case policy = "Policy"
    }
}

/// A service that no registration was heard for.
public struct DeclaredService: Hashable, Sendable {
    public var id: ServiceID
    /// In the order of the file, each once.
    public var instances: [InstanceID]
    /// The operator's word on where it runs; nil: let the evidence decide.
    public var runsIn: Verdict?

    public init(id: ServiceID, instances: [InstanceID], runsIn: Verdict? = nil) {
        self.id = id
        self.instances = instances
        self.runsIn = runsIn
    }
}

/// What `remora apply` and `remora delete` are given: YAML documents, refused whole if one of them is wrong.
public struct Documents: Hashable, Sendable {
    public let list: [Document]

    /// Keys by kind of document, `kind` itself included, then those of what is inside.
    public static let keys: KeyValuePairs<String, [String]> = [
        "Service": serviceKeys, "instances": instanceKeys, "Policy": policyKeys, "rules": ruleKeys,
        "deny": matchKeys, "allow": matchKeys,
    ]
    private static let serviceKeys = ["kind", "name", "namespace", "network", "instances", "runsIn"]
    private static let instanceKeys = ["address", "port", "protocol"]
    private static let policyKeys = ["kind", "service", "namespace", "network", "rules"]
    private static let ruleKeys = ["deny", "allow"]
    private static let matchKeys = ["from", "port", "protocol"]
    private static let longestName = 255
    private static let mostInstances = 4096
    private static let mostRules = 1024

    /// Reads documents that name these networks. Empty documents, as between two separators, are skipped.
    public static func parse(_ text: String, file: String, networks: [Config.Network]) throws(ProblemList) -> Documents
    {
        let problems = Problems(file: file)
        var list: [Document] = []
        if let yaml = YAMLText(text, problems: problems) {
            let reader = Reader(networks: networks, yaml: yaml, problems: problems)
            for root in yaml.documents where !YAMLSection.isNull(root) {
                guard let document = reader.document(root) else { continue }
                if list.contains(where: { $0.service == document.service && $0.kind == document.kind }) {
                    problems.add("a second \(document.kind.rawValue) for '\(document.service)'", at: root.position)
                }
                list.append(document)
            }
        }
        if list.isEmpty && problems.list.isEmpty { problems.add("holds no document", at: nil) }
        try problems.throwIfAny()
        return Documents(list: list)
    }

    private struct Reader {
        let networks: [Config.Network]
        let yaml: YAMLText
        let problems: Problems

        func document(_ root: Node) -> Document? {
            guard let loose = YAMLSection(root, name: "", keys: nil, text: yaml, problems: Problems(file: "")),
                loose.has("kind")
            else {
                problems.add("a document needs a 'kind': Service or Policy", at: root.position)
                return nil
            }
            let kind = loose.string("kind") ?? ""
            switch Document.Kind(rawValue: kind) {
            case .service: return section(root, serviceKeys).flatMap(service)
            case .policy: return section(root, policyKeys).flatMap(policy)
            case nil:
                let known = Document.Kind.allCases.map(\.rawValue)
                problems.add("unknown kind '\(kind)'" + didYouMean(kind, among: known), at: loose.mark(of: "kind"))
                return nil
            }
        }

        private func section(_ root: Node, _ keys: [String]) -> YAMLSection? {
            YAMLSection(root, name: "", keys: keys, text: yaml, problems: problems)
        }

        private func service(_ section: YAMLSection) -> Document? {
            let id = serviceID(named: "name", in: section)
            let network = id?.network ?? NetworkID(0)
            var instances: [InstanceID] = []
            if !section.has("instances") { section.missing("instances", "where the service is reached") }
            for inner in section.sections("instances", keys: instanceKeys, most: mostInstances) {
                guard let instance = instance(inner, network: network) else { continue }
                if instances.contains(instance) { inner.problem("\(instance) is given twice", "address") }
                instances.append(instance)
            }
            let runsIn = section.choice("runsIn", of: Verdict.self)
            if runsIn == .unknown { section.problem("must be vm or container, or be left out", "runsIn") }
            return id.map { .service(DeclaredService(id: $0, instances: instances, runsIn: runsIn)) }
        }

        private func instance(_ section: YAMLSection, network: NetworkID) -> InstanceID? {
            for key in ["address", "port"] where !section.has(key) { section.missing(key, "an instance needs it") }
            let address: IPAddress? = section.value("address", "IP address")
            let port = section.integer("port", in: 1...65535)
            let proto = section.choice("protocol", of: TransportProtocol.self) ?? .tcp
            if let v4 = address?.v4, !v4.isUnicast {
                section.problem("\(v4) is no address that a service can have", "address")
            }
            if let v4 = address?.v4, let vips = networks.first(where: { $0.id == network })?.vips, vips.contains(v4) {
                section.problem("\(v4) lies in the VIP range \(vips), which is the mesh's own", "address")
            }
            guard let address, let port else { return nil }
            return InstanceID(network: network, address: address, port: UInt16(port), proto: proto)
        }

        private func policy(_ section: YAMLSection) -> Document? {
            let id = serviceID(named: "service", in: section)
            if !section.has("rules") { section.missing("rules", "a list of deny and allow") }
            let rules = section.sections("rules", keys: ruleKeys, most: mostRules).compactMap(rule)
            return id.map { .policy($0, PolicyRules(rules: rules)) }
        }

        private func rule(_ section: YAMLSection) -> PolicyRules.Rule? {
            guard section.has("deny") != section.has("allow") else {
                section.problems.add("\(section.name): a rule is either 'deny' or 'allow'", at: section.mark)
                return nil
            }
            let action: PolicyRules.Rule.Action = section.has("deny") ? .deny : .allow
            guard let match = section.section(action.rawValue, keys: matchKeys) else { return nil }
            if !match.has("from") { match.missing("from", "a source range such as 10.0.0.0/8, or any") }
            let source: IPv4Prefix? =
                match.string("from") == "any"
                ? .any : match.value("from", "IPv4 range whose host bits are zero, or any")
            let port = match.integer("port", in: 1...65535)
            let proto = match.choice("protocol", of: TransportProtocol.self)
            return source.map { .init(action: action, source: $0, port: port.map { UInt16($0) }, proto: proto) }
        }

        private func serviceID(named key: String, in section: YAMLSection) -> ServiceID? {
            if !section.has(key) { section.missing(key, "which service this is about") }
            let texts = [key, "namespace"].map { key in
                let text = section.string(key)
                if let text, !(1...longestName).contains(text.utf8.count) {
                    section.problem("must have 1 to \(longestName) bytes", key)
                }
                return text
            }
            var network = NetworkID(0)
            if let name = section.string("network") {
                if let known = networks.first(where: { $0.name == name }) {
                    network = known.id
                } else {
                    section.problem(
                        "unknown network '\(name)'" + didYouMean(name, among: networks.map(\.name)), "network")
                }
            }
            return texts[0].map { ServiceID(network: network, namespace: texts[1] ?? "default", name: $0) }
        }
    }
}
