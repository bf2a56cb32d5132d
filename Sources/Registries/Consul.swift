import Model
import Packets

/// Consul's HTTP API (https://developer.hashicorp.com/consul/api-docs): the agent's registrations and TTL checks, and
/// discovery through health, catalog and agent.
final class Consul: HTTPDialect {
    static let name = "consul"
    static let usualPorts: [UInt16] = [8500]
    /// The status line says it all.
    static let answerBytes = 0

    private(set) var unreadable = 0

    private struct CheckID: Hashable {
        var place: RegistryPlace
        var check: String
    }
    private struct Check {
        var service: String?
        var ttl: Int?
    }
    /// Heartbeats name the check alone: whose it is and how long it may be silent was said at its registration.
    private var checks = LeastRecent<CheckID, Check>(capacity: 16_384)

    func knows(path: ArraySlice<String>) -> Bool { path.first == "v1" }

    func asked(_ request: HTTPRequest, of registry: RegistryPlace) -> Asked? {
        let path = request.path
        guard path.count >= 3, path[0] == "v1" else { return nil }
        var advertisements: [Advertisement] = []
        switch (request.method, path[1], path[2]) {
        case ("GET", "catalog", _), ("GET", "health", _), ("GET", "agent", "services"), ("GET", "agent", "health"):
            advertisements = discovery(path)
        case (_, "agent", "service") where path.count >= 4: advertisements = service(request)
        case (_, "agent", "check") where path.count >= 4: advertisements = check(request, registry)
        default: return nil
        }
        guard !advertisements.isEmpty else { return nil }
        for index in advertisements.indices { scope(&advertisements[index], request) }
        return Asked(advertisements: advertisements)
    }

    func settled(_ asked: Asked, by answer: HTTPAnswer?, of registry: RegistryPlace) -> [Advertisement] {
        asked.advertisements.map { advertisement in
            var told = advertisement
            told.accepted = answer?.agrees
            if told.accepted != false { remember(told, registry) }
            return told
        }
    }

    // MARK: - Requests

    private func discovery(_ path: [String]) -> [Advertisement] {
        var asked = Advertisement(registry: Self.name, op: .discover)
        switch (path[1], path[2]) {
        case ("catalog", "services") where path.count == 3, ("agent", "services") where path.count == 3: break
        case ("catalog", "service"), ("catalog", "connect"), ("health", "service"), ("health", "connect"),
            ("health", "checks"), ("health", "ingress"):
            guard path.count == 4 else { return [] }
            asked.service = Bounds.name(path[3])
        case ("agent", "health"):
            guard path.count == 6, path[3] == "service", path[4] == "name" else { return [] }
            asked.service = Bounds.name(path[5])
        default: return []
        }
        return [asked]
    }

    private func service(_ request: HTTPRequest) -> [Advertisement] {
        switch (request.method, request.path[3], request.path.count) {
        case ("PUT", "register", 4), ("POST", "register", 4): return registration(request)
        case ("PUT", "deregister", 5...), ("POST", "deregister", 5...), ("GET", "deregister", 5...):
            var asked = Advertisement(registry: Self.name, op: .deregister)
            asked.id = Bounds.name(request.path[4...].joined(separator: "/"))
            return asked.id == nil ? [] : [asked]
        default: return []
        }
    }

    private func registration(_ request: HTTPRequest) -> [Advertisement] {
        guard let body = request.body, let fields = Fields(body), let name = Bounds.name(fields.text("Name")) else {
            unreadable += 1
            return []
        }
        var asked = Advertisement(registry: Self.name, op: .register)
        asked.service = name
        asked.id = Bounds.name(fields.text("ID")) ?? name
        asked.address = Bounds.address(fields.text("Address"))
        if (fields.text("Address") ?? "").isEmpty { asked.addressDefault = "registry" }
        // Consul's own default; a port that cannot be one is nil.
        asked.port = fields.has("Port") ? Bounds.port(fields.plainNumber("Port")) : 0
        asked.tags = fields.texts("Tags")
        asked.meta = fields.map("Meta")
        asked.namespace = Bounds.name(fields.text("Namespace"))
        asked.partition = Bounds.name(fields.text("Partition"))
        let checks = ([fields.object("Check")].compactMap { $0 } + fields.objects("Checks")).filter { !$0.isEmpty }
        asked.ttlSeconds = checks.compactMap { Self.ttl($0) }.min()
        return [asked]
            + checks.prefix(16).enumerated().compactMap { index, check in
                guard let ttl = Self.ttl(check), let id = asked.id else { return nil }
                var status = Advertisement(registry: Self.name, op: .status)
                // Consul's own naming of checks that come with a service.
                let number = checks.count > 1 ? ":\(index + 1)" : ""
                status.id = Bounds.name(check.text("CheckID")) ?? "service:\(id)\(number)"
                status.serviceId = id
                status.ttlSeconds = ttl
                status.status = Self.status(check.text("Status"))
                return status
            }
    }

