internal import Model

/// Addresses whose place on the wire nobody has seen: asked for on every port, until one answers or time is up.
struct Search {
    struct Host: Hashable {
        var network: NetworkID
        var address: IPAddress
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

/// Whom all ports were asked for, lately.
struct AskedNeighbours {
    private static let again: Duration = .seconds(30)
    private static let most = 8192
    private var times: [Search.Host: Instant] = [:]

    /// True: it is time to ask every port.
    mutating func isDue(_ host: Search.Host, at now: Instant) -> Bool {
        if let last = times[host], now < last + Self.again { return false }
        if times.count >= Self.most { times = times.filter { now < $0.value + Self.again } }
        guard times.count < Self.most else { return false }
        times[host] = now
        return true
    }
}
