import Model
import Packets

/// How long an instance of Nacos may be silent: said at its registration, not with its beats. Bounded; the longest
/// unused is forgotten, and its beats then renew it for what is the default.
struct NacosMemory {
    /// After this without a beat it is not healthy any more; after twice that it is deleted.
    static let defaultTTL = 15

    private var silences = SharedMemory<PlacedName, RegistryPlace.Holder, Int?>(capacity: Bounds.remembered)

    /// Gives what is told its key, and to a registration or a beat the time that it may be silent from then on.
    mutating func settled(_ told: inout Advertisement, in place: RegistryPlace) {
        guard let key = Self.key(told) else { return }
        told.key = key
        let id = PlacedName(place: place, name: key)
        switch told.op {
        case .register, .heartbeat:
            // A persistent instance has no beats: the server looks after it.
            guard told.ephemeral != false else { return }
            if let own = Self.ttl(told.meta) {
                told.ttlSeconds = own
            } else if told.op == .heartbeat || told.update == true, let known = silences.find(id) {
                told.ttlSeconds = known
            }
            if told.ttlSeconds == nil { told.ttlDefaultSeconds = Self.defaultTTL }
            if told.accepted != false { _ = silences.set(id, told.ttlSeconds, of: place.holder) }
        case .deregister: if told.accepted != false { _ = silences.remove(id) }
        default: break
        }
    }

    /// By which the server knows an instance: within a namespace, its address, port, group and service. The cluster is
    /// no part of it. Nil where one of them is missing.
    static func key(_ told: Advertisement) -> String? {
        guard let service = told.service, let address = told.address, let port = told.port else { return nil }
        let group = told.group ?? NacosName.defaultGroup
        return "\(address)#\(port)#\(group)@@\(service)#\(told.namespace ?? NacosName.defaultNamespace)"
    }

    /// In whole seconds, rounded up.
    private static func ttl(_ meta: [String: String]?) -> Int? {
        guard let text = meta?["preserved.heart.beat.timeout"], let milliseconds = Int64(text),
            (1...Bounds.mostSeconds * 1000).contains(milliseconds)
        else { return nil }
        return Int((milliseconds - 1) / 1000) + 1
    }
}
