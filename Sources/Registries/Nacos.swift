import Model

/// Nacos over HTTP (https://nacos.io/docs/latest/manual/user/open-api/): the APIs v1, v2 and v3 under any context path,
/// with fields in the query, in a form, or in both. Over gRPC it is spoken one thousand ports higher.
final class Nacos: HTTPDialect {
    static let name = "nacos"
    static let usualPorts: [UInt16] = [8848, 9848]
    /// Answers that matter are an "ok" or a code; lists of instances are longer and need not be read.
    static let answerBytes = 4096

    var unreadable = 0
    var memory = NacosMemory()
    var connections = NacosConnections()

    func knows(path: ArraySlice<String>) -> Bool {
        zip(path.prefix(5), path.dropFirst()).contains { Self.versions.contains($0) && Self.modules.contains($1) }
    }

    private static let versions: Set<String> = ["v1", "v2", "v3"]
    private static let modules: Set<String> = ["ns", "cs", "auth", "core", "console", "client", "admin"]
    private static let audiences: Set<String> = ["client", "admin", "console"]

    func asked(_ request: HTTPRequest, of registry: RegistryPlace) -> Asked? {
        guard let path = Self.naming(request.path) else { return nil }
        switch (request.method, path.joined(separator: "/")) {
        case ("GET", "instance/list"), ("GET", "instance"), ("GET", "service"), ("GET", "service/list"),
            ("GET", "catalog/instances"), ("GET", "catalog/service"), ("GET", "catalog/services"):
            return Asked(advertisements: [discovery(request)])
        case ("POST", "instance"), ("PUT", "instance"), ("PATCH", "instance"), ("DELETE", "instance"),
            ("PUT", "instance/beat"), ("PUT", "health/instance"), ("PUT", "health"):
            guard let told = change(request, path) else {
                unreadable += 1
                return nil
            }
            return Asked(advertisements: [told], needsBody: true)
        default: return nil
        }
    }

    func settled(_ asked: Asked, by answer: HTTPAnswer?, of registry: RegistryPlace) -> [Advertisement] {
        asked.advertisements.map { advertisement in
            var told = advertisement
            told.accepted = answer.flatMap { asked.needsBody ? Self.agrees($0) : $0.agrees }
            memory.settled(&told, in: registry)
            return told
        }
    }

    // MARK: - Requests

    /// What follows the naming module in a path: "instance", "beat".
    private static func naming(_ path: [String]) -> ArraySlice<String>? {
        for index in path.indices.prefix(5) where versions.contains(path[index]) {
            var rest = path[(index + 1)...]
            if path[index] == "v3", let audience = rest.first, audiences.contains(audience) { rest = rest.dropFirst() }
            if rest.first == "ns" { return rest.dropFirst() }
        }
        return nil
    }

    private func discovery(_ request: HTTPRequest) -> Advertisement {
        var told = Advertisement(registry: Self.name, op: .discover)
        NacosName(request.parameters).name(&told)
        told.cluster = Bounds.name(request.parameters["clusterName"] ?? request.parameters["clusters"])
        return told
    }

    private func change(_ request: HTTPRequest, _ path: ArraySlice<String>) -> Advertisement? {
        let parameters = request.parameters
        var name = NacosName(parameters)
        var instance = NacosInstance(parameters)
        var told = Advertisement(registry: Self.name, op: .register)
        switch (request.method, path.last) {
        case (_, "beat"):
            told.op = .heartbeat
            // Once the server has said that it takes light beats, only its fields are sent.
            if let text = parameters["beat"], !text.isEmpty {
                guard let beat = Fields(text.utf8) else { return nil }
                name = name.service == nil ? NacosName(beat, namespace: parameters["namespaceId"]) : name
                instance = NacosInstance(beat)
            }
        case ("POST", _): if NacosInstance.flag(parameters["heartBeat"]) == true { told.op = .heartbeat }
        case ("DELETE", _): told.op = .deregister
        case (_, "instance") where path.count == 1: told.update = true
        default: told.op = .status
        }
        name.name(&told)
        instance.describe(&told)
        guard told.service != nil, told.address != nil, let port = told.port, port > 0 else { return nil }
        return told
    }

    // MARK: - Answers

    /// "ok" in version 1; then a code: 0, or 10200 to a beat, and 20404 or 21003 for what is not registered any more.
    private static func agrees(_ answer: HTTPAnswer) -> Bool? {
        guard answer.agrees else { return false }
        guard let body = answer.body else { return nil }
        guard let fields = Fields(body), fields.has("code") else { return true }
        return fields.number("code").map { [0, 200, 10_200].contains($0) }
    }
}

extension HTTPRequest {
    /// Of the query and of a form in the body; as with servlets, the query's goes first.
    fileprivate var parameters: [String: String] { query.merging(form) { inQuery, _ in inQuery } }
}
