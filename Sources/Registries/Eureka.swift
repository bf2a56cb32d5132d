import Model
import Packets

/// Eureka's REST operations (https://github.com/Netflix/eureka/wiki/Eureka-REST-operations), in JSON and XML, below
/// /eureka, /eureka/v2 or any other place.
final class Eureka: HTTPDialect {
    static let name = "eureka"
    static let usualPorts: [UInt16] = [8761]
    /// The status line says it all.
    static let answerBytes = 0

    private(set) var unreadable = 0
    private var memory = EurekaMemory()

    /// An instance that gives no time is held for this long without a renewal, in seconds.
    static let defaultTTL = 90

    private static let collections: Set<String> = ["apps", "vips", "svips", "instances"]
    private static let longestPrefix = 4

    func knows(path: ArraySlice<String>) -> Bool {
        path.first == "eureka" || Self.operation(Array(path)) != nil
    }

    func asked(_ request: HTTPRequest, of registry: RegistryPlace) -> Asked? {
        guard let (collection, names) = Self.operation(request.path), names.allSatisfy({ Bounds.name($0) != nil })
        else { return nil }
        guard collection == "apps" else {
            guard request.method == "GET", names.count == 1 else { return nil }
            return Asked(advertisements: [lookUp(collection, names[0], registry)])
        }
        let told: Advertisement?
        switch (request.method, names.count, names.last) {
        case ("GET", 0...2, _): told = lookUp(names)
        case ("POST", 1, _): told = registration(request, names[0], registry)
        case ("PUT", 2, _): told = renewal(request, names, registry)
        case ("DELETE", 2, _): told = named(.deregister, names)
        case ("PUT", 3, "status"), ("DELETE", 3, "status"): told = override(request, names)
        case ("PUT", 3, "metadata"): told = metadata(request, names)
        default: told = nil
        }
        return told.map { Asked(advertisements: [$0]) }
    }

    func settled(_ asked: Asked, by answer: HTTPAnswer?, of registry: RegistryPlace) -> [Advertisement] {
        asked.advertisements.map { advertisement in
            var told = advertisement
            told.accepted = answer?.agrees
            if told.accepted != false { memory.settled(told, in: registry) }
            return told
        }
    }

    // MARK: - Requests

    /// The collection that a path names, and what follows it.
    private static func operation(_ path: [String]) -> (collection: String, names: [String])? {
        guard let index = path.indices.prefix(longestPrefix + 1).first(where: { collections.contains(path[$0]) }) else {
            return nil
        }
        let names = Array(path[(index + 1)...])
        return names.count <= 3 ? (path[index], names) : nil
    }

    /// The server knows applications by their upper-case names.
    private func named(_ op: Advertisement.Operation, _ names: [String]) -> Advertisement {
        var told = Advertisement(registry: Self.name, op: op)
        told.service = names.first?.uppercased()
        told.id = names.count > 1 ? names[1] : nil
        told.key = EurekaMemory.key(told)
        return told
    }

    private func lookUp(_ names: [String]) -> Advertisement {
        // What changed since the last time, of all applications.
        names == ["delta"] ? named(.discover, []) : named(.discover, names)
    }

    private func lookUp(_ collection: String, _ name: String, _ place: RegistryPlace) -> Advertisement {
        var told = Advertisement(registry: Self.name, op: .discover)
        if collection == "instances" {
            told.id = name
            told.service = memory.app(ofInstance: name, in: place)
        } else {
            // A virtual address is what an application calls itself to its clients, mostly by the same name.
            told.service = memory.app(ofVIP: name, in: place) ?? name
        }
        return told
    }

    private func registration(_ request: HTTPRequest, _ app: String, _ place: RegistryPlace) -> Advertisement? {
        guard let body = request.body, let instance = EurekaInstance(body), let id = instance.id else {
            unreadable += 1
            return nil
        }
        var told = named(.register, [instance.app ?? app, id])
        instance.describe(&told)
        if told.ttlSeconds == nil { told.ttlDefaultSeconds = Self.defaultTTL }
        if memory.holds(told, in: place) { told.update = true }
        memory.learn(instance.vips, of: told, in: place)
        return told
    }

    private func renewal(_ request: HTTPRequest, _ names: [String], _ place: RegistryPlace) -> Advertisement {
        var told = named(.heartbeat, names)
        told.status = Bounds.name(request.query["status"])
        told.ttlSeconds = memory.ttl(of: told, in: place)
        return told
    }

    /// Set by the request's value; taken back, with what is to be assumed until the instance says so itself.
    private func override(_ request: HTTPRequest, _ names: [String]) -> Advertisement {
        var told = named(.status, names)
        told.status = Bounds.name(request.query["value"])
        return told
    }

    private func metadata(_ request: HTTPRequest, _ names: [String]) -> Advertisement {
        var told = named(.status, names)
        told.meta = request.query
        told.update = true
        return told
    }
}

/// What Eureka's requests refer back to. Bounded; what was unused for longest is forgotten.
struct EurekaMemory {
    private struct Instance {
        var app: String?
        var id: String?
        var ttl: Int?
    }

    private var instances = SharedMemory<PlacedName, RegistryPlace.Holder, Instance>(capacity: Bounds.remembered)
    private var apps = SharedMemory<PlacedName, RegistryPlace.Holder, String>(capacity: Bounds.remembered)
    private var vips = SharedMemory<PlacedName, RegistryPlace.Holder, String>(capacity: Bounds.remembered)

    /// By which the server knows an instance: ids need only be unique within their application.
    static func key(_ told: Advertisement) -> String? {
        guard let app = told.service, let id = told.id else { return nil }
        return "\(app)/\(id)"
    }

    mutating func settled(_ told: Advertisement, in place: RegistryPlace) {
        guard let key = told.key, let id = told.id else { return }
        let name = PlacedName(place: place, name: key)
        switch told.op {
        case .register:
            _ = instances.set(name, Instance(app: told.service, id: id, ttl: told.ttlSeconds), of: place.holder)
            if let app = told.service { _ = apps.set(PlacedName(place: place, name: id), app, of: place.holder) }
        case .deregister:
            _ = instances.remove(name)
            _ = apps.remove(PlacedName(place: place, name: id))
        default: break
        }
    }

    mutating func learn(_ names: [String], of told: Advertisement, in place: RegistryPlace) {
        guard let app = told.service else { return }
        for name in names { _ = vips.set(PlacedName(place: place, name: name.lowercased()), app, of: place.holder) }
    }

    func holds(_ told: Advertisement, in place: RegistryPlace) -> Bool {
        told.key.map { instances.peek(PlacedName(place: place, name: $0)) != nil } ?? false
    }

    /// In seconds, as its registration said.
    mutating func ttl(of told: Advertisement, in place: RegistryPlace) -> Int? {
        told.key.flatMap { instances.find(PlacedName(place: place, name: $0)) }?.ttl
    }

    mutating func app(ofInstance id: String, in place: RegistryPlace) -> String? {
        apps.find(PlacedName(place: place, name: id))
    }

    mutating func app(ofVIP name: String, in place: RegistryPlace) -> String? {
        vips.find(PlacedName(place: place, name: name.lowercased()))
    }
}
