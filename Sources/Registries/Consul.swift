import Model

/// Consul's HTTP API (https://developer.hashicorp.com/consul/api-docs): the agent's registrations, checks and
/// maintenance, the catalog's, transactions, and discovery.
final class Consul: HTTPDialect {
    static let name = "consul"
    static let usualPorts: [UInt16] = [8500]
    /// The status line says it all.
    static let answerBytes = 0

    var unreadable = 0
    var memory = ConsulMemory()

    func knows(path: ArraySlice<String>) -> Bool { path.first == "v1" }

    func asked(_ request: HTTPRequest, of registry: RegistryPlace) -> Asked? {
        let path = request.path
        guard path.count >= 2, path[0] == "v1" else { return nil }
        let scope = Scope(request)
        var told: [Advertisement]
        switch (request.method, path[1], path.count > 2 ? path[2] : "") {
        case (_, "agent", "service") where path.count >= 4 && !Self.isLookUp(request): told = service(request)
        case (_, "agent", "check") where path.count >= 4: told = check(request, scope, registry)
        case ("PUT", "agent", "maintenance") where path.count == 3: told = [maintenance(request, of: nil)]
        case ("PUT", "catalog", "register"), ("POST", "catalog", "register"): told = catalogRegistration(request)
        case ("PUT", "catalog", "deregister"), ("POST", "catalog", "deregister"): told = catalogDeregistration(request)
        case ("PUT", "txn", ""), ("POST", "txn", ""): told = transaction(request, registry)
        default: told = discovery(request)
        }
        guard !told.isEmpty else { return nil }
        for index in told.indices { scope.complete(&told[index]) }
        return Asked(advertisements: told)
    }

    func settled(_ asked: Asked, by answer: HTTPAnswer?, of registry: RegistryPlace) -> [Advertisement] {
        let accepted = answer?.agrees
        let told = asked.advertisements.map { advertisement in
            var told = advertisement
            told.accepted = accepted
            return told
        }
        return accepted == false ? told : memory.settled(told, in: registry)
    }

    // MARK: - Discovery

    /// An agent's service by its id, looked up where others are registered.
    private static func isLookUp(_ request: HTTPRequest) -> Bool {
        request.method == "GET" && request.path.count == 4
            && !["register", "deregister", "maintenance"].contains(request.path[3])
    }

    private func discovery(_ request: HTTPRequest) -> [Advertisement] {
        let path = request.path
        guard request.method == "GET" || path[1] == "discovery-chain" && request.method == "POST" else { return [] }
        var asked = Advertisement(registry: Self.name, op: .discover)
        switch (path[1], path.count > 2 ? path[2] : "", path.count) {
        case ("catalog", "services", 3), ("agent", "services", 3): break
        case ("catalog", "node", 4), ("catalog", "node-services", 4): asked.node = Bounds.name(path[3])
        case ("catalog", "service", 4), ("catalog", "connect", 4), ("health", "service", 4), ("health", "connect", 4),
            ("health", "checks", 4), ("health", "ingress", 4):
            asked.service = Bounds.name(path[3])
        case ("discovery-chain", _, 3): asked.service = Bounds.name(path[2])
        case ("agent", "service", 4): asked.id = Bounds.name(path[3])
        case ("agent", "health", 6) where path[3] == "service" && path[4] == "name":
            asked.service = Bounds.name(path[5])
        case ("agent", "health", 6) where path[3] == "service" && path[4] == "id": asked.id = Bounds.name(path[5])
        case ("query", _, 4) where path[3] == "execute":
            asked.query = Bounds.name(path[2])
            // By name, which is mostly the service's, or by the id that Consul gave it.
            if !Self.isID(path[2]) { asked.service = asked.query }
        default: return []
        }
        return [asked]
    }

    /// A UUID, as Consul makes them.
    private static func isID(_ text: String) -> Bool {
        text.split(separator: "-", omittingEmptySubsequences: false).map(\.utf8.count) == [8, 4, 4, 4, 12]
            && text.utf8.allSatisfy { $0 == UInt8(ascii: "-") || Character(Unicode.Scalar($0)).isHexDigit }
    }

    // MARK: - Values

    static func status(_ text: String?) -> String? {
        guard let text = text?.lowercased() else { return nil }
        return ["passing", "warning", "critical"].contains(text) ? text : nil
    }

    /// Whole seconds, rounded up: too early a lapse would take a living service out.
    static func ttl(_ check: Fields) -> Int? {
        if let text = check.text("TTL") { return GoDuration.seconds(text) }
        // A number stands for nanoseconds there.
        guard let nanoseconds = check.plainNumber("TTL"), nanoseconds > 0 else { return nil }
        return Int((nanoseconds - 1) / 1_000_000_000) + 1
    }

    /// The body, or nil and counted where it cannot be read.
    func fields(_ request: HTTPRequest) -> Fields? {
        let fields = request.body.flatMap { Fields($0) }
        if fields == nil { unreadable += 1 }
        return fields
    }
}

extension Consul {
    /// Namespace, partition and data centre, as a request's query or header says them.
    struct Scope: Hashable {
        var namespace: String?
        var partition: String?
        var dc: String?

        init(_ request: HTTPRequest) {
            namespace = Bounds.name(request.query["ns"]) ?? Bounds.name(request.headers["x-consul-namespace"])
            partition = Bounds.name(request.query["partition"]) ?? Bounds.name(request.headers["x-consul-partition"])
            dc = Bounds.name(request.query["dc"])
        }

        /// Of what is told; ids are of their own in each.
        init(of told: Advertisement) {
            namespace = told.namespace
            partition = told.partition
        }

        /// What the body said goes first.
        func complete(_ told: inout Advertisement) {
            told.namespace = told.namespace ?? namespace
            told.partition = told.partition ?? partition
            told.dc = told.dc ?? dc
        }
    }
}
