import Model
import Packets
import SwiftProtobuf

/// etcd: version 3 over gRPC (https://etcd.io/docs/v3.5/dev-guide/api_reference_v3/) and through its JSON gateway, whose
/// messages are the same, and version 2's keys over HTTP. Registrations are puts of service keys, mostly on a lease.
final class Etcd: HTTPDialect {
    static let name = "etcd"
    /// The second is where servers before version 2 listen.
    static let usualPorts: [UInt16] = [2379, 4001]
    static let answerBytes = 65_536

    var unreadable = 0
    var memory = LeasedKeys()
    /// Version 2's keys are not those of version 3, even where both are served.
    var oldMemory = LeasedKeys()
    var directories = EtcdDirectories()

    static let longestKey = 4096
    /// Operations of one transaction that are looked at.
    static let mostOperations = 128

    func knows(path: ArraySlice<String>) -> Bool { Self.isGateway(path) || Self.isV2(path) }

    func asked(_ request: HTTPRequest, of registry: RegistryPlace) -> Asked? {
        let asked =
            Self.isGateway(request.path[...]) ? gatewayAsked(request, registry) : v2Asked(request, registry)
        return asked.flatMap { $0.advertisements.isEmpty && $0.otherwise.isEmpty ? nil : $0 }
    }

    func settled(_ asked: Asked, by answer: HTTPAnswer?, of registry: RegistryPlace) -> [Advertisement] {
        asked.call.hasPrefix(Self.v2)
            ? v2Settled(asked, by: answer, registry) : gatewaySettled(asked, by: answer, registry)
    }
}

/// What requests ask for, however they came.
extension Etcd {
    /// Nil where it is no text, or absurdly long.
    static func key(_ bytes: some Collection<UInt8>) -> String? {
        bytes.count <= longestKey ? String(exactly: bytes) : nil
    }

    /// Decimal text of a lease id that is one: not 0, not negative.
    static func leaseID(_ number: Int64) -> String? { number > 0 ? String(number) : nil }

    func put(_ request: EtcdPBPutRequest, _ place: RegistryPlace) -> [Advertisement] {
        guard let key = Self.key(request.key), !key.isEmpty else {
            unreadable += 1
            return []
        }
        let known = memory.keys(from: key, to: [], in: place)
        let lease = request.ignoreLease ? known.first?.leaseId : Self.leaseID(request.lease)
        var told =
            request.ignoreValue ? known : registrations(key, [UInt8](request.value), isMeant: lease != nil)
        for index in told.indices {
            told[index].leaseId = lease
            told[index].accepted = nil
        }
        return told
    }

    func registrations(_ key: String, _ value: [UInt8], isMeant: Bool) -> [Advertisement] {
        let isMeant = isMeant && !KeyedEndpoints.isClaim(key)
        var told = KeyedEndpoints.registrations(in: Self.name, key: key, value: value, isMeant: isMeant)
        for index in told.indices {
            told[index].key = key
            if value.count <= Bounds.longestValue { told[index].value = String(exactly: value) }
        }
        return told
    }

    /// - Parameter end: of a range; empty for the key alone.
    func look(_ key: some Collection<UInt8>, to end: some Collection<UInt8>, _ place: RegistryPlace) -> [Advertisement]
    {
        guard let key = Self.key(key) else { return [] }
        let isPrefix = !end.isEmpty
        return look(key, isPrefix: isPrefix, known: memory.keys(under: key, in: place, isPrefix: isPrefix).first)
    }

    /// - Parameter known: a registration that will be found. Only looked for where the key does not tell: all keys are
    ///   gone through.
    func look(_ key: String, isPrefix: Bool, known: @autoclosure () -> Advertisement?) -> [Advertisement] {
        let name = KeyedEndpoints.name(key, isPrefix: isPrefix)
        var told = Advertisement(registry: Self.name, op: .discover)
        told.key = key
        if name.isRooted {
            told.service = name.service
        } else if let known = known() {
            told.service = known.service
        } else {
            return []
        }
        return [told]
    }

    func deletion(_ request: EtcdPBDeleteRangeRequest, _ place: RegistryPlace) -> [Advertisement] {
        guard let key = Self.key(request.key) else {
            unreadable += 1
            return []
        }
        let known = memory.keys(from: key, to: [UInt8](request.rangeEnd), in: place)
        return known.isEmpty ? deletion(unknown: key, isPrefix: !request.rangeEnd.isEmpty) : known.map(\.withdrawn)
    }

