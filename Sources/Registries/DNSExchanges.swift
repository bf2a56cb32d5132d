import Model
import Packets

/// Questions and updates that wait for their answer. Bounded: what has to go is told as unanswered.
struct DNSExchanges {
    struct Key: Hashable {
        let registry: RegistryPlace
        let guest: IPAddress
        let guestPort: UInt16
        let id: UInt16

        /// The other way round.
        var reversed: Key {
            Key(
                registry: RegistryPlace(network: registry.network, address: guest, port: guestPort),
                guest: registry.address, guestPort: registry.port, id: id)
        }
    }

    struct Asked {
        let message: DNSMessage
        /// On the wire, in bytes.
        let size: Int
        let key: Key
        var origin: Origin
        /// When it is told without an answer. Resolvers have asked again by then.
        var deadline: Instant
    }

    static let patience = Duration.seconds(5)
    private let mostBytes: Int
    private var waiting: LeastRecent<Key, Asked>
    /// Of the messages that wait, roughly what they hold.
    private(set) var bytes = 0

    init(messages: Int, bytes: Int) {
        waiting = LeastRecent(capacity: messages)
        mostBytes = bytes
    }

    /// - Returns: what must be told without an answer now.
    mutating func ask(_ asked: Asked) -> [Asked] {
        var asked = asked
        var given: [Asked] = []
        if let known = take(asked.key) {
            // The same once more: its sender lost patience, or it was copied on its way out as well.
            if known.message.questions == asked.message.questions, known.message.authority == asked.message.authority {
                asked.origin = known.origin
            } else {
                given.append(known)
            }
        }
        bytes += asked.size
        if let evicted = waiting.set(asked.key, asked) {
            bytes -= evicted.value.size
            given.append(evicted.value)
        }
        while bytes > mostBytes, let oldest = waiting.oldestKey, let known = take(oldest) { given.append(known) }
        return given
    }

    /// What was asked under this key, which waits no longer.
    mutating func take(_ key: Key) -> Asked? {
        guard let known = waiting.remove(key) else { return nil }
        bytes -= known.size
        return known
    }

    mutating func overdue(at now: Instant) -> [Asked] {
        var given: [Asked] = []
        while let deadline, deadline <= now, let oldest = waiting.oldestKey, let known = take(oldest) {
            given.append(known)
        }
        return given
    }

    /// What waits is given up.
    mutating func takeAll() -> [Asked] {
        var given: [Asked] = []
        while let oldest = waiting.oldestKey, let known = take(oldest) { given.append(known) }
        return given
    }

    /// Messages wait in the order of their deadlines.
    var deadline: Instant? { waiting.oldestKey.flatMap { waiting.peek($0)?.deadline } }
}
