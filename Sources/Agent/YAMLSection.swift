internal import Yams

/// One mapping of a YAML file, read key by key. What is wrong goes to `problems`; the reader goes on with a default, so
/// that everything is told at once.
struct YAMLSection {
    /// For people: `ports[2]`. Empty for the whole document.
    let name: String
    let mark: Position?
    let problems: Problems
    private let values: [String: Node]

    /// Tells unknown keys and keys given twice. Nil if the node is no mapping.
    init?(_ node: Node, name: String, keys: [String]?, text: YAMLText, problems: Problems) {
        guard let mapping = node.mapping else {
            problems.add("\(name.isEmpty ? "the file" : name) must be a mapping of keys to values", at: node.position)
            return nil
        }
        var values: [String: Node] = [:]
        var lines: [String: Int] = [:]
        for (key, value) in mapping {
            guard let scalar = key.scalar, let mark = key.position else {
                problems.add("a key must be plain text", at: key.position)
                continue
            }
            if let name = text.earlier[mark] {
                lines[name] = mark.line
                continue
            }
            if let line = lines[scalar.string] {
                problems.add("key '\(scalar.string)' is given twice, first in line \(line)", at: mark)
            }
            if let keys, !keys.contains(scalar.string) {
                problems.add("unknown key '\(scalar.string)'" + didYouMean(scalar.string, among: keys), at: mark)
            } else {
                values[scalar.string] = value
            }
        }
        self.values = values
        self.text = text
        self.name = name
        self.mark = node.position
        self.problems = problems
    }

    private let text: YAMLText

    var keys: [String] { values.keys.sorted() }

    func mark(of key: String) -> Position? { values[key]?.position ?? mark }

    func has(_ key: String) -> Bool { values[key].map { !Self.isNull($0) } ?? false }

    func problem(_ message: String, _ key: String) { problems.add("\(path(key)): \(message)", at: mark(of: key)) }

    func missing(_ key: String, _ what: String) {
        problems.add("\(name.isEmpty ? "" : name + ": ")'\(key)' is missing: \(what)", at: mark)
    }

    // MARK: values

    /// The text of a scalar. Nil, and told, if it is anything else; nil where the key is absent.
    func string(_ key: String) -> String? {
        guard let node = values[key], !Self.isNull(node) else { return nil }
        guard let scalar = node.scalar else {
            problem("must be a single value", key)
            return nil
        }
        return scalar.string
    }

    func integer(_ key: String, in range: ClosedRange<Int>) -> Int? {
        guard let text = string(key) else { return nil }
        guard let number = Int(text), range.contains(number) else {
            problem("'\(text)' is no whole number from \(range.lowerBound) to \(range.upperBound)", key)
            return nil
        }
        return number
    }

    func flag(_ key: String) -> Bool? {
        guard let text = string(key) else { return nil }
        guard let flag = Bool(text) else {
            problem("'\(text)' is neither true nor false", key)
            return nil
        }
        return flag
    }

    func duration(_ key: String, in range: ClosedRange<Duration>) -> Duration? {
        guard let text = string(key) else { return nil }
        guard let duration = Duration(text: text) else {
            problem("'\(text)' is no duration: write a whole number and ms, s, m, h or d, such as 30s", key)
            return nil
        }
        guard range.contains(duration) else {
            problem("\(text) is not within \(range.lowerBound.text) to \(range.upperBound.text)", key)
            return nil
        }
        return duration
    }

    func choice<Value: RawRepresentable<String> & CaseIterable>(_ key: String, of: Value.Type = Value.self) -> Value? {
        guard let text = string(key) else { return nil }
        guard let value = Value(rawValue: text) else {
            problem("unknown value '\(text)'" + didYouMean(text, among: Value.allCases.map(\.rawValue)), key)
            return nil
        }
        return value
    }

    /// A value that reads itself from text; `what` says what it should have been.
    func value<Value: LosslessStringConvertible>(_ key: String, _ what: String, of: Value.Type = Value.self) -> Value? {
        guard let text = string(key) else { return nil }
        guard let value = Value(text) else {
            problem("'\(text)' is no \(what)", key)
            return nil
        }
        return value
    }

    func absolutePath(_ key: String) -> String? {
        guard let path = string(key) else { return nil }
        guard path.hasPrefix("/"), path.utf8.count < 4096, !path.utf8.contains(0) else {
            problem("'\(path)' is no absolute path", key)
            return nil
        }
        return path
    }

    // MARK: what is inside

    /// `keys` nil: any.
    func section(_ key: String, keys: [String]?) -> YAMLSection? {
        guard let node = values[key], !Self.isNull(node) else { return nil }
        return YAMLSection(node, name: path(key), keys: keys, text: text, problems: problems)
    }

    func sections(_ key: String, keys: [String], most: Int) -> [YAMLSection] {
        items(key, most: most).compactMap { index, node in
            YAMLSection(node, name: "\(path(key))[\(index)]", keys: keys, text: text, problems: problems)
        }
    }

    /// The texts of a list, each with its mark.
    func strings(_ key: String, most: Int) -> [(text: String, mark: Position?)] {
        items(key, most: most).compactMap { index, node in
            guard let scalar = node.scalar else {
                problems.add("\(path(key))[\(index)]: must be a single value", at: node.position)
                return nil
            }
            return (scalar.string, node.position)
        }
    }

    private func items(_ key: String, most: Int) -> [(Int, Node)] {
        guard let node = values[key], !Self.isNull(node) else { return [] }
        guard let sequence = node.sequence else {
            problem("must be a list", key)
            return []
        }
        if sequence.count > most { problem("has \(sequence.count) entries, at most \(most) are read", key) }
        return Array(sequence.prefix(most).enumerated()).map { ($0.offset, $0.element) }
    }

    private func path(_ key: String) -> String { name.isEmpty ? key : "\(name).\(key)" }

    /// A key with nothing behind it counts as absent.
    static func isNull(_ node: Node) -> Bool {
        guard let scalar = node.scalar else { return false }
        return scalar.style == .plain && ["", "~", "null"].contains(scalar.string)
    }
}
