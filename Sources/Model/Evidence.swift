public enum Verdict: String, Codable, Sendable, CaseIterable { case vm, container, unknown }

/// One piece of evidence on where an instance runs.
public struct Evidence: Hashable, Sendable, Codable {
    public enum Kind: String, Codable, Sendable {
        case portRole, containerList, containerRange, probe, declared, sourceBinding
    }
    public var kind: Kind
    /// Above 0 for a VM, below 0 for a container; 100 settles it.
    public var weight: Int
    /// For people.
    public var sentence: String
    public var time: Instant

    public init(kind: Kind, weight: Int, sentence: String, time: Instant) {
        self.kind = kind
        self.weight = weight
        self.sentence = sentence
        self.time = time
    }
}

/// A verdict and what it rests on, heaviest first.
public struct Judgement: Hashable, Sendable, Codable {
    public var verdict: Verdict
    public var score: Int
    public var evidence: [Evidence]
    /// Where the address answers, if a probe or its own frames told.
    public var place: Place?
    /// What would settle an unknown verdict; nil where it is settled.
    public var missing: String?

    public init(verdict: Verdict, score: Int, evidence: [Evidence], place: Place?, missing: String? = nil) {
        self.verdict = verdict
        self.score = score
        self.evidence = evidence
        self.place = place
        self.missing = missing
    }
}

/// Where an address lives on the wire.
public struct Place: Hashable, Sendable, Codable {
    public var port: PortName
    public var role: PortRole
    public var mac: MACAddress

    public init(port: PortName, role: PortRole, mac: MACAddress) {
        self.port = port
        self.role = role
        self.mac = mac
    }
}

/// What a TCP probe of an instance found.
public enum ProbeResult: Hashable, Sendable, Codable {
    /// It answered (SYN-ACK: open, RST: closed) from this place, with this hop limit.
    case answered(Place, open: Bool, hopLimit: UInt8)
    case silent
    /// Not sent, and why: switched off, no source address, no such port ...
    case notSent(String)
}
