public import Model

/// The source policy of one service as the data path looks it up: one longest-prefix match, then the first rule that
/// fits. Rules of shorter prefixes stand behind those of the longer one, so no second look-up is needed.
public struct CompiledPolicy: Hashable, Sendable {
    /// By prefix: shorter ones first, then by address.
    public var prefixes: [CompiledPrefix]
    /// For a source that no prefix holds, and for one whose rules all name another port or protocol.
    public var defaultAction: PolicyRules.Rule.Action

    public init(prefixes: [CompiledPrefix] = [], defaultAction: PolicyRules.Rule.Action = .allow) {
        self.prefixes = prefixes
        self.defaultAction = defaultAction
    }
}

/// One entry of the longest-prefix map.
public struct CompiledPrefix: Hashable, Sendable {
    public var source: IPv4Prefix
    /// In order: the first that fits decides.
    public var rules: [CompiledRule]

    public init(source: IPv4Prefix, rules: [CompiledRule]) {
        self.source = source
        self.rules = rules
    }
}

/// What a rule asks of a packet beside its source. Nil: anything.
public struct CompiledRule: Hashable, Sendable {
    /// The port the client connects to.
    public var port: UInt16?
    public var proto: TransportProtocol?
    public var action: PolicyRules.Rule.Action

    public init(port: UInt16?, proto: TransportProtocol?, action: PolicyRules.Rule.Action) {
        self.port = port
        self.proto = proto
        self.action = action
    }

    func fits(port: UInt16, proto: TransportProtocol) -> Bool {
        (self.port == nil || self.port == port) && (self.proto == nil || self.proto == proto)
    }

    /// Does every packet that fits `other` fit this one too?
    func covers(_ other: CompiledRule) -> Bool {
        (port == nil || port == other.port) && (proto == nil || proto == other.proto)
    }
}

extension CompiledPolicy {
    /// The rules as the map wants them. Rules that an earlier one of the same list hides are left out.
    ///
    /// - Parameters:
    ///   - rulesPerPrefix: how many rules one entry of the map has room for.
    ///   - prefixLimit: how many entries the map has room for.
    /// - Throws: the rule for which there is no room; nothing is half compiled.
    public init(
        _ policy: PolicyRules, rulesPerPrefix: Int, prefixLimit: Int = .max
    ) throws(PolicyError) {
        self.init()
        var byPrefix: [IPv4Prefix: [Int]] = [:]
        for (index, rule) in policy.rules.enumerated() {
            byPrefix[rule.source, default: []].append(index)
            guard byPrefix.count <= prefixLimit else {
                throw PolicyError(.tooManyPrefixes(limit: prefixLimit), index: index, rule: rule)
            }
        }
        for (prefix, own) in byPrefix {
            var list = RuleList(limit: rulesPerPrefix)
            try list.append(own, of: policy)
            for length in stride(from: prefix.length - 1, through: 0, by: -1) {
                guard let shorter = byPrefix[IPv4Prefix(prefix.address, length: length)] else { continue }
                try list.append(shorter, of: policy)
            }
            prefixes.append(CompiledPrefix(source: prefix, rules: list.rules))
        }
        prefixes.sort { ($0.source.length, $0.source.address) < ($1.source.length, $1.source.address) }
    }

    /// What the data path decides: for tests, and for `remora explain`.
    public func decide(source: IPv4Address, port: UInt16, proto: TransportProtocol) -> PolicyRules.Rule.Action {
        let longest = prefixes.last { $0.source.contains(source) }
        return longest?.rules.first { $0.fits(port: port, proto: proto) }?.action ?? defaultAction
    }
}

/// The rules of one prefix, longest source first, without those that can never decide.
private struct RuleList {
    let limit: Int
    var rules: [CompiledRule] = []

    /// Rules of one and the same source prefix: one that names the port goes before one that does not, deny before
    /// allow.
    mutating func append(_ indexes: [Int], of policy: PolicyRules) throws(PolicyError) {
        let order = indexes.sorted { a, b in
            let (one, other) = (policy.rules[a], policy.rules[b])
            return (one.port == nil ? 1 : 0, one.action == .deny ? 0 : 1, a)
                < (other.port == nil ? 1 : 0, other.action == .deny ? 0 : 1, b)
        }
        for index in order {
            let rule = policy.rules[index]
            let compiled = CompiledRule(port: rule.port, proto: rule.proto, action: rule.action)
            if rules.contains(where: { $0.covers(compiled) }) { continue }
            guard rules.count < limit else {
                throw PolicyError(.tooManyRules(limit: limit), index: index, rule: rule)
            }
            rules.append(compiled)
        }
    }
}
