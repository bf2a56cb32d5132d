internal import Model

/// Addresses whose place on the wire nobody has seen: asked for by ARP on every port, until one answers or time is up.
struct Search {
    struct Host: Hashable {
        var network: NetworkID
        var address: IPv4Address
    }
    static let patience: Duration = .milliseconds(400)
    private static let most = 1024
    private var waiting: [Host: (deadline: Instant, instances: Set<InstanceID>)] = [:]

    /// False: the same host is searched for already, or too many are.
    mutating func begin(_ host: Host, for instance: InstanceID, at now: Instant) -> Bool {
        if waiting[host] != nil {
            waiting[host]?.instances.insert(instance)
            return false
        }
        guard waiting.count < Self.most else { return false }
        waiting[host] = (now + Self.patience, [instance])
        return true
    }

    mutating func found(_ host: Host) -> Bool { waiting.removeValue(forKey: host) != nil }

    /// Those that nobody answered for.
    mutating func expire(at now: Instant) -> [(host: Host, instances: Set<InstanceID>)] {
        let over = waiting.filter { $0.value.deadline <= now }
        for host in over.keys { waiting[host] = nil }
        return over.map { ($0.key, $0.value.instances) }
    }

    var isEmpty: Bool { waiting.isEmpty }
}
