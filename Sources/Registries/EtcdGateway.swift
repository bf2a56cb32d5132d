import Model
import Packets

/// etcd v3 through its JSON gateway (https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/): puts, deletions and look-ups
/// of service keys, leases, and transactions of these. Bytes are base64 there, 64-bit numbers may be text.
final class EtcdGateway: HTTPDialect {
    static let name = "etcd"
    static let usualPorts: [UInt16] = [2379]
    static let answerBytes = 65_536

    private(set) var unreadable = 0
    private var memory = LeasedKeys()

    private static let versions: Set<String> = ["v3", "v3beta", "v3alpha"]

    func knows(path: ArraySlice<String>) -> Bool { path.first.map(Self.versions.contains) ?? false }

    func asked(_ request: HTTPRequest, of registry: RegistryPlace) -> Asked? {
        guard request.method == "POST", knows(path: request.path[...]) else { return nil }
        var path = request.path.dropFirst()
        // Some versions serve leases below kv as well.
        if path.count == 3, path.first == "kv", path.dropFirst().first == "lease" { path = path.dropFirst() }
        let call = path.joined(separator: "/")
        guard Self.calls.contains(call) else { return nil }
        guard let body = request.body else {
            unreadable += 1
            return nil
        }
        // A stream's messages come one a line.
        let lines =
            call == "lease/keepalive" ? Array(body.split(separator: UInt8(ascii: "\n")).prefix(64)) : [body[...]]
        let bodies = lines.compactMap { Fields($0) }
        guard bodies.count == lines.count, let fields = bodies.first else {
            unreadable += 1
            return nil
        }
        let asked = self.asked(call, bodies, fields, registry)
        return asked.advertisements.isEmpty && asked.otherwise.isEmpty ? nil : asked
    }

    private static let calls: Set<String> = [
        "kv/put", "kv/range", "kv/deleterange", "kv/txn", "lease/grant", "lease/keepalive", "lease/revoke", "watch",
    ]

    private func asked(_ call: String, _ bodies: [Fields], _ fields: Fields, _ place: RegistryPlace) -> Asked {
        switch call {
        case "kv/put": Asked(advertisements: put(fields))
        case "kv/range": Asked(advertisements: look(fields, place))
        case "watch": Asked(advertisements: fields.object("create_request").map { look($0, place) } ?? [])
        case "kv/deleterange": Asked(advertisements: deletion(fields, place))
        case "kv/txn": transaction(fields, place)
        case "lease/grant": Asked(advertisements: [grant(fields)], needsBody: true)
        case "lease/keepalive": Asked(advertisements: bodies.compactMap(keepAlive), needsBody: true)
        default: Asked(advertisements: revocation(fields))
        }
    }

    // MARK: - Requests

    private func key(_ fields: Fields, _ name: String = "key") -> String? {
        EtcdKeys.bytes(fields.text(name)).flatMap { $0.count <= 4096 ? String(exactly: $0) : nil }
    }

    private func put(_ fields: Fields) -> [Advertisement] {
        guard let key = key(fields), !key.isEmpty, let value = EtcdKeys.bytes(fields.text("value")) else {
            unreadable += 1
            return []
        }
        let lease = Self.leaseID(fields, "lease")
        guard
            var told = KeyedEndpoints.registration(in: Self.name, key: key, value: value, isMeant: lease != nil)
        else { return [] }
        told.key = key
        if value.count <= Bounds.longestValue { told.value = String(exactly: value) }
        told.leaseId = lease
        return [told]
    }

    private func look(_ fields: Fields, _ place: RegistryPlace) -> [Advertisement] {
        guard let key = key(fields) else { return [] }
        let isPrefix = !(EtcdKeys.bytes(fields.text("range_end")) ?? []).isEmpty
        let name = KeyedEndpoints.name(key, isPrefix: isPrefix)
        var told = Advertisement(registry: Self.name, op: .discover)
        told.key = key
        if name.isRooted {
            told.service = name.service
        } else if let known = memory.keys(under: key, in: place, isPrefix: isPrefix).first {
            told.service = known.service
        } else {
            return []
        }
        return [told]
    }

