import FoundationEssentials

/// A JSON object read by name, where a name counts whatever its case and underscores: registries are as lenient.
/// What is missing, or of another type, is nil.
struct Fields: Decodable {
    private struct Name: CodingKey {
        let stringValue: String
        let intValue: Int? = nil
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    private let container: KeyedDecodingContainer<Name>
    private let names: [String: Name]

    init(from decoder: any Decoder) throws {
        container = try decoder.container(keyedBy: Name.self)
        // Sorted, so that of several spellings always the same one counts: the first that is set, upper case first.
        let keys = container.allKeys.sorted { $0.stringValue < $1.stringValue }
        names = Dictionary(keys.map { (Self.folded($0.stringValue), $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Nil where the bytes are not JSON, not an object, or out of bounds (`JSONBounds`).
    init?(_ bytes: some Collection<UInt8>) {
        guard JSONBounds.admit(bytes), let fields = try? JSONDecoder().decode(Fields.self, from: Data(bytes)) else {
            return nil
        }
        self = fields
    }

    /// A JSON array of objects; nil under the same conditions.
    static func list(_ bytes: some Collection<UInt8>) -> [Fields]? {
        guard JSONBounds.admit(bytes) else { return nil }
        return try? JSONDecoder().decode([Fields].self, from: Data(bytes))
    }

    var isEmpty: Bool { names.isEmpty }

    func has(_ name: String) -> Bool { names[Self.folded(name)] != nil }
    func text(_ name: String) -> String? { value(name) }
    func object(_ name: String) -> Fields? { value(name) }
    func objects(_ name: String) -> [Fields] { value(name) ?? [] }
    func texts(_ name: String) -> [String]? { value(name) }
    func map(_ name: String) -> [String: String]? { value(name) }
    /// With numbers and truth values as text.
    func looseMap(_ name: String) -> [String: String]? { (value(name) as LooseMap?)?.values }
    func flag(_ name: String) -> Bool? { value(name) }

    /// A number, written as one or as text (protocol buffers write 64-bit numbers so).
    func number(_ name: String) -> Int64? { value(name) ?? text(name).flatMap { Int64($0) } }
    /// A number that is written as one.
    func plainNumber(_ name: String) -> Int64? { value(name) }
    func real(_ name: String) -> Double? { value(name) }

    private func value<Value: Decodable>(_ name: String) -> Value? {
        names[Self.folded(name)].flatMap { try? container.decode(Value.self, forKey: $0) }
    }

    private static func folded(_ name: String) -> String { name.lowercased().filter { $0 != "_" } }
}

/// A JSON object of values that are text, or are taken for text; others are left out.
struct LooseMap: Decodable {
    static let most = 1024

    private struct Value: Decodable {
        let text: String?

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let value = try? container.decode(String.self) {
                text = value
            } else if let value = try? container.decode(Bool.self) {
                text = String(value)
            } else if let value = try? container.decode(Int64.self) {
                text = String(value)
            } else {
                text = (try? container.decode(Double.self)).map { String($0) }
            }
        }
    }

    let values: [String: String]

    init(from decoder: any Decoder) throws {
        let all = try decoder.singleValueContainer().decode([String: Value].self)
        guard all.count <= Self.most else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "too many values"))
        }
        values = all.compactMapValues(\.text)
    }

    /// Nil where the bytes are no JSON object, or out of bounds.
    init?(_ bytes: some Collection<UInt8>) {
        guard JSONBounds.admit(bytes), let map = try? JSONDecoder().decode(LooseMap.self, from: Data(bytes)) else {
            return nil
        }
        self = map
    }
}

/// What a stranger's JSON may cost: checked in one pass before a decoder sees it.
enum JSONBounds {
    static let deepest = 32
    static let mostElements = 16_384

    static func admit(_ bytes: some Collection<UInt8>) -> Bool {
        var depth = 0
        var elements = 0
        var inText = false
        var escaped = false
        for byte in bytes {
            if inText {
                if escaped {
                    escaped = false
                } else if byte == UInt8(ascii: "\\") {
                    escaped = true
                } else if byte == UInt8(ascii: "\"") {
                    inText = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): inText = true
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                elements += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: ","): elements += 1
            default: break
            }
            if depth > deepest || depth < 0 || elements > mostElements { return false }
        }
        return depth == 0 && !inText
    }
}

/// What may stand in an advertisement.
enum Bounds {
    static let longestName = 512
    static let longestValue = 65_536
    /// A hundred years.
    static let mostSeconds: Int64 = 3_200_000_000
    /// Of what later messages refer back to, entries of one kind, all places together.
    static let remembered = 16_384

    /// A name or id; nil where it is empty or absurdly long.
    static func name(_ text: String?) -> String? {
        guard let text, !text.isEmpty, text.utf8.count <= longestName else { return nil }
        return text
    }

    /// A time to live; nil where it can be none.
    static func seconds(_ number: Int64?) -> Int? {
        number.flatMap { (1...mostSeconds).contains($0) ? Int($0) : nil }
    }

    /// 0 stands for no port.
    static func port(_ number: Int64?) -> Int? {
        number.flatMap { (0...65535).contains($0) ? Int($0) : nil }
    }

    /// An IP address or host name as it was written; nil where it can be neither.
    static func address(_ text: String?) -> String? {
        guard let text, (1...253).contains(text.utf8.count) else { return nil }
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: ":"):
                true
            default: false
            }
        }
        return isPlain ? text : nil
    }
}
