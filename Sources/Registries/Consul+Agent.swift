import Model

/// What is said to an agent of its own services and checks.
extension Consul {
    func service(_ request: HTTPRequest) -> [Advertisement] {
        let path = request.path
        switch (request.method, path[3], path.count) {
        case ("PUT", "register", 4), ("POST", "register", 4): return registration(request)
        case ("PUT", "deregister", 5...), ("POST", "deregister", 5...), ("GET", "deregister", 5...):
            var asked = Advertisement(registry: Self.name, op: .deregister)
            asked.id = Bounds.name(path[4...].joined(separator: "/"))
            return asked.id == nil ? [] : [asked]
        case ("PUT", "maintenance", 5...):
            return Bounds.name(path[4...].joined(separator: "/")).map { [maintenance(request, of: $0)] } ?? []
        default: return []
        }
    }

    private func registration(_ request: HTTPRequest) -> [Advertisement] {
        guard let fields = fields(request) else { return [] }
        guard let service = ConsulService(fields, nameField: "Name") else {
            unreadable += 1
            return []
        }
        var told = service.registrations() + Self.states(of: service)
        if let sidecar = service.sidecar {
            told += sidecar.registrations().map { registration in
                var one = registration
                one.serviceId = service.id
                return one
            }
            told += Self.states(of: sidecar)
        }
        return told
    }

    private static func states(of service: ConsulService) -> [Advertisement] {
        let checks = service.checks
        return checks.prefix(16).enumerated().compactMap { index, check in
            guard let ttl = ttl(check) else { return nil }
            var state = Advertisement(registry: name, op: .status)
            let number = checks.count > 1 ? index + 1 : nil
            state.id = Bounds.name(check.text("CheckID")) ?? ConsulCheck.name(of: service.id, number: number)
            state.serviceId = service.id
            state.ttlSeconds = ttl
            state.status = status(check.text("Status"))
            return state
        }
    }

    /// Maintenance is a critical check that Consul adds itself; its end says nothing of the others.
    func maintenance(_ request: HTTPRequest, of service: String?) -> Advertisement {
        var told = Advertisement(registry: Self.name, op: .status)
        told.id = service.map { "_service_maintenance:\($0)" } ?? "_node_maintenance"
        told.serviceId = service
        if request.query["enable"]?.lowercased() == "true" { told.status = "maintenance" }
        return told
    }

    // MARK: - Checks

    func check(_ request: HTTPRequest, _ scope: Scope, _ registry: RegistryPlace) -> [Advertisement] {
        let path = request.path
        if ["PUT", "POST"].contains(request.method), path[3] == "register", path.count == 4 {
            return checkRegistration(request)
        }
        guard path.count >= 5, let id = Bounds.name(path[4...].joined(separator: "/")) else { return [] }
        var told = Advertisement(registry: Self.name, op: .heartbeat)
        told.id = id
        let known = memory.check(id, scope, in: registry)
        let named = ConsulCheck.services(named: id)
        told.serviceId = known?.service ?? (named.count == 1 ? named[0] : nil)
        told.ttlSeconds = known?.ttl
        switch (request.method, path[3]) {
        case ("PUT", "pass"), ("POST", "pass"), ("GET", "pass"): told.status = "passing"
        case ("PUT", "warn"), ("POST", "warn"), ("GET", "warn"): told.status = "warning"
        case ("PUT", "fail"), ("POST", "fail"), ("GET", "fail"): told.status = "critical"
        case ("PUT", "update"), ("POST", "update"):
            guard let fields = fields(request) else { return [] }
            told.status = Self.status(fields.text("Status"))
        case ("PUT", "deregister"), ("POST", "deregister"), ("GET", "deregister"):
            // Nothing needs to be renewed any more.
            told.op = .status
            told.ttlSeconds = 0
        default: return []
        }
        // Who reports itself critical lives, but it is not to be sent anything.
        if told.status == "critical" { told.op = .status }
        return [told]
    }

    private func checkRegistration(_ request: HTTPRequest) -> [Advertisement] {
        guard let fields = fields(request) else { return [] }
        guard let told = Self.state(fields) else {
            unreadable += 1
            return []
        }
        return [told]
    }

    /// A check as it is registered, alone or in the catalog.
    static func state(_ fields: Fields) -> Advertisement? {
        let named = Bounds.name(fields.text("CheckID")) ?? Bounds.name(fields.text("ID"))
        guard let id = named ?? Bounds.name(fields.text("Name")) else { return nil }
        var told = Advertisement(registry: name, op: .status)
        told.id = id
        told.serviceId = Bounds.name(fields.text("ServiceID"))
        told.node = Bounds.name(fields.text("Node"))
        told.ttlSeconds = ttl(fields)
        told.status = status(fields.text("Status"))
        told.namespace = Bounds.name(fields.text("Namespace"))
        told.partition = Bounds.name(fields.text("Partition"))
        return told
    }
}
