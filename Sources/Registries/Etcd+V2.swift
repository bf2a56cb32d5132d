import Model
import Packets

/// Version 2's keys (https://etcd.io/docs/v2.3/api/): no leases, each key has its own time to live.
extension Etcd {
    /// What its calls are named with, so that they are known again when they are answered.
    static let v2 = "v2/"
    private static let modules: Set<String> = ["keys", "members", "stats", "machines", "leader", "auth", "admin"]

    static func isV2(_ path: ArraySlice<String>) -> Bool {
        path.first == "v2" && path.dropFirst().first.map(modules.contains) ?? false
    }

    func v2Asked(_ request: HTTPRequest, _ place: RegistryPlace) -> Asked? {
        guard request.path.count > 2, request.path[1] == "keys" else { return nil }
        let key = "/" + request.path[2...].joined(separator: "/")
        guard key.utf8.count <= Self.longestKey else { return nil }
        // Of a name in both, the form's counts.
        let fields = request.form.merging(request.query) { inForm, _ in inForm }
        switch request.method {
        case "PUT": return Asked(advertisements: set(key, fields, place), call: Self.v2 + "set")
        case "POST":
            var told = registered(key + "/?", fields, place)
            for index in told.indices {
                // The server chooses the last part.
                told[index].id = nil
                told[index].key = key
                told[index].sequential = true
            }
            return Asked(advertisements: told, needsBody: true, call: Self.v2 + "create")
        case "DELETE":
            let isPrefix = Self.flag(fields, "recursive") || Self.flag(fields, "dir")
            return Asked(advertisements: deletion(key, isPrefix: isPrefix, place), call: Self.v2 + "delete")
        case "GET":
            // A directory is shown with what is in it, a key with its value.
            let isPrefix = Self.flag(fields, "recursive") || isDirectory(key, place)
            let told = look(
                key, isPrefix: isPrefix, known: oldMemory.keys(under: key, in: place, isPrefix: isPrefix).first)
            return Asked(advertisements: told, needsBody: true, call: Self.v2 + "get")
        default: return nil
        }
    }

    private static func flag(_ fields: [String: String], _ name: String) -> Bool {
        ["true", "1", "t"].contains(fields[name]?.lowercased())
    }

    private func isDirectory(_ key: String, _ place: RegistryPlace) -> Bool {
        let name = KeyedEndpoints.name(key)
        return name.service == name.id || !oldMemory.keys(under: key + "/", in: place, isPrefix: true).isEmpty
            || !KeyedEndpoints.name(key + "/?").isRooted
    }

    private func set(_ key: String, _ fields: [String: String], _ place: RegistryPlace) -> [Advertisement] {
        let ttl = Bounds.seconds(fields["ttl"].flatMap { Int64($0) })
        if Self.flag(fields, "dir") {
            if let ttl { directories.set(key, ttl: ttl, in: place) }
            return Self.flag(fields, "refresh") || Self.flag(fields, "prevExist")
                ? renewals(under: key, ttl, place) : []
        }
        if Self.flag(fields, "refresh") { return renewal(of: key, ttl, place) }
        var told = registered(key, fields, place)
        if Self.flag(fields, "prevExist") {
            for index in told.indices { told[index].update = true }
        }
        return told
    }

    private func registered(_ key: String, _ fields: [String: String], _ place: RegistryPlace) -> [Advertisement] {
        let value = Array((fields["value"] ?? "").utf8)
        let ttl = timeToLive(fields, key, place)
        var told = registrations(key, value, isMeant: ttl != nil)
        for index in told.indices { told[index].ttlSeconds = ttl }
        return told
    }

    /// Its own, or that of the directory that it goes with.
    private func timeToLive(_ fields: [String: String], _ key: String, _ place: RegistryPlace) -> Int? {
        Bounds.seconds(fields["ttl"].flatMap { Int64($0) }) ?? directories.ttl(above: key, in: place)
    }

    private func renewal(of key: String, _ ttl: Int?, _ place: RegistryPlace) -> [Advertisement] {
        let known = oldMemory.keys(from: key, to: [], in: place)
        guard known.isEmpty else { return known.map { Self.renewal(of: $0, ttl) } }
        let name = KeyedEndpoints.name(key)
        guard name.isRooted else { return [] }
        var told = Advertisement(registry: Self.name, op: .heartbeat)
        told.service = name.service
        told.id = name.id
        told.key = key
        told.ttlSeconds = ttl
        return [told]
    }

    private func renewals(under key: String, _ ttl: Int?, _ place: RegistryPlace) -> [Advertisement] {
        oldMemory.keys(under: key + "/", in: place, isPrefix: true).map { Self.renewal(of: $0, ttl) }
    }

    private static func renewal(of known: Advertisement, _ ttl: Int?) -> Advertisement {
        var told = known
        told.op = .heartbeat
        told.ttlSeconds = ttl ?? known.ttlSeconds
        told.accepted = nil
        told.update = nil
        return told
    }

    private func deletion(_ key: String, isPrefix: Bool, _ place: RegistryPlace) -> [Advertisement] {
        var known = oldMemory.keys(from: key, to: [], in: place)
        if isPrefix { known += oldMemory.keys(under: key + "/", in: place, isPrefix: true) }
        return known.isEmpty ? deletion(unknown: key, isPrefix: isPrefix) : known.map(\.withdrawn)
    }

    // MARK: - Answers

    func v2Settled(_ asked: Asked, by answer: HTTPAnswer?, _ place: RegistryPlace) -> [Advertisement] {
        let node = answer?.body.flatMap { Fields($0) }?.object("node")
        let told = asked.advertisements.map { advertisement in
            var told = advertisement
            told.accepted = answer?.agrees
            if told.sequential == true, told.accepted == true, let key = node?.text("key") {
                told.key = key
                told.id = KeyedEndpoints.name(key).id
            }
            if told.op == .discover {
                // What is not there yet was looked for all the same.
                told.accepted = answer.map { $0.agrees || $0.status == 404 }
                if let isDirectory = node?.flag("dir"), let key = told.key, KeyedEndpoints.name(key).isRooted {
                    told.service = KeyedEndpoints.name(key, isPrefix: isDirectory).service
                }
            }
            return told
        }
        let done = told.filter { $0.accepted != false }
        oldMemory.keep(done, in: place)
        for deleted in done where deleted.op == .deregister {
            if let key = deleted.key { oldMemory.deleted(key, in: place) }
        }
        return told
    }
}

/// Directories of version 2 with a time to live: what is in them ends with them.
struct EtcdDirectories {
    private static let deepest = 16
    private var ttls = SharedMemory<PlacedName, RegistryPlace.Holder, Int>(capacity: 1024)

    mutating func set(_ key: String, ttl: Int, in place: RegistryPlace) {
        _ = ttls.set(PlacedName(place: place, name: key), ttl, of: place.holder)
    }

    /// Of the nearest one.
    mutating func ttl(above key: String, in place: RegistryPlace) -> Int? {
        var rest = key[...]
        for _ in 0..<Self.deepest {
            guard let slash = rest.lastIndex(of: "/"), slash > rest.startIndex else { return nil }
            rest = rest[..<slash]
            if let ttl = ttls.find(PlacedName(place: place, name: String(rest))) { return ttl }
        }
        return nil
    }
}