    private func deletion(_ fields: Fields, _ place: RegistryPlace) -> [Advertisement] {
        guard let key = key(fields), let end = EtcdKeys.bytes(fields.text("range_end")) else {
            unreadable += 1
            return []
        }
        let isPrefix = !end.isEmpty
        let known = memory.keys(from: key, to: end, in: place)
        guard known.isEmpty else { return known.map { $0.withdrawn } }
        // Registered before anybody listened: the name is in the key.
        let name = KeyedEndpoints.name(key, isPrefix: isPrefix)
        guard name.isRooted, name.service != nil else { return [] }
        var told = Advertisement(registry: Self.name, op: .deregister)
        told.service = name.service
        told.id = name.id
        told.key = key
        return [told]
    }

    private func transaction(_ fields: Fields, _ place: RegistryPlace) -> Asked {
        func operations(_ name: String) -> [Advertisement] {
            fields.objects(name).prefix(128).flatMap { operation in
                (operation.object("request_put").map(put) ?? [])
                    + (operation.object("request_delete_range").map { deletion($0, place) } ?? [])
            }
        }
        return Asked(advertisements: operations("success"), otherwise: operations("failure"), needsBody: true)
    }

    private func grant(_ fields: Fields) -> Advertisement {
        var told = Advertisement(registry: Self.name, op: .lease)
        told.ttlSeconds = Self.seconds(fields.number("TTL"))
        told.leaseId = Self.leaseID(fields, "ID")
        return told
    }

    private func keepAlive(_ fields: Fields) -> Advertisement? {
        guard let lease = Self.leaseID(fields, "ID") else { return nil }
        var told = Advertisement(registry: Self.name, op: .heartbeat)
        told.leaseId = lease
        return told
    }

    private func revocation(_ fields: Fields) -> [Advertisement] {
        guard let lease = Self.leaseID(fields, "ID") else { return [] }
        var told = Advertisement(registry: Self.name, op: .deregister)
        told.leaseId = lease
        return [told]
    }

    /// Decimal text of a lease id that is one: not 0, not negative.
    private static func leaseID(_ fields: Fields, _ name: String) -> String? {
        fields.number(name).flatMap { $0 > 0 ? String($0) : nil }
    }

    private static func seconds(_ number: Int64?) -> Int? {
        number.flatMap { (1...3_200_000_000).contains($0) ? Int($0) : nil }
    }

    // MARK: - Answers

    func settled(_ asked: Asked, by answer: HTTPAnswer?, of registry: RegistryPlace) -> [Advertisement] {
        let body = answer?.body.flatMap { $0.isEmpty ? nil : $0 }
        var told = asked.advertisements
        if asked.needsBody, told.first?.op != .lease, told.first?.op != .heartbeat, answer?.agrees == true {
            // A transaction: without its answer's body nobody knows which half was done.
            guard let fields = body.flatMap({ Fields($0) }) else { return told }
            told = fields.flag("succeeded") == true ? asked.advertisements : asked.otherwise
        }
        let lines = body?.split(separator: UInt8(ascii: "\n")).prefix(64).map { Fields($0) } ?? []
        return told.enumerated().flatMap { index, advertisement in
            var told = advertisement
            told.accepted = answer?.agrees
            let line = index < lines.count ? lines[index] : nil
            return settle(&told, line, registry)
        }
    }

    private func settle(_ told: inout Advertisement, _ answer: Fields?, _ place: RegistryPlace) -> [Advertisement] {
        switch told.op {
        case .lease:
            told.leaseId = answer.flatMap { Self.leaseID($0, "ID") } ?? told.leaseId
            told.ttlSeconds = answer.flatMap { Self.seconds($0.number("TTL")) } ?? told.ttlSeconds
            if told.accepted != false { memory.granted(told, in: place) }
        case .heartbeat where told.accepted == true:
            let result = answer?.object("result")
            told.ttlSeconds = Self.seconds(result?.number("TTL"))
            // The gateway says 200 and no TTL for a lease that is gone.
            told.accepted = result.map { _ in told.ttlSeconds != nil }
            if told.accepted == true { memory.granted(told, in: place) }
        case .register:
            told.ttlSeconds = told.leaseId.flatMap { memory.ttl(ofLease: $0, in: place) }
            if told.accepted != false { memory.put(told, at: told.key, in: place) }
        case .deregister where told.key == nil:
            guard told.accepted != false, let lease = told.leaseId else { break }
            let accepted = told.accepted
            return [told]
                + memory.revoked(lease, in: place).map { key in
                    var ended = key.withdrawn
                    ended.accepted = accepted
                    return ended
                }
        case .deregister:
            if told.accepted != false, let key = told.key { memory.deleted(key, in: place) }
        default: break
        }
        return [told]
    }
}
