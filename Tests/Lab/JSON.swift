import Foundation

/// A JSON value from elsewhere. What is absent is null, so that a path is one expression.
public enum JSON: Sendable, Hashable, CustomStringConvertible {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case list([JSON])
    case object([String: JSON])

    public init(parsing text: String) throws {
        do {
            let value = try JSONDecoder().decode(Value.self, from: Data(text.utf8))
            self = value.json
        } catch {
            throw Failure("not JSON: \(text.prefix(200))")
        }
    }

    public subscript(name: String) -> JSON {
        if case .object(let members) = self { members[name] ?? .null } else { .null }
    }
    public var array: [JSON] { if case .list(let values) = self { values } else { [] } }
    public var members: [String: JSON] { if case .object(let members) = self { members } else { [:] } }
    public var string: String? { if case .text(let text) = self { text } else { nil } }
    public var number: Double? { if case .number(let number) = self { number } else { nil } }
    public var bool: Bool? { if case .bool(let bool) = self { bool } else { nil } }

    /// Whether this value, or one at any depth in it, is this text.
    public func mentions(_ text: String) -> Bool {
        switch self {
        case .text(let own): own.contains(text)
        case .list(let values): values.contains { $0.mentions(text) }
        case .object(let members): members.values.contains { $0.mentions(text) }
        default: false
        }
    }

    public var description: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number(let value): value == value.rounded() ? "\(Int(value))" : "\(value)"
        case .text(let value): "\"\(value)\""
        case .list(let values): "[\(values.map(\.description).joined(separator: ", "))]"
        case .object(let members):
            "{\(members.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", "))}"
        }
    }

    private struct Value: Decodable {
        let json: JSON
        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                json = .null
            } else if let value = try? container.decode(Bool.self) {
                json = .bool(value)
            } else if let value = try? container.decode(Double.self) {
                json = .number(value)
            } else if let value = try? container.decode(String.self) {
                json = .text(value)
            } else if let values = try? container.decode([Value].self) {
                json = .list(values.map(\.json))
            } else {
                json = .object(try container.decode([String: Value].self).mapValues(\.json))
            }
        }
    }
}
