/// One thing that is wrong with a file, and where. Lines and columns count from 1; line 0 means the file as a whole.
public struct Problem: Hashable, Sendable, CustomStringConvertible {
    public let file: String
    public let line: Int
    public let column: Int
    public let message: String

    public init(file: String, line: Int = 0, column: Int = 0, message: String) {
        self.file = file
        self.line = line
        self.column = column
        self.message = message
    }

    /// `file:line:column: message`, as compilers write it and editors follow it.
    public var description: String { line == 0 ? "\(file): \(message)" : "\(file):\(line):\(column): \(message)" }
}

/// Everything that is wrong with a file, in the order of its lines. Never empty.
public struct ProblemList: Error, Hashable, Sendable, CustomStringConvertible {
    public let problems: [Problem]

    init(_ problems: [Problem]) {
        self.problems = problems.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
    }

    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// What was probably meant: the known word that is fewest keystrokes away, if it is close.
func didYouMean(_ word: String, among known: [String]) -> String {
    let ranked = known.map { ($0, editDistance(word.lowercased(), $0.lowercased())) }.min { $0.1 < $1.1 }
    guard let (best, distance) = ranked, distance <= max(1, best.count / 3) else {
        return " (known: \(known.joined(separator: ", ")))"
    }
    return "; did you mean '\(best)'?"
}

/// Levenshtein distance. Words longer than a key ever is count as far.
private func editDistance(_ a: String, _ b: String) -> Int {
    let (a, b) = (Array(a), Array(b))
    guard a.count <= 64, b.count <= 64 else { return .max }
    var row = Array(0...b.count)
    for (i, left) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, right) in b.enumerated() {
            let substituted = diagonal + (left == right ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(substituted, row[j] + 1, row[j + 1] + 1)
        }
    }
    return row[b.count]
}
