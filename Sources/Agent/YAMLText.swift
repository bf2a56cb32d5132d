internal import Yams

/// The documents of a YAML text as nodes with marks, within bounds. What is wrong goes to `problems`.
///
/// Yams stops at the first duplicate key of a text; here each is taken out in turn, so that all are told, with the
/// line of the later one, and the rest of the file is still read.
struct YAMLText {
    let documents: [Node]
    /// Where the earlier one of two equal keys was taken out, and what it was called.
    let earlier: [Position: String]

    static let longestText = 1 << 20
    private static let mostDuplicates = 64

    /// Nil if not even the shape could be read.
    init?(_ text: String, problems: Problems) {
        guard text.utf8.count <= Self.longestText else {
            problems.add("longer than \(Self.longestText) bytes", at: nil)
            return nil
        }
        guard Self.hasNoAnchors(text, problems: problems) else { return nil }
        // A carriage return and its line feed are one Character, and would hide the line from the marks.
        var text = String(String.UnicodeScalarView(text.unicodeScalars.filter { $0 != "\r" }))
        var earlier: [Position: String] = [:]
        while true {
            do {
                documents = try Self.compose(text)
                self.earlier = earlier
                return
            } catch .duplicatedKeysInMapping(let names, let context) {
                guard let name = names.first, earlier.count < Self.mostDuplicates,
                    let without = Self.replaceKey(name, at: context.mark, in: text, by: earlier.count)
                else {
                    problems.add("key '\(names.first ?? "?")' is given twice", at: Position(context.mark))
                    return nil
                }
                earlier[Position(context.mark)] = name
                text = without
            } catch {
                problems.add(Self.sentence(error), at: Self.mark(error))
                return nil
            }
        }
    }

    private static func compose(_ text: String) throws(YamlError) -> [Node] {
        do {
            let parser = try Parser(yaml: text, encoding: .utf8)
            var documents: [Node] = []
            while let root = try parser.nextRoot() { documents.append(root) }
            return documents
        } catch let error as YamlError {
            throw error
        } catch {
            throw .writer(problem: "\(error)")
        }
    }

    /// Anchors and aliases make small texts large; nothing here needs them.
    private static func hasNoAnchors(_ text: String, problems: Problems) -> Bool {
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var before: Character = " "
            for (column, character) in line.enumerated() {
                let opens = " \t[{,".contains(before)
                if character == "#" && opens { break }
                if character == "&" && opens {
                    problems.add(
                        "YAML anchors (&name) are not read", at: Position(line: number + 1, column: column + 1))
                    return false
                }
                before = character
            }
        }
        return true
    }

    /// The text with the key at `mark` renamed to something that no file holds, as many characters long.
    private static func replaceKey(_ name: String, at mark: Mark, in text: String, by number: Int) -> String? {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.indices.contains(mark.line - 1), mark.column >= 1, !name.isEmpty,
            // Of the private use area: as long as any other in columns.
            let unused = Unicode.Scalar(0xe000 + UInt32(number))
        else { return nil }
        var scalars = Array(lines[mark.line - 1].unicodeScalars)
        let start = mark.column - 1
        guard scalars.count >= start + name.unicodeScalars.count,
            Array(name.unicodeScalars) == Array(scalars[start..<start + name.unicodeScalars.count])
        else { return nil }
        scalars[start] = unused
        var line = String.UnicodeScalarView()
        line.append(contentsOf: scalars)
        lines[mark.line - 1] = String(line)
        return lines.joined(separator: "\n")
    }

    private static func mark(_ error: YamlError) -> Position? {
        switch error {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): Position(mark)
        default: nil
        }
    }

    private static func sentence(_ error: YamlError) -> String {
        switch error {
        case .scanner(let context, let problem, _, _), .parser(let context, let problem, _, _),
            .composer(let context, let problem, _, _):
            context.map { "\(problem), \($0.text)" } ?? problem
        case .reader(let problem, _, _, _): problem
        default: "\(error)"
        }
    }
}

/// A place in a text; both count from 1, columns in Unicode scalars.
struct Position: Hashable {
    let line: Int
    let column: Int

    init(line: Int, column: Int) { (self.line, self.column) = (line, column) }
    init(_ mark: Mark) { (line, column) = (mark.line, mark.column) }
}

extension Node {
    var position: Position? { mark.map { Position($0) } }
}

/// Collects what is wrong with one file.
final class Problems {
    let file: String
    private(set) var list: [Problem] = []
    /// Enough to mend a file by; a text made to fail everywhere fills no memory.
    private static let most = 100

    init(file: String) { self.file = file }

    func add(_ message: String, at mark: Position?) {
        guard list.count < Self.most else { return }
        list.append(Problem(file: file, line: mark?.line ?? 0, column: mark?.column ?? 0, message: message))
    }

    func throwIfAny() throws(ProblemList) {
        if !list.isEmpty { throw ProblemList(list) }
    }
}
