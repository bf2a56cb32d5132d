/// A dictionary of bounded size that forgets what was not used for longest. Every operation is O(1).
public struct LeastRecent<Key: Hashable, Value> {
    private struct Node {
        var key: Key
        var value: Value
        var older: Int
        var newer: Int

        mutating func change(_ body: (inout Value) -> Void) { body(&value) }
    }

    private var places: [Key: Int] = [:]
    private var nodes: [Node?] = []
    private var free: [Int] = []
    private var oldest = -1
    private var newest = -1
    public let capacity: Int

    public init(capacity: Int) { self.capacity = max(1, capacity) }

    public var count: Int { places.count }
    public var oldestKey: Key? { oldest >= 0 ? nodes[oldest]?.key : nil }
    /// In no order; not a use.
    public var values: some Sequence<Value> { nodes.lazy.compactMap { $0?.value } }
    public var keys: some Sequence<Key> { places.keys }

    /// Not a use.
    public func peek(_ key: Key) -> Value? { places[key].flatMap { nodes[$0]?.value } }

    /// A use.
    public mutating func find(_ key: Key) -> Value? {
        guard let place = places[key] else { return nil }
        unlink(place)
        linkNewest(place)
        return nodes[place]?.value
    }

    /// A use that changes the value in place; false where there is none.
    public mutating func change(_ key: Key, _ body: (inout Value) -> Void) -> Bool {
        guard let place = places[key] else { return false }
        unlink(place)
        linkNewest(place)
        nodes[place]?.change(body)
        return true
    }

    /// Sets or replaces; what had to go for it is returned.
    public mutating func set(_ key: Key, _ value: Value) -> (key: Key, value: Value)? {
        if let place = places[key] {
            nodes[place]?.value = value
            unlink(place)
            linkNewest(place)
            return nil
        }
        var evicted: (key: Key, value: Value)?
        if count >= capacity, let key = oldestKey, let value = remove(key) { evicted = (key, value) }
        let node = Node(key: key, value: value, older: -1, newer: -1)
        let place: Int
        if let slot = free.popLast() {
            place = slot
            nodes[place] = node
        } else {
            place = nodes.count
            nodes.append(node)
        }
        places[key] = place
        linkNewest(place)
        return evicted
    }

    @discardableResult
    public mutating func remove(_ key: Key) -> Value? {
        guard let place = places.removeValue(forKey: key) else { return nil }
        unlink(place)
        let value = nodes[place]?.value
        nodes[place] = nil
        free.append(place)
        return value
    }

    private mutating func unlink(_ place: Int) {
        guard let node = nodes[place] else { return }
        if node.older >= 0 { nodes[node.older]?.newer = node.newer } else { oldest = node.newer }
        if node.newer >= 0 { nodes[node.newer]?.older = node.older } else { newest = node.older }
    }

    private mutating func linkNewest(_ place: Int) {
        nodes[place]?.older = newest
        nodes[place]?.newer = -1
        if newest >= 0 { nodes[newest]?.newer = place } else { oldest = place }
        newest = place
    }
}