    /// Registered before anybody listened: the name is in the key.
    func deletion(unknown key: String, isPrefix: Bool) -> [Advertisement] {
        let name = KeyedEndpoints.name(key, isPrefix: isPrefix)
        guard name.isRooted, name.service != nil else { return [] }
        var told = Advertisement(registry: Self.name, op: .deregister)
        told.service = name.service
        told.id = name.id
        told.key = key
        return [told]
    }

    func operations(_ operations: [EtcdPBRequestOp], _ place: RegistryPlace) -> [Advertisement] {
        operations.prefix(Self.mostOperations).flatMap { operation -> [Advertisement] in
            switch operation.request {
            case .requestPut(let request): put(request, place)
            case .requestDeleteRange(let request): deletion(request, place)
            case .requestRange(let request): look(request.key, to: request.rangeEnd, place)
            case nil: []
            }
        }
    }

    func grant(_ request: EtcdPBLeaseGrantRequest) -> Advertisement {
        var told = Advertisement(registry: Self.name, op: .lease)
        told.ttlSeconds = Bounds.seconds(request.ttl)
        told.leaseId = Self.leaseID(request.id)
        return told
    }

    func about(lease id: Int64, _ op: Advertisement.Operation) -> [Advertisement] {
        guard let lease = Self.leaseID(id) else { return [] }
        var told = Advertisement(registry: Self.name, op: op)
        told.leaseId = lease
        return [told]
    }
}

/// What came of them.
extension Etcd {
    func settle(
        _ asked: [Advertisement], accepted: Bool?, lease: EtcdPBLeaseResponse? = nil, _ place: RegistryPlace
    ) -> [Advertisement] {
        let told = asked.flatMap { settle($0, accepted: accepted, lease: lease, place) }
        if accepted != false { memory.keep(told, in: place) }
        return told
    }

    /// - Parameter lease: the answer to a grant or renewal.
    private func settle(
        _ asked: Advertisement, accepted: Bool?, lease: EtcdPBLeaseResponse? = nil, _ place: RegistryPlace
    ) -> [Advertisement] {
        var told = asked
        told.accepted = accepted
        switch told.op {
        case .lease:
            told.leaseId = lease.flatMap { Self.leaseID($0.id) } ?? told.leaseId
            told.ttlSeconds = lease.flatMap { Bounds.seconds($0.ttl) } ?? told.ttlSeconds
            if accepted != false { memory.granted(told, in: place) }
        case .heartbeat where accepted == true && told.leaseId != nil: return renewed(told, lease, place)
        case .register:
            if let lease = told.leaseId { told.ttlSeconds = memory.ttl(ofLease: lease, in: place) }
        case .deregister where told.key == nil:
            guard accepted != false, let lease = told.leaseId else { break }
            return [told] + ends(ofLease: lease, accepted: accepted, place)
        case .deregister:
            if accepted != false, let key = told.key { memory.deleted(key, in: place) }
        default: break
        }
        return [told]
    }

    /// The server says yes without a time to live to the renewal of a lease that is gone.
    private func renewed(
        _ asked: Advertisement, _ lease: EtcdPBLeaseResponse?, _ place: RegistryPlace
    ) -> [Advertisement] {
        var told = asked
        // Not readable, or the answer to another's renewal.
        guard let lease, Self.leaseID(lease.id) == told.leaseId else {
            told.accepted = nil
            return [told]
        }
        told.ttlSeconds = Bounds.seconds(lease.ttl)
        told.accepted = told.ttlSeconds != nil
        guard told.accepted == false, let id = told.leaseId else {
            memory.granted(told, in: place)
            return [told]
        }
        return [told] + ends(ofLease: id, accepted: true, place)
    }

    private func ends(ofLease lease: String, accepted: Bool?, _ place: RegistryPlace) -> [Advertisement] {
        memory.revoked(lease, in: place).map { key in
            var ended = key.withdrawn
            ended.accepted = accepted
            return ended
        }
    }
}

extension LeasedKeys {
    /// What was registered, all endpoints of a key together.
    mutating func keep(_ told: [Advertisement], in place: RegistryPlace) {
        let registered = told.filter { $0.op == .register }
        for (key, endpoints) in Dictionary(grouping: registered, by: \.key) { put(endpoints, at: key, in: place) }
    }
}
