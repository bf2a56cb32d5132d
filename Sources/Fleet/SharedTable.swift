import Model

/// A bounded table in which every port has a share: what the guests behind one make us remember pushes out nothing of
/// the others'.
struct SharedTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// More ports than a node can have: so many remembered after they vanished.
    private static var ports: Int { 1024 }
    private let share: Int
    private var tables = BoundedTable<PortName, BoundedTable<Key, Value>>(capacity: Self.ports)

    init(share: Int) { self.share = share }

    subscript(key: Key, of port: PortName) -> Value? { tables[port]?[key] }
    var values: [Value] { tables.values.flatMap(\.values) }

    /// The port is gone, and with it who was behind it.
    mutating func remove(_ port: PortName) { tables.remove(port) }

    mutating func set(_ key: Key, _ value: Value, of port: PortName) {
        tables.set(port, default: BoundedTable(capacity: share)) { $0.set(key, value) }
    }
}
