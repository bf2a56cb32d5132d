import Model
import Packets

/// What is said once to Consul and referred back to. Bounded; what was unused for longest is forgotten.
struct ConsulMemory {
    private struct Name: Hashable {
        var place: RegistryPlace
        var scope: Consul.Scope
        var name: String

        init(_ name: String, _ scope: Consul.Scope, _ place: RegistryPlace) {
            self.place = place
            self.scope = scope
            self.scope.dc = nil
            self.name = name
        }
    }

    /// Heartbeats name the check alone: whose it is and how long it may be silent was said at its registration.
    struct Check {
        var service: String?
        var ttl: Int?
    }

    /// What is registered with a service and goes with it: its sidecar, and its other ports.
    private struct Companion: Equatable {
        var id: String?
        /// Of another port; nil of a sidecar.
        var key: String?
    }

    private var checks = SharedMemory<Name, RegistryPlace.Holder, Check>(capacity: Bounds.remembered)
    private var companions = SharedMemory<Name, RegistryPlace.Holder, [Companion]>(capacity: Bounds.remembered)

    mutating func check(_ id: String, _ scope: Consul.Scope, in place: RegistryPlace) -> Check? {
        checks.find(Name(id, scope, place))
    }

    /// What was agreed to, or may have been, with what follows from it.
    mutating func settled(_ told: [Advertisement], in place: RegistryPlace) -> [Advertisement] {
        var all: [Advertisement] = []
        for one in told {
            all.append(one)
            switch one.op {
            case .register where one.serviceId == nil && one.node == nil: all += replaced(by: one, told, in: place)
            case .deregister: all += goneWith(one, in: place)
            case .heartbeat: all += alsoRenewed(by: one, in: place)
            case .status:
                learn(one, in: place)
                all += alsoRenewed(by: one, in: place)
            default: break
            }
        }
        return all
    }

    private mutating func learn(_ told: Advertisement, in place: RegistryPlace) {
        guard let id = told.id, let ttl = told.ttlSeconds else { return }
        let name = Name(id, Consul.Scope(of: told), place)
        if ttl == 0 {
            _ = checks.remove(name)
        } else if checks.peek(name) == nil || told.serviceId != nil {
            _ = checks.set(name, Check(service: told.serviceId, ttl: ttl), of: place.holder)
        }
    }

    // MARK: - Companions

    /// Ports that the service had and has no more.
    private mutating func replaced(
        by registration: Advertisement, _ told: [Advertisement], in place: RegistryPlace
    ) -> [Advertisement] {
        guard let id = registration.id else { return [] }
        let name = Name(id, Consul.Scope(of: registration), place)
        let new = told.filter { $0.op == .register && $0.serviceId == id }.map { Companion(id: $0.id, key: $0.key) }
        let old = (new.isEmpty ? companions.remove(name) : companions.find(name)) ?? []
        if !new.isEmpty { _ = companions.set(name, new, of: place.holder) }
        return old.filter { $0.key != nil && !new.contains($0) }.map { Self.end(of: $0, with: registration) }
    }

    private mutating func goneWith(_ told: Advertisement, in place: RegistryPlace) -> [Advertisement] {
        guard told.node == nil, let id = told.id else { return [] }
        let gone = companions.remove(Name(id, Consul.Scope(of: told), place)) ?? []
        return gone.map { Self.end(of: $0, with: told) }
    }

    private static func end(of companion: Companion, with told: Advertisement) -> Advertisement {
        var end = Advertisement(registry: Consul.name, op: .deregister)
        end.id = companion.id
        end.key = companion.key
        end.serviceId = told.id
        end.accepted = told.accepted
        (end.namespace, end.partition, end.dc) = (told.namespace, told.partition, told.dc)
        return end
    }

    /// A service's checks are those of its other ports, too.
    private mutating func alsoRenewed(by told: Advertisement, in place: RegistryPlace) -> [Advertisement] {
        guard let service = told.serviceId else { return [] }
        let others = companions.find(Name(service, Consul.Scope(of: told), place)) ?? []
        return others.compactMap(\.key).map { key in
            var also = told
            also.serviceId = key
            return also
        }
    }
}
