import Model
import Packets

/// The connections that are known, by the port whose frame showed each first. What is too much goes at the cost of the
/// port that holds most: who opens many or says much pushes out nothing of the others'.
struct Conversations {
    private struct Share {
        var talks: LeastRecent<FiveTuple, Conversation>
        var bytes = 0
    }

    /// Held back in all of them together.
    private(set) var bytes = 0
    private let capacity: Int
    private var ports: [FiveTuple: UInt32] = [:]
    private var shares: [UInt32: Share] = [:]

    init(capacity: Int) { self.capacity = max(1, capacity) }

    var count: Int { ports.count }
    /// Port by port.
    var all: [Conversation] { shares.sorted { $0.key < $1.key }.flatMap { Array($0.value.talks.values) } }

    func contains(_ tuple: FiveTuple) -> Bool { ports[tuple] != nil }

    /// A use.
    mutating func find(_ tuple: FiveTuple) -> Conversation? {
        ports[tuple].flatMap { shares[$0]?.talks.find(tuple) }
    }

    /// Lets it hear or wait, after which it may hold more or less.
    mutating func change(_ talk: Conversation, _ body: (Conversation) -> [Told]) -> [Told] {
        let before = talk.footprint
        let told = body(talk)
        if let port = ports[talk.tuple] { hold(talk.footprint - before, for: port) }
        return told
    }

    /// Adds one that is not known; what had to go for it is returned.
    mutating func add(_ talk: Conversation, from port: UInt32) -> Conversation? {
        let evicted = count < capacity ? nil : removeOldest { $0.talks.count }
        ports[talk.tuple] = port
        _ = shares[port, default: Share(talks: LeastRecent(capacity: capacity))].talks.set(talk.tuple, talk)
        hold(talk.footprint, for: port)
        return evicted
    }

    @discardableResult
    mutating func remove(_ tuple: FiveTuple) -> Conversation? {
        guard let port = ports.removeValue(forKey: tuple), let talk = shares[port]?.talks.remove(tuple) else {
            return nil
        }
        hold(-talk.footprint, for: port)
        if shares[port]?.talks.count == 0 { shares[port] = nil }
        return talk
    }

    /// Removes one if all together hold more than `limit` bytes, but never the last.
    mutating func shed(above limit: Int) -> Conversation? {
        bytes > limit && count > 1 ? removeOldest { $0.bytes } : nil
    }

    /// Of the port whose share is the largest; there are few ports.
    private mutating func removeOldest(by size: (Share) -> Int) -> Conversation? {
        let largest = shares.max { (size($0.value), $0.key) < (size($1.value), $1.key) }?.key
        guard let largest, let oldest = shares[largest]?.talks.oldestKey else { return nil }
        return remove(oldest)
    }

    private mutating func hold(_ more: Int, for port: UInt32) {
        bytes += more
        shares[port]?.bytes += more
    }
}