    private func check(_ request: HTTPRequest, _ registry: RegistryPlace) -> [Advertisement] {
        let path = request.path
        if request.method == "PUT" || request.method == "POST", path[3] == "register", path.count == 4 {
            return checkRegistration(request)
        }
        guard path.count >= 5, let id = Bounds.name(path[4...].joined(separator: "/")) else { return [] }
        let status: String?
        switch (request.method, path[3]) {
        case ("PUT", "pass"), ("POST", "pass"), ("GET", "pass"): status = "passing"
        case ("PUT", "warn"), ("POST", "warn"), ("GET", "warn"): status = "warning"
        case ("PUT", "fail"), ("POST", "fail"), ("GET", "fail"): status = "critical"
        case ("PUT", "update"), ("POST", "update"):
            guard let fields = request.body.flatMap({ Fields($0) }) else {
                unreadable += 1
                return []
            }
            status = Self.status(fields.text("Status"))
        default: return []
        }
        // Who reports itself critical lives, but it is not to be sent anything.
        var asked = Advertisement(registry: Self.name, op: status == "critical" ? .status : .heartbeat)
        asked.id = id
        asked.status = status
        let known = checks.find(CheckID(place: registry, check: id))
        asked.serviceId = known?.service ?? (id.hasPrefix("service:") ? String(id.dropFirst(8)) : nil)
        asked.ttlSeconds = known?.ttl
        return [asked]
    }

    private func checkRegistration(_ request: HTTPRequest) -> [Advertisement] {
        guard let fields = request.body.flatMap({ Fields($0) }),
            let id = Bounds.name(fields.text("ID") ?? fields.text("CheckID")) ?? Bounds.name(fields.text("Name"))
        else {
            unreadable += 1
            return []
        }
        var asked = Advertisement(registry: Self.name, op: .status)
        asked.id = id
        asked.serviceId = Bounds.name(fields.text("ServiceID"))
        asked.ttlSeconds = Self.ttl(fields)
        asked.status = Self.status(fields.text("Status"))
        return [asked]
    }

    private func scope(_ asked: inout Advertisement, _ request: HTTPRequest) {
        asked.namespace =
            asked.namespace ?? Bounds.name(request.query["ns"]) ?? Bounds.name(request.headers["x-consul-namespace"])
        asked.partition =
            asked.partition ?? Bounds.name(request.query["partition"])
            ?? Bounds.name(request.headers["x-consul-partition"])
        asked.dc = Bounds.name(request.query["dc"])
    }

    private func remember(_ told: Advertisement, _ registry: RegistryPlace) {
        guard told.op == .status, let id = told.id, told.ttlSeconds != nil else { return }
        _ = checks.set(CheckID(place: registry, check: id), Check(service: told.serviceId, ttl: told.ttlSeconds))
    }

    // MARK: - Values

    private static func status(_ text: String?) -> String? {
        guard let text = text?.lowercased() else { return nil }
        return ["passing", "warning", "critical"].contains(text) ? text : nil
    }

    /// Whole seconds, rounded up: too early a lapse would take a living service out.
    private static func ttl(_ check: Fields) -> Int? {
        if let text = check.text("TTL") { return GoDuration.seconds(text) }
        // A number stands for nanoseconds there.
        guard let nanoseconds = check.plainNumber("TTL"), nanoseconds > 0 else { return nil }
        return Int((nanoseconds - 1) / 1_000_000_000) + 1
    }
}

/// Durations as Go's time.ParseDuration reads them: "15s", "1m30s", "1.5h".
enum GoDuration {
    /// Whole seconds, rounded up; nil where it is none, not above 0, or above a hundred years.
    static func seconds(_ text: String) -> Int? {
        guard (1...64).contains(text.utf8.count) else { return nil }
        var rest = Substring(text)
        if rest.first == "+" { rest = rest.dropFirst() }
        var total = 0.0
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
            guard let number = Double(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter }
            guard let scale = units[String(unit)] else { return nil }
            rest = rest.dropFirst(unit.count)
            total += number * scale
        }
        guard total > 0, total < 3.2e9 else { return nil }
        return Int(total.rounded(.up))
    }

    private static let units = ["ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600]
}
