public import Model

/// What is wrong with a policy, and with which of its rules.
public struct PolicyError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: Hashable, Sendable {
        /// The rules that meet in one source prefix, its own and those of shorter prefixes, are more than there is
        /// room for.
        case tooManyRules(limit: Int)
        case tooManyPrefixes(limit: Int)
        /// Port 0 is no port.
        case portZero
        /// An earlier rule says the same.
        case repeats(index: Int)
        /// An earlier rule says the opposite of the very same packets.
        case contradicts(index: Int)
    }

    public let code: Code
    /// Of the rule, from 0.
    public let index: Int
    public let rule: PolicyRules.Rule

    public init(_ code: Code, index: Int, rule: PolicyRules.Rule) {
        self.code = code
        self.index = index
        self.rule = rule
    }

    public var description: String {
        let subject = "policy rule \(index + 1) (\(Self.text(of: rule)))"
        return switch code {
        case .tooManyRules(let limit):
            "\(subject): more than \(limit) rules meet in one source prefix: merge ports, or split the service"
        case .tooManyPrefixes(let limit):
            "\(subject): more than \(limit) source prefixes in one policy: use shorter prefixes"
        case .portZero: "\(subject): port 0 is no port: leave `port` out to mean any"
        case .repeats(let other): "\(subject): says the same as rule \(other + 1): remove one"
        case .contradicts(let other): "\(subject): says the opposite of rule \(other + 1): remove one"
        }
    }

    static func text(of rule: PolicyRules.Rule) -> String {
        var text = "\(rule.action.rawValue) \(rule.source)"
        if let port = rule.port { text += " port \(port)" }
        if let proto = rule.proto { text += " \(proto.rawValue)" }
        return text
    }
}

extension PolicyRules {
    /// Everything that is wrong with these rules, whatever text they came from; empty: nothing.
    /// Room in the data path is asked of `CompiledPolicy`.
    public func problems() -> [PolicyError] {
        struct Match: Hashable {
            let source: IPv4Prefix
            let port: UInt16?
            let proto: TransportProtocol?
        }
        var seen: [Match: Int] = [:]
        var problems: [PolicyError] = []
        for (index, rule) in rules.enumerated() {
            if rule.port == 0 { problems.append(PolicyError(.portZero, index: index, rule: rule)) }
            let match = Match(source: rule.source, port: rule.port, proto: rule.proto)
            guard let first = seen[match] else {
                seen[match] = index
                continue
            }
            let same = rules[first].action == rule.action
            problems.append(
                PolicyError(same ? .repeats(index: first) : .contradicts(index: first), index: index, rule: rule))
        }
        return problems
    }
}
