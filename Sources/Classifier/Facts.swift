public import Model

/// Everything that was seen of one instance, and nothing that was concluded.
public struct Facts: Sendable {
    public var instance: InstanceID
    /// The names under which it is registered.
    public var services: [String] = []
    /// Where its own frames were seen, source address and MAC agreeing; nil: nobody heard it speak.
    public var heard: Place?
    /// Of those frames, as they arrived; nil: not known.
    public var heardHops: UInt8?
    /// Nil: an answer is awaited.
    public var probe: ProbeResult?
    /// Nil: nothing was asked over HTTP, or nothing came of it yet.
    public var http: HTTPFinding?
    /// Who answers ARP or neighbour discovery for its address.
    public var neighbours: [Place] = []
    /// For how many addresses on this network the machine answers that answers for this one.
    public var addressesOfMachine = 1
    /// The container overlay whose frames carried its address.
    public var overlay: OverlaySegment?
    /// Since when an instance is known here.
    public var since: Instant
    /// Another machine had its address until then.
    public var reused: Instant?
    /// Its verdict stood: what a stranger does now is his affair.
    public var carried = false
    /// Another machine says that the address is its own, and who had it is being asked.
    public var contested = false
    /// The operator's word; it settles the verdict.
    public var declared: Verdict?

    public init(instance: InstanceID, since: Instant) {
        self.instance = instance
        self.since = since
    }

    /// The machine that this is about: who answers, or else who spoke.
    var machine: Place? { probe?.place ?? heard ?? (neighbours.count == 1 ? neighbours.first : nil) }
}

/// What is known of the container network, to compare an instance with.
public struct ContainerKnowledge: Sendable {
    public var list = ContainerList()
    /// Ports that lead to it or overlays that carry it are configured: what comes from elsewhere tells something.
    public var hasNetwork = false
    /// How much older than an instance the list may be and still speak about it.
    public var maxAge: Duration = .seconds(60)
    /// Only a list that was made since an instance came may say that it does not hold it, however young an older one is.
    public var mustConfirm = false

    public init() {}

    /// Is there anything to compare with?
    var isKnown: Bool { hasNetwork || list.asOf != nil || !list.isEmpty }

    /// Does the kind of thing that it knows differ, whatever it knows of one instance?
    public func tellsOtherwise(than other: ContainerKnowledge) -> Bool {
        isKnown != other.isKnown || list.hasAddresses != other.list.hasAddresses
            || list.hasServices != other.list.hasServices || (list.asOf == nil) != (other.list.asOf == nil)
    }

    /// Was the list made too long before this instance came? An address that another machine had needs a list made
    /// since then.
    public func isStale(for facts: Facts) -> Bool {
        guard let asOf = list.asOf else { return false }
        if let reused = facts.reused { return asOf < reused }
        return facts.since - asOf > maxAge
    }

    /// Does it tell nothing that the list does not hold this instance? A container may be younger than the list.
    public func isSilenceIdle(for facts: Facts) -> Bool {
        isStale(for: facts) || mustConfirm && !(list.asOf.map { $0 >= facts.since } ?? false)
    }
}
