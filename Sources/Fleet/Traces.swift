public import Model

/// What was seen of an instance beside where it speaks and answers.
public struct Traces: Hashable, Sendable, Codable {
    /// Since when it is known here.
    public var since: Instant
    /// Another machine had its address until then.
    public var reused: Instant?
    /// Of the frames that registered it, as they arrived.
    public var hopLimit: UInt8?
    /// Who answers ARP or neighbour discovery for its address.
    public var neighbours: [Neighbour] = []
    /// The container overlay whose frames carried its address.
    public var overlay: OverlaySegment?
    /// Asked once; nil in journals of older agents, too.
    public var http: HTTPFinding?

    public struct Neighbour: Hashable, Sendable, Codable {
        public var place: Place
        /// When it was first seen there.
        public var time: Instant
    }

    init(since: Instant) { self.since = since }

    /// More machines than this that answer for one address are no other finding than two.
    private static let most = 4

    /// False: known already. What is older than `life` is not believed any more.
    mutating func answered(by place: Place, at now: Instant, life: Duration) -> Bool {
        let before = neighbours
        neighbours.removeAll { now - $0.time > life || ($0.place.mac == place.mac && $0.place != place) }
        if !neighbours.contains(where: { $0.place == place }), neighbours.count < Self.most {
            neighbours.append(Neighbour(place: place, time: now))
        }
        return neighbours != before
    }

    /// Another machine has the address now.
    mutating func begin(anew now: Instant) {
        self = Traces(since: now)
        reused = now
    }
}

/// A machine, as far as a frame tells.
struct MachineID: Hashable, Sendable {
    let network: NetworkID
    let mac: MACAddress
}
