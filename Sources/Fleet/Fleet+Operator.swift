public import Model

/// What the operator says. His word is journaled, and stays until he takes it back.
extension Fleet {
    /// Declares an instance: it is carried as if its registry had told of it.
    public mutating func declared(_ declaration: Declaration, at now: Instant) -> [Action] {
        let id = declaration.instance
        guard declaration.service.network == id.network, declarations[id] != declaration else { return [] }
        if let old = declarations[id], old.service != declaration.service { release(id) { $0.registrant == nil } }
        declarations[id] = declaration
        records.append(.declared(declaration: declaration))
        hold(declaration, at: now)
        return finish(at: now)
    }

    mutating func hold(_ declaration: Declaration, at now: Instant) {
        let id = declaration.instance
        if let instance = instances[id] {
            dirty.insert(instance.service)
        } else {
            create(id, service: declaration.service, at: now)
        }
        let holder = Holder(
            service: declaration.service, registry: "declared", registration: id.description, lease: nil,
            ttlSeconds: nil, registrant: nil, port: nil, confirmed: true, foreign: false, lapsed: false, since: now)
        update(id) { instance in
            instance.holders.removeAll { $0.registrant == nil }
            // He who may decide goes first.
            instance.holders.insert(holder, at: 0)
            instance.service = declaration.service
            instance.damped = nil
            if let place = declaration.place { instance.place = place }
        }
        judge(id, at: now)
        if let instance = instances[id], instance.place == nil || instance.probe == nil { ask(id, at: now) }
    }

    public mutating func undeclared(_ id: InstanceID, at now: Instant) -> [Action] {
        guard declarations.removeValue(forKey: id) != nil else { return [] }
        records.append(.undeclared(id: id))
        release(id) { $0.registrant == nil }
        judge(id, at: now)
        return finish(at: now)
    }

    /// Sets the rules of a service, whether it is known yet or not; nil removes them, and with them what they kept on
    /// the addresses of instances that are gone. The rules are checked elsewhere (`PolicyRules.problems`).
    public mutating func policy(_ service: ServiceID, _ rules: PolicyRules?, at now: Instant) -> [Action] {
        guard policies[service] != rules else { return [] }
        policies[service] = rules
        records.append(
            rules.map { .policy(service: service, rules: $0) } ?? .policyRemoved(service: service))
        dirty.insert(service)
        touched.formUnion(byService[service] ?? [])
        return finish(at: now)
    }

    public func policy(of service: ServiceID) -> PolicyRules? { policies[service] }
    public var declarationsInForce: [Declaration] { declarations.values.sorted { $0.instance < $1.instance } }

    /// Nil: as the next wider scope says, in the end the configuration.
    public mutating func mode(_ mode: Mode?, for scope: ModeScope, at now: Instant) -> [Action] {
        guard set(mode, for: scope) else { return [] }
        records.append(.mode(scope: scope, mode: mode))
        switch scope {
        case .service(let service): dirty.insert(service)
        case .port(let port): dirty.formUnion(services(on: port))
        case .all: dirty.formUnion(byService.keys)
        }
        return finish(at: now)
    }

    /// False: it was so already.
    mutating func set(_ mode: Mode?, for scope: ModeScope) -> Bool {
        switch scope {
        case .all:
            defer { nodeMode = mode }
            return nodeMode != mode
        case .port(let port):
            defer { portModes[port] = mode }
            return portModes[port] != mode
        case .service(let service):
            defer { serviceModes[service] = mode }
            return serviceModes[service] != mode
        }
    }

    /// The node's.
    public var mode: Mode { nodeMode ?? settings.mode }

    public func mode(of service: ServiceID) -> Mode { serviceModes[service] ?? mode }

    func mode(of instance: Instance) -> Mode {
        serviceModes[instance.service] ?? instance.place.flatMap { ownMode(of: $0.port) } ?? mode
    }

    /// In which mode a port's program has to run. A port that is not left out by name enforces as soon as anything
    /// at all is taken in: packets of that service may come by any port, and no others are touched.
    public func mode(of port: PortName) -> Mode {
        if let own = ownMode(of: port) { return own }
        let anything =
            mode == .enforce || serviceModes.values.contains(.enforce) || portModes.values.contains(.enforce)
            || ports.values.contains { $0.mode == .enforce }
        return anything ? .enforce : .observe
    }

    private func ownMode(of port: PortName) -> Mode? { portModes[port] ?? ports[port]?.mode }

    func services(on port: PortName) -> Set<ServiceID> {
        Set((byPort[port] ?? []).compactMap { instances[$0]?.service })
    }
}
