import Model
import Policy
import Testing

@Suite struct PolicyTests {
    func rule(
        _ action: PolicyRules.Rule.Action, _ source: String, port: UInt16? = nil, _ proto: TransportProtocol? = nil
    ) throws -> PolicyRules.Rule {
        .init(action: action, source: try #require(IPv4Prefix(source)), port: port, proto: proto)
    }

    /// The semantics word by word, with nothing compiled.
    func naive(_ policy: PolicyRules, _ source: IPv4Address, _ port: UInt16, _ proto: TransportProtocol)
        -> PolicyRules.Rule.Action
    {
        let matching = policy.rules.filter { rule in
            rule.source.contains(source) && (rule.port == nil || rule.port == port)
                && (rule.proto == nil || rule.proto == proto)
        }
        guard let longest = matching.map(\.source.length).max() else { return .allow }
        let nearest = matching.filter { $0.source.length == longest }
        let named = nearest.filter { $0.port != nil }
        return (named.isEmpty ? nearest : named).contains { $0.action == .deny } ? .deny : .allow
    }

    @Test("no rules: everything is allowed, and the map is empty") func empty() throws {
        let compiled = try CompiledPolicy(PolicyRules(), rulesPerPrefix: 16)
        #expect(compiled.prefixes.isEmpty)
        #expect(compiled.decide(source: a, port: 80, proto: .tcp) == .allow)
    }

    @Test("the longest source prefix decides, whatever the order of the rules") func longest() throws {
        let rules = [try rule(.allow, "10.0.0.1"), try rule(.deny, "10.0.0.0/8")]
        for order in [rules, rules.reversed()] {
            let compiled = try CompiledPolicy(PolicyRules(rules: order), rulesPerPrefix: 16)
            #expect(compiled.decide(source: a, port: 80, proto: .tcp) == .allow)
            #expect(compiled.decide(source: b, port: 80, proto: .tcp) == .deny)
        }
    }

    @Test("a rule that names the port goes before one that does not") func port() throws {
        let policy = PolicyRules(rules: [try rule(.deny, "10.0.0.0/8"), try rule(.allow, "10.0.0.0/8", port: 443)])
        let compiled = try CompiledPolicy(policy, rulesPerPrefix: 16)
        #expect(compiled.decide(source: a, port: 443, proto: .tcp) == .allow)
        #expect(compiled.decide(source: a, port: 80, proto: .tcp) == .deny)
    }

    @Test("deny goes before allow of the same prefix and port") func denyFirst() throws {
        let policy = PolicyRules(rules: [
            try rule(.allow, "10.0.0.0/8", port: 80), try rule(.deny, "10.0.0.0/8", port: 80, .tcp),
        ])
        let compiled = try CompiledPolicy(policy, rulesPerPrefix: 16)
        #expect(compiled.decide(source: a, port: 80, proto: .tcp) == .deny)
        #expect(compiled.decide(source: a, port: 80, proto: .udp) == .allow)
    }

    @Test("rules of shorter prefixes stand behind those of longer ones in one entry") func merged() throws {
        let policy = PolicyRules(rules: [try rule(.allow, "10.0.0.1", port: 80), try rule(.deny, "0.0.0.0/0")])
        let compiled = try CompiledPolicy(policy, rulesPerPrefix: 16)
        let entry = try #require(compiled.prefixes.first { $0.source.length == 32 })
        #expect(
            entry.rules == [
                CompiledRule(port: 80, proto: nil, action: .allow), CompiledRule(port: nil, proto: nil, action: .deny),
            ])
    }

    @Test("a rule that an earlier one hides takes no room") func hidden() throws {
        let policy = PolicyRules(rules: [try rule(.deny, "10.0.0.1"), try rule(.allow, "10.0.0.0/8", port: 80)])
        let compiled = try CompiledPolicy(policy, rulesPerPrefix: 1)
        #expect(compiled.prefixes.last?.rules.count == 1)
    }

    @Test("too many rules for one prefix: an error that names the rule") func tooMany() throws {
        let rules = try (1...17).map { try rule(.deny, "10.0.0.0/8", port: UInt16($0)) }
        let error = #expect(throws: PolicyError.self) {
            try CompiledPolicy(PolicyRules(rules: rules), rulesPerPrefix: 16)
        }
        #expect(error?.code == .tooManyRules(limit: 16))
        #expect(error?.index == 16)
        #expect(error?.description.contains("rule 17 (deny 10.0.0.0/8 port 17)") == true)
    }

    @Test("sixteen rules fit into a prefix") func justEnough() throws {
        let rules = try (1...16).map { try rule(.deny, "10.0.0.0/8", port: UInt16($0)) }
        #expect(try CompiledPolicy(PolicyRules(rules: rules), rulesPerPrefix: 16).prefixes.count == 1)
    }

    @Test("too many source prefixes: an error, nothing half compiled") func tooManyPrefixes() throws {
        let rules = [try rule(.deny, "10.0.0.1"), try rule(.deny, "10.0.0.2"), try rule(.deny, "10.0.0.3")]
        let error = #expect(throws: PolicyError.self) {
            try CompiledPolicy(PolicyRules(rules: rules), rulesPerPrefix: 16, prefixLimit: 2)
        }
        #expect(error?.code == .tooManyPrefixes(limit: 2))
    }

    @Test("port 0, a rule said twice and one that contradicts another are found") func problems() throws {
        let policy = PolicyRules(rules: [
            try rule(.deny, "10.0.0.1", port: 0), try rule(.deny, "10.0.0.2"), try rule(.deny, "10.0.0.2"),
            try rule(.allow, "10.0.0.2"),
        ])
        #expect(policy.problems().map(\.code) == [.portZero, .repeats(index: 1), .contradicts(index: 1)])
        #expect(policy.problems()[2].description.contains("rule 4") == true)
    }

    @Test("a sound policy has no problems") func sound() throws {
        let policy = PolicyRules(rules: [try rule(.deny, "10.0.0.0/8"), try rule(.allow, "10.0.0.0/8", port: 80)])
        #expect(policy.problems().isEmpty)
        #expect(policy.denies)
    }

    @Test("compiled rules decide as the rules read word by word", arguments: 0..<40) func agrees(seed: Int) throws {
        var dice = Dice(state: UInt64(seed))
        let addresses = (0..<8).map { IPv4Address(bits: 0x0a00_0000 | UInt32($0) | UInt32($0 & 3) << 14) }
        let rules = (0..<dice.roll(14)).map { _ in
            PolicyRules.Rule(
                action: dice.roll(2) == 0 ? .allow : .deny,
                source: IPv4Prefix(addresses[dice.roll(8)], length: [0, 8, 16, 17, 24, 30, 31, 32][dice.roll(8)]),
                port: dice.roll(2) == 0 ? nil : UInt16(80 + dice.roll(3)),
                proto: [nil, .tcp, .udp][dice.roll(3)])
        }
        let policy = PolicyRules(rules: rules)
        let compiled = try CompiledPolicy(policy, rulesPerPrefix: 16)
        for source in addresses + [IPv4Address(bits: 0x0b00_0000)] {
            for port in UInt16(79)...84 {
                for proto in TransportProtocol.allCases {
                    #expect(
                        compiled.decide(source: source, port: port, proto: proto) == naive(policy, source, port, proto),
                        "\(rules) for \(source) \(port) \(proto)")
                }
            }
        }
    }
}
