import Model

@testable import Registries

/// Beacon: `PUT /beacon/SERVICE/HOST:PORT?ttl=30` registers an instance and renews it, `DELETE` ends it, and
/// `GET /beacon/SERVICE` asks for all of them.
final class Beacon: HTTPDialect {
    static let name = "beacon"
    static let usualPorts: [UInt16] = [9200]
    /// The status line says it all.
    static let answerBytes = 0

    private(set) var unreadable = 0

    func knows(path: ArraySlice<String>) -> Bool { path.first == "beacon" }

    func asked(_ request: HTTPRequest, of registry: RegistryPlace) -> Asked? {
        let path = request.path
        guard path.count >= 2, let service = Bounds.name(path[1]) else { return nil }
        var told = Advertisement(registry: Self.name, op: .discover)
        told.service = service
        guard !(request.method == "GET" && path.count == 2) else { return Asked(advertisements: [told]) }
        guard path.count == 3, let (host, port) = KeyedEndpoints.endpoint(path[2]) else {
            unreadable += 1
            return nil
        }
        (told.id, told.address, told.port) = (path[2], host, port)
        switch request.method {
        case "PUT": told.op = .register
        case "DELETE": told.op = .deregister
        default: return nil
        }
        told.ttlSeconds = request.query["ttl"].flatMap { UInt16($0) }.map(Int.init)
        return Asked(advertisements: [told])
    }

    func settled(_ asked: Asked, by answer: HTTPAnswer?, of registry: RegistryPlace) -> [Advertisement] {
        asked.advertisements.map { advertisement in
            var told = advertisement
            told.accepted = answer?.agrees
            return told
        }
    }
}
