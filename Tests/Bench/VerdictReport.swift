import Cases
import Foundation
import Lab

/// What came of all cases with one knowledge of the ports.
struct Matrix: Encodable {
    enum Roles: String, CaseIterable, Codable {
        case known
        /// Every port's role is `mixed`.
        case mixed
    }
    let roles: Roles
    let findings: [Finding]
    /// Truth, verdict, and how many.
    let counts: [String: [String: Int]]
    var isGood: Bool { findings.allSatisfy(\.isGood) }

    init(roles: Roles, findings: [Finding]) {
        (self.roles, self.findings) = (roles, findings)
        var counts: [String: [String: Int]] = [:]
        for truth in Case.Truth.allCases {
            for verdict in Finding.Verdict.allCases {
                counts[truth.rawValue, default: [:]][verdict.rawValue] = findings.count {
                    $0.truth == truth && $0.verdict == verdict
                }
            }
        }
        self.counts = counts
    }

    var table: String {
        let verdicts = Finding.Verdict.allCases
        var matrix = [["port roles \(roles.rawValue)"] + verdicts.map { "judged \($0.rawValue)" }]
        for truth in Case.Truth.allCases {
            matrix.append(
                ["is a \(truth.rawValue)"] + verdicts.map { "\(counts[truth.rawValue]?[$0.rawValue] ?? 0)" })
        }
        var rows = [["", "case (* plain)", "expected", "got", "ms", "evidence"]]
        for finding in findings {
            let words = ([finding.evidence] + finding.problems.map { "NOT HELD: \($0)" }).filter { !$0.isEmpty }
            rows.append([
                finding.isGood ? "ok" : "BAD", finding.name + (finding.isPlain ? " *" : ""), finding.expected,
                finding.verdict.rawValue, finding.milliseconds.map { String(format: "%.1f", $0) } ?? "-",
                words.joined(separator: "; "),
            ])
        }
        return aligned(matrix) + "\n" + aligned(rows)
    }
}

/// Everything that a run found.
struct VerdictReport: Encodable {
    let machine = Machine()
    var matrices: [Matrix] = []
    var figures: Figures?
    var isGood: Bool { matrices.allSatisfy(\.isGood) && figures?.isGood ?? true }

    /// - Returns: the path of the file.
    func write(to directory: String) throws -> String {
        try machine.write(self, named: "verdicts", to: directory)
    }
}
