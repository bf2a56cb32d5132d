/// One situation that the agent has to judge.
public struct Case: Sendable {
    public enum Truth: String, Codable, Sendable, CaseIterable { case vm, container }

    public let name: String
    public let truth: Truth
    /// It may never stay unknown.
    public let isPlain: Bool
    /// `address:port` of the instance that it is about.
    public let instance: String
    /// How long after the registry's yes an earlier verdict on the same address may stand.
    let delay: Duration

    public init(
        _ name: String, is truth: Truth, plain: Bool = false, at instance: String,
        delay: Duration = .milliseconds(50)
    ) {
        self.name = name
        self.truth = truth
        isPlain = plain
        self.instance = instance
        self.delay = delay
    }
}

/// What came of a case.
public struct Finding: Codable, Sendable {
    public enum Verdict: String, Codable, Sendable, CaseIterable { case vm, container, unknown }

    public let name: String
    public let truth: Case.Truth
    public let isPlain: Bool
    /// The wrong verdict, if there was one at any time, else the last.
    public let verdict: Verdict
    /// From the registry's yes to the first verdict that is not unknown.
    public let milliseconds: Double?
    /// What weighs most, and what would settle it where nothing does.
    public let evidence: String
    /// What else did not hold.
    public let problems: [String]

    public var isWrong: Bool { verdict != .unknown && verdict.rawValue != truth.rawValue }
    public var isGood: Bool { !isWrong && !(isPlain && verdict == .unknown) && problems.isEmpty }
    /// What is allowed.
    public var expected: String { isPlain ? truth.rawValue : "\(truth.rawValue) or unknown" }
}
