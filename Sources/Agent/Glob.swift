/// A pattern for device names: `*` is any run of characters, `?` any one, all else itself.
public struct Glob: Hashable, Sendable, CustomStringConvertible {
    public let description: String
    private let pattern: [Character]

    /// Longest name that Linux gives a device (IFNAMSIZ without its NUL).
    static let longestName = 15

    /// Nil where no device could ever match: empty, too long, or with characters that device names never hold.
    public init?(_ text: String) {
        let literal = text.filter { $0 != "*" }
        guard !text.isEmpty, text.count <= 2 * Self.longestName, literal.utf8.count <= Self.longestName,
            !text.contains(where: { $0 == "/" || $0 == "[" || $0 == "]" || $0 == ":" || $0.isWhitespace })
        else { return nil }
        description = text
        pattern = Array(text)
    }

    public func matches(_ name: String) -> Bool {
        let name = Array(name)
        // Row by row of the pattern: which prefixes of the name it can have eaten by then.
        var reached = [true] + [Bool](repeating: false, count: name.count)
        for symbol in pattern {
            if symbol == "*" {
                for i in 0..<name.count where reached[i] { reached[i + 1] = true }
            } else {
                for i in stride(from: name.count, to: 0, by: -1) {
                    reached[i] = reached[i - 1] && (symbol == "?" || symbol == name[i - 1])
                }
                reached[0] = false
            }
        }
        return reached[name.count]
    }

    /// Is there a name that both match?
    public func overlaps(_ other: Glob) -> Bool {
        let (a, b) = (pattern, other.pattern)
        // meet[j]: the first i symbols here and the first j there can have eaten the same text.
        var meet = [Bool](repeating: false, count: b.count + 1)
        for i in 0...a.count {
            var next = [Bool](repeating: false, count: b.count + 1)
            for j in 0...b.count {
                if i == 0 && j == 0 {
                    next[j] = true
                } else {
                    let eatenHere = i > 0 && a[i - 1] == "*" && meet[j]
                    let eatenThere = j > 0 && b[j - 1] == "*" && next[j - 1]
                    // A star may also stand for the other side's next symbol and stay.
                    let starHere = i > 0 && j > 0 && a[i - 1] == "*" && next[j - 1]
                    let starThere = i > 0 && j > 0 && b[j - 1] == "*" && meet[j]
                    let both = i > 0 && j > 0 && meet[j - 1] && Self.agree(a[i - 1], b[j - 1])
                    next[j] = eatenHere || eatenThere || starHere || starThere || both
                }
            }
            meet = next
        }
        return meet[b.count]
    }

    private static func agree(_ a: Character, _ b: Character) -> Bool {
        a == b || a == "?" || b == "?" || a == "*" || b == "*"
    }
}
