internal import Packets

/// A bounded memory in which every holder has a share: what is remembered of one pushes out nothing of the others.
/// Once it is full, whoever has most in it loses what was unused for longest. Every operation is O(1).
struct SharedMemory<Key: Hashable, Holder: Hashable, Value> {
    private var holders: [Key: Holder] = [:]
    private var shares: [Holder: LeastRecent<Key, Value>] = [:]
    /// Holders by how much they have.
    private var ranks: [Int: Set<Holder>] = [:]
    private var most = 0
    let capacity: Int

    init(capacity: Int) { self.capacity = max(1, capacity) }

    var count: Int { holders.count }
    var keys: some Sequence<Key> { holders.keys }

    /// Not a use.
    func peek(_ key: Key) -> Value? {
        guard let holder = holders[key] else { return nil }
        return shares[holder]?.peek(key)
    }

    /// A use.
    mutating func find(_ key: Key) -> Value? {
        guard let holder = holders[key] else { return nil }
        return shares[holder]?.find(key)
    }

    /// A use that changes the value in place; false where there is none.
    mutating func change(_ key: Key, _ body: (inout Value) -> Void) -> Bool {
        guard let holder = holders[key] else { return false }
        return shares[holder]?.change(key, body) ?? false
    }

    /// Sets or replaces, from then on in this holder's share; what had to go for it is returned.
    mutating func set(_ key: Key, _ value: Value, of holder: Holder) -> (key: Key, value: Value)? {
        if holders[key] == holder { return shares[holder]?.set(key, value) }
        remove(key)
        let evicted = count >= capacity ? evict() : nil
        let before = shares[holder]?.count ?? 0
        _ = shares[holder, default: LeastRecent(capacity: capacity)].set(key, value)
        holders[key] = holder
        rank(holder, from: before)
        return evicted
    }

    @discardableResult
    mutating func remove(_ key: Key) -> Value? {
        guard let holder = holders.removeValue(forKey: key) else { return nil }
        let before = shares[holder]?.count ?? 0
        let value = shares[holder]?.remove(key)
        rank(holder, from: before)
        return value
    }

    private mutating func evict() -> (key: Key, value: Value)? {
        guard let holder = ranks[most]?.first, let key = shares[holder]?.oldestKey, let value = remove(key) else {
            return nil
        }
        return (key, value)
    }

    /// What a holder has grew or shrank by one.
    private mutating func rank(_ holder: Holder, from before: Int) {
        let now = shares[holder]?.count ?? 0
        ranks[before]?.remove(holder)
        if ranks[before]?.isEmpty == true { ranks[before] = nil }
        if now > 0 { ranks[now, default: []].insert(holder) } else { shares[holder] = nil }
        most = ranks[most] == nil ? now : max(most, now)
    }
}
