public import Model

/// The first look around after a start.
extension Fleet {
    /// Every device of the node was read once. What lives behind one that is not there gets no connection until it
    /// comes back and the instance answers; it keeps its registrations, its policy and its VIP meanwhile.
    public mutating func portsRead(at now: Instant) -> [Action] {
        for (id, instance) in instances where instance.graceUntil != nil {
            guard let place = instance.place, place.role != .uplink, ports[place.port] == nil else { continue }
            lose(id, "port \(place.port) is not there since the start", at: now)
        }
        return finish(at: now)
    }
}
