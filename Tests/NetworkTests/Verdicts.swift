import Cases
import Lab
import Testing

/// Virtual machines, containers, and what pretends to be one.
extension Networks {
    @Test("nothing is judged wrong, and nothing plain is left open, whether the ports' roles are known or not")
    func verdicts() throws {
        let lab = try Lab()
        defer { lab.tearDown() }
        let stage = try Stage(in: lab)
        for mixed in [false, true] {
            let trials = try Trials(on: stage, remora: Remora.defaultBinary, mixedRoles: mixed)
            try trials.playStatic()
            try trials.playChanging()
            for finding in try trials.findings() {
                #expect(
                    finding.isGood,
                    """
                    \(mixed ? "mixed roles" : "roles known"): \(finding.name) is a \(finding.truth), judged \
                    \(finding.verdict): \(finding.evidence) \(finding.problems.joined(separator: "; "))
                    """)
            }
            try trials.end()
        }
    }
}
