public enum Verdict: String, Codable, Sendable, CaseIterable { case vm, container, unknown }

/// One piece of evidence on where an instance runs.
public struct Evidence: Hashable, Sendable, Codable {
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// The operator's word.
        case declared
        /// The instance answered a probe, or did not.
        case probe
        /// What its port said to a request over HTTP.
        case httpProbe
        /// Who answers ARP or neighbour discovery for its address.
        case neighbour
        /// The port where its own frames were seen, and that port's role.
        case portRole
        /// Frames or answers that a router has passed on.
        case hopLimit
        /// Its address and socket, compared with what the container platform lists.
        case containerList
        /// Its service, looked up among the platform's.
        case containerService
        case containerRange
        case overlay
        case sharedMAC
        case macPrefix
        /// Whether who registered it is who answers.
        case sourceBinding
    }
    public var kind: Kind
    /// Above 0 for a VM, below 0 for a container; 100 settles it.
    public var weight: Int
    /// For people.
    public var sentence: String
    /// What was seen, where and from whom.
    public var seen: Sighting?
    /// Since when it is so.
    public var time: Instant

    public init(kind: Kind, weight: Int, sentence: String, seen: Sighting? = nil, time: Instant) {
        self.kind = kind
        self.weight = weight
        self.sentence = sentence
        self.seen = seen
        self.time = time
    }

    /// Evidence this heavy decides; two such that disagree make `unknown`. Lighter evidence only adds to the score.
    public static let strong = 40
    public var isStrong: Bool { abs(weight) >= Self.strong }
}

/// What a piece of evidence was read off. Absent: it says nothing of that.
public struct Sighting: Hashable, Sendable, Codable {
    public var address: IPAddress?
    public var place: Place?
    /// TTL or hop limit as it arrived.
    public var hopLimit: UInt8?
    public var overlay: OverlaySegment?
    /// From the first frame that asked to the answer, as the kernel saw it come in.
    public var microseconds: Int?

    public init(
        address: IPAddress? = nil, place: Place? = nil, hopLimit: UInt8? = nil, overlay: OverlaySegment? = nil,
        microseconds: Int? = nil
    ) {
        self.address = address
        self.place = place
        self.hopLimit = hopLimit
        self.overlay = overlay
        self.microseconds = microseconds
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
    /// Of the tag that its frames carry there; nil: none.
    public var vlan: UInt16?

    public init(port: PortName, role: PortRole, mac: MACAddress, vlan: UInt16? = nil) {
        self.port = port
        self.role = role
        self.mac = mac
        self.vlan = vlan
    }
}

/// What a probe of an instance found. Microseconds: from the first frame that asked to the answer; nil: not known.
public enum ProbeResult: Hashable, Sendable, Codable {
    /// It answered (SYN-ACK or an answer in its protocol: open, RST or ICMP: closed) from this place.
    case answered(Place, open: Bool, hopLimit: UInt8, microseconds: Int? = nil)
    /// Its port was silent, but its machine answered an ICMP echo.
    case present(Place, hopLimit: UInt8, microseconds: Int? = nil)
    case silent
    /// Not sent, and why: switched off, no source address, no such port ...
    case notSent(String)

    public var place: Place? {
        switch self {
        case .answered(let place, _, _, _), .present(let place, _, _): place
        case .silent, .notSent: nil
        }
    }

    public var hopLimit: UInt8? {
        switch self {
        case .answered(_, _, let hops, _), .present(_, let hops, _): hops
        case .silent, .notSent: nil
        }
    }

    public var microseconds: Int? {
        switch self {
        case .answered(_, _, _, let time), .present(_, _, let time): time
        case .silent, .notSent: nil
        }
    }

    /// Does it find what `earlier` found, however long it took?
    public func repeats(_ earlier: ProbeResult?) -> Bool {
        switch (self, earlier) {
        case (.answered(let place, let open, let hops, _), .answered(let old, let wasOpen, let oldHops, _)):
            place == old && open == wasOpen && hops == oldHops
        case (.present(let place, let hops, _), .present(let old, let oldHops, _)): place == old && hops == oldHops
        default: self == earlier
        }
    }

    /// The same answer, with another name for the place that it came from.
    public func moved(to place: Place) -> ProbeResult {
        switch self {
        case .answered(_, let open, let hops, let time):
            .answered(place, open: open, hopLimit: hops, microseconds: time)
        case .present(_, let hops, let time): .present(place, hopLimit: hops, microseconds: time)
        case .silent, .notSent: self
        }
    }
}
