/// A table that holds so many entries and no more: a new one takes the place of that which was set longest ago.
/// For what strangers make us remember.
struct BoundedTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry: Sendable {
        var value: Value
        var stamp: UInt64
    }
    let capacity: Int
    private var entries: [Key: Entry] = [:]
    /// Every setting, oldest first; one whose stamp is not the entry's any more has been overtaken.
    private var order: [(key: Key, stamp: UInt64)] = []
    private var head = 0
    private var stamp: UInt64 = 0

    init(capacity: Int) { self.capacity = max(1, capacity) }

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }
    /// Most recently set first.
    var values: [Value] { entries.values.sorted { $0.stamp > $1.stamp }.map(\.value) }

    subscript(key: Key) -> Value? { entries[key]?.value }

    mutating func set(_ key: Key, _ value: Value) {
        stamp &+= 1
        entries[key] = Entry(value: value, stamp: stamp)
        order.append((key, stamp))
        while entries.count > capacity { dropOldest() }
        if order.count > 4 * capacity + 64 { compact() }
    }

    /// Changes the value where it lies, without a copy.
    mutating func set(_ key: Key, default value: @autoclosure () -> Value, _ change: (inout Value) -> Void) {
        if entries[key] == nil { set(key, value()) }
        stamp &+= 1
        entries[key]?.stamp = stamp
        change(&entries[key, default: Entry(value: value(), stamp: stamp)].value)
        order.append((key, stamp))
        if order.count > 4 * capacity + 64 { compact() }
    }

    mutating func remove(_ key: Key) { entries[key] = nil }

    private mutating func dropOldest() {
        guard head < order.count else { return }
        let oldest = order[head]
        head += 1
        if entries[oldest.key]?.stamp == oldest.stamp { entries[oldest.key] = nil }
    }

    private mutating func compact() {
        order = order[head...].filter { entries[$0.key]?.stamp == $0.stamp }
        head = 0
    }
}
