import Model
import Packets

/// Deletions and single bindings name keys alone: which service they belong to, and where it was. Bounded; what was
/// unused for longest is forgotten.
struct UDDIMemory {
    private struct Service {
        var name: String?
        var bindings: Set<String> = []
    }

    private var services = SharedMemory<PlacedName, RegistryPlace.Holder, Service>(capacity: Bounds.remembered)
    private var bindings = SharedMemory<PlacedName, RegistryPlace.Holder, Advertisement>(capacity: Bounds.remembered)

    /// What a service is called.
    mutating func learn(_ service: UDDIService, in place: RegistryPlace) {
        guard let key = service.key, let name = service.name else { return }
        let id = PlacedName(place: place, name: key)
        if !services.change(id, { $0.name = name }) { _ = services.set(id, Service(name: name), of: place.holder) }
    }

    mutating func name(_ told: inout Advertisement, in place: RegistryPlace) {
        guard told.service == nil else { return }
        if told.serviceId == nil, let id = told.id {
            told.serviceId = bindings.find(PlacedName(place: place, name: id))?.serviceId
        }
        told.service = told.serviceId.flatMap { services.find(PlacedName(place: place, name: $0)) }?.name
    }

    /// Keeps a service's bindings.
    ///
    /// - Parameter isWhole: it has no others any more; what it had is told as ended.
    mutating func saved(
        _ service: String, _ told: [Advertisement], isWhole: Bool, in place: RegistryPlace
    ) -> [Advertisement] {
        let id = PlacedName(place: place, name: service)
        var known = services.find(id) ?? Service()
        known.name = told.lazy.compactMap(\.service).first ?? known.name
        let new = Set(told.compactMap(\.id))
        let gone = isWhole ? known.bindings.subtracting(new).sorted() : []
        known.bindings.subtract(gone)
        for one in told {
            guard let key = one.id, known.bindings.count < UDDI.mostEntries || known.bindings.contains(key) else {
                continue
            }
            known.bindings.insert(key)
            _ = bindings.set(PlacedName(place: place, name: key), one, of: place.holder)
        }
        _ = services.set(id, known, of: place.holder)
        return gone.compactMap { key in
            bindings.remove(PlacedName(place: place, name: key)).map {
                Self.end(of: $0, accepted: told.first?.accepted)
            }
        }
    }

    /// A deletion, with what is known of what it names: a binding, or a service with all of its own.
    mutating func ended(_ told: Advertisement, in place: RegistryPlace) -> [Advertisement] {
        if let binding = told.id {
            let key = PlacedName(place: place, name: binding)
            guard let known = bindings.peek(key) else { return [told] }
            if told.accepted != false {
                _ = bindings.remove(key)
                let service = PlacedName(place: place, name: known.serviceId ?? "")
                _ = services.change(service) { $0.bindings.remove(binding) }
            }
            return [Self.end(of: known, accepted: told.accepted)]
        }
        guard let service = told.serviceId else { return [] }
        let id = PlacedName(place: place, name: service)
        var whole = told
        whole.id = service
        whole.service = services.peek(id)?.name
        let held = services.peek(id)?.bindings.sorted() ?? []
        let ended = held.compactMap { key in
            bindings.peek(PlacedName(place: place, name: key)).map { Self.end(of: $0, accepted: told.accepted) }
        }
        if told.accepted != false {
            _ = services.remove(id)
            for key in held { _ = bindings.remove(PlacedName(place: place, name: key)) }
        }
        return ended.isEmpty ? [whole] : ended
    }

    private static func end(of known: Advertisement, accepted: Bool?) -> Advertisement {
        var end = known
        end.op = .deregister
        end.update = nil
        end.accepted = accepted
        return end
    }
}
