import Model
import Packets

/// Which keys hang on which lease or session: its end names it alone. Bounded; the longest unused is forgotten, and a
/// key whose registration is forgotten is still known to whoever was told of it.
struct LeasedKeys {
    private struct Lease {
        var ttl: Int?
        var keys: Set<String> = []
    }

    private var keys = SharedMemory<PlacedName, RegistryPlace.Holder, [Advertisement]>(capacity: Bounds.remembered)
    private var leases = SharedMemory<PlacedName, RegistryPlace.Holder, Lease>(capacity: Bounds.remembered)

    /// A lease was granted or renewed.
    mutating func granted(_ told: Advertisement, in place: RegistryPlace) {
        guard let lease = told.leaseId else { return }
        let id = PlacedName(place: place, name: lease)
        if !leases.change(id, { $0.ttl = told.ttlSeconds ?? $0.ttl }) {
            _ = leases.set(id, Lease(ttl: told.ttlSeconds), of: place.holder)
        }
    }

    /// In seconds.
    mutating func ttl(ofLease lease: String, in place: RegistryPlace) -> Int? {
        leases.find(PlacedName(place: place, name: lease))?.ttl
    }

    mutating func put(_ told: Advertisement, at key: String?, in place: RegistryPlace) {
        put([told], at: key, in: place)
    }

    /// - Parameter told: the endpoints that one value names.
    mutating func put(_ told: [Advertisement], at key: String?, in place: RegistryPlace) {
        guard let key else { return }
        deleted(key, in: place)
        let kept = told.map { told in
            var kept = told
            // Not needed again, and the longest part.
            kept.value = nil
            kept.tags = nil
            kept.meta = nil
            return kept
        }
        if let evicted = keys.set(PlacedName(place: place, name: key), kept, of: place.holder) {
            unbind(evicted.key, evicted.value)
        }
        guard let lease = told.first?.leaseId else { return }
        let id = PlacedName(place: place, name: lease)
        if !leases.change(id, { $0.keys.insert(key) }) { _ = leases.set(id, Lease(keys: [key]), of: place.holder) }
    }

    mutating func deleted(_ key: String, in place: RegistryPlace) {
        let id = PlacedName(place: place, name: key)
        if let told = keys.remove(id) { unbind(id, told) }
    }

    func holds(lease: String, in place: RegistryPlace) -> Bool {
        leases.peek(PlacedName(place: place, name: lease))?.keys.isEmpty == false
    }

    /// What was registered on the lease.
    mutating func revoked(_ lease: String, in place: RegistryPlace) -> [Advertisement] {
        guard let known = leases.remove(PlacedName(place: place, name: lease)) else { return [] }
        return known.keys.sorted().flatMap { keys.remove(PlacedName(place: place, name: $0)) ?? [] }
    }

    /// Registrations at `key`, or in the half-open range to `end`; an `end` of one zero byte stands for all that follow.
    func keys(from key: String, to end: [UInt8], in place: RegistryPlace) -> [Advertisement] {
        if end.isEmpty { return keys.peek(PlacedName(place: place, name: key)) ?? [] }
        let first = Array(key.utf8)
        return keys(in: place) { bytes in
            !bytes.lexicographicallyPrecedes(first) && (end == [0] || bytes.lexicographicallyPrecedes(end))
        }
    }

    func keys(under key: String, in place: RegistryPlace, isPrefix: Bool) -> [Advertisement] {
        guard isPrefix else { return keys(from: key, to: [], in: place) }
        let prefix = Array(key.utf8)
        return keys(in: place) { $0.starts(with: prefix) }
    }

    private func keys(in place: RegistryPlace, where matches: (String.UTF8View) -> Bool) -> [Advertisement] {
        keys.keys.filter { $0.place == place && matches($0.name.utf8) }.sorted { $0.name < $1.name }
            .flatMap { keys.peek($0) ?? [] }
    }

    private mutating func unbind(_ id: PlacedName, _ told: [Advertisement]) {
        guard let lease = told.first?.leaseId else { return }
        _ = leases.change(PlacedName(place: id.place, name: lease)) { $0.keys.remove(id.name) }
    }
}

extension Advertisement {
    /// The end of what this registered.
    var withdrawn: Advertisement {
        var told = self
        told.op = .deregister
        told.ttlSeconds = nil
        told.value = nil
        told.tags = nil
        told.meta = nil
        told.accepted = nil
        told.update = nil
        return told
    }
}
