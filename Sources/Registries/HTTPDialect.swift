internal import Model

/// A registry's language over HTTP/1.1: what a request asks for, and what its answer makes of that.
protocol HTTPDialect: Dialect {
    /// Bytes of an answer's body that this dialect wants to read, after decompression.
    static var answerBytes: Int { get }

    /// Does this path belong to the registry's API, whatever it does?
    func knows(path: ArraySlice<String>) -> Bool

    /// Nobody knows the path of this request, whose body has not come yet: is it perhaps one of this dialect's?
    func mayKnow(_ head: HTTPRequest) -> Bool

    /// What the request asks for; nil where it is nothing that is advertised, or cannot be read.
    func asked(_ request: HTTPRequest, of registry: RegistryPlace) -> Asked?

    /// What came of it. `answer` is nil where none was seen: then every `accepted` stays nil.
    func settled(_ asked: Asked, by answer: HTTPAnswer?, of registry: RegistryPlace) -> [Advertisement]
}

extension HTTPDialect {
    func mayKnow(_ head: HTTPRequest) -> Bool { false }
}

/// Advertisements that wait for their answer.
struct Asked {
    /// What is said if the registry agrees.
    var advertisements: [Advertisement]
    /// What is said instead if a transaction's comparison fails.
    var otherwise: [Advertisement] = []
    /// The status line does not tell enough: wait for the answer's body.
    var needsBody = false
    /// The dialect's own note of what was called.
    var call = ""
}

/// A request as dialects read it.
struct HTTPRequest {
    var method: String
    /// Path segments, percent-decoded, without empty ones.
    var path: [String]
    var query: [String: String]
    /// By lower-case name; of repeated ones the first.
    var headers: [String: String]
    /// Nil where it was longer than what is read, or cannot be decompressed.
    var body: [UInt8]?

    init(method: String, target: String, headers: [String: String], body: [UInt8]? = []) {
        self.method = method
        self.headers = headers
        self.body = body
        (path, query) = Self.split(target)
    }

    /// Long targets are nobody's: one above this length has no path.
    static let longestTarget = 8192

    private static func split(_ target: String) -> ([String], [String: String]) {
        guard target.utf8.count <= longestTarget else { return ([], [:]) }
        var rest = Substring(target)
        // The absolute form, as sent to proxies (RFC 9112, 3.2.2).
        if let scheme = rest.firstRange(of: "://"), !rest[..<scheme.lowerBound].contains("/") {
            rest = rest[scheme.upperBound...]
            rest = rest.firstIndex(of: "/").map { rest[$0...] } ?? ""
        }
        rest = rest.prefix { $0 != "#" }
        let halves = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = (halves.first ?? "").split(separator: "/").map { decoded($0, plusIsSpace: false) }
        return (path, halves.count > 1 ? pairs(halves[1]) : [:])
    }

    /// Fields of a form in the body (application/x-www-form-urlencoded); empty where the body is none.
    var form: [String: String] {
        guard let body, headers["content-type"]?.lowercased().contains("x-www-form-urlencoded") ?? true else {
            return [:]
        }
        return Self.pairs(Substring(String(decoding: body, as: UTF8.self)))
    }

    /// "name=value&name=value"; of repeated names the first counts.
    private static func pairs(_ text: Substring) -> [String: String] {
        var pairs: [String: String] = [:]
        for pair in text.split(separator: "&", maxSplits: 64).prefix(64) {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = decoded(parts[0], plusIsSpace: true)
            if pairs[name] == nil { pairs[name] = parts.count > 1 ? decoded(parts[1], plusIsSpace: true) : "" }
        }
        return pairs
    }

    /// Percent-decoding (RFC 3986, 2.1); a stray percent sign stands for itself.
    private static func decoded(_ text: Substring, plusIsSpace: Bool) -> String {
        let bytes = Array(text.utf8)
        guard bytes.contains(UInt8(ascii: "%")) || plusIsSpace && bytes.contains(UInt8(ascii: "+")) else {
            return String(text)
        }
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = hex(bytes[index + 1]),
                let low = hex(bytes[index + 2])
            {
                result.append(high << 4 | low)
                index += 3
            } else {
                result.append(plusIsSpace && bytes[index] == UInt8(ascii: "+") ? UInt8(ascii: " ") : bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func hex(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

struct HTTPAnswer {
    var status: Int
    /// Nil where it was not wanted, is longer than what is read, or cannot be decompressed.
    var body: [UInt8]?

    var agrees: Bool { (200..<300).contains(status) }
}
