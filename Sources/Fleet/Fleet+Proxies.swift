public import Model

/// What one proxy carries.
enum Group: Hashable, Sendable {
    case service(ServiceID)
    /// All services that exactly these VMs offer; addresses sorted.
    case vms(NetworkID, [IPv4Address])
}

/// What the data plane made of a proxy.
public enum ProxyStatus: Hashable, Sendable, Codable {
    case loading(since: Instant)
    case loaded(since: Instant)
    case failed(since: Instant, why: String)
}

/// From services to proxies, and from proxies to what has to be loaded.
extension Fleet {
    /// Every proxy that should be loaded now. For comparison with what is loaded; the actions lead to the same.
    public var wanted: [ProxySpec] { specs(honouringModes: true) }

    /// What this proxy should be; nil: it should not be.
    public func wanted(_ id: ProxyID) -> ProxySpec? { emitted[id] }

    /// The proxies of `wanted`.
    public var wantedIDs: Set<ProxyID> { Set(emitted.keys) }

    /// What `wanted` would be if everything were in enforce mode.
    public var planned: [ProxySpec] { specs(honouringModes: false) }

    private func specs(honouringModes: Bool) -> [ProxySpec] {
        var groups: [Group: [ServiceSpec]] = [:]
        for service in byService.keys {
            guard let spec = spec(of: service, honouringModes: honouringModes) else { continue }
            groups[group(of: spec), default: []].append(spec)
        }
        return groups.flatMap { proxies(for: $0.key, carrying: $0.value) }.sorted { $0.id < $1.id }
    }

    /// What the service needs of a proxy; nil: nothing.
    func spec(of service: ServiceID, honouringModes: Bool = true) -> ServiceSpec? {
        var backends: [Backend] = []
        for id in byService[service] ?? [] {
            guard let instance = instances[id], instance.service == service else { continue }
            if honouringModes, mode(of: instance) == .observe { continue }
            if let backend = backend(of: instance) { backends.append(backend) }
        }
        guard !backends.isEmpty else { return nil }
        backends.sort { ($0.address, $0.port) < ($1.address, $1.port) }
        let answers = backends.contains { $0.state != .guarded }
        return ServiceSpec(
            id: service, vip: answers ? vips[service] : nil, backends: backends,
            policy: policies[service] ?? PolicyRules())
    }

    private func backend(of instance: Instance) -> Backend? {
        guard let address = instance.id.address.v4, let place = instance.place, let state = backendState(of: instance)
        else { return nil }
        return Backend(address: address, port: instance.id.port, mac: place.mac, device: place.port, state: state)
    }

    private func backendState(of instance: Instance) -> Backend.State? {
        if instance.live { return .live }
        guard instance.carried else { return nil }
        switch instance.phase {
        case .draining: return .draining
        case .guarded: return .guarded
        // Not carried for a while, or its guest has muddled its evidence: it is reached without a proxy meanwhile.
        case .lost, .held: return denies(instance.service) && instance.judgement.verdict != .container ? .guarded : nil
        }
    }

    private func group(of spec: ServiceSpec) -> Group {
        switch settings.grouping {
        case .service: .service(spec.id)
        case .vm: .vms(spec.id.network, Array(Set(spec.backends.map(\.address))).sorted())
        }
    }

    /// One proxy, or more where one program has no room for all backends.
    private func proxies(for group: Group, carrying services: [ServiceSpec]) -> [ProxySpec] {
        var chunks: [[ServiceSpec]] = []
        var room = 0
        for service in services.sorted(by: { $0.id < $1.id }) {
            if service.backends.count > room || chunks.last.map({ $0.count >= settings.servicesPerProxy }) ?? true {
                chunks.append([])
                room = settings.backendsPerProxy
            }
            chunks[chunks.count - 1].append(service)
            room -= service.backends.count
        }
        return chunks.enumerated().map { number, services in
            ProxySpec(id: Self.proxyID(of: group, part: number), services: services)
        }
    }

    static func proxyID(of group: Group, part: Int = 0) -> ProxyID {
        let suffix = part == 0 ? "" : "#\(part + 1)"
        switch group {
        case .service(let service):
            return ProxyID(network: service.network, name: name(of: service) + suffix)
        case .vms(let network, let addresses):
            let listed = 8
            var name = addresses.prefix(listed).map(\.description).joined(separator: "+")
            if addresses.count > listed {
                let all = addresses.map(\.description).joined(separator: "+")
                name += "+\(addresses.count - listed)-more-" + String(stableHash(all), radix: 16)
            }
            return ProxyID(network: network, name: name + suffix)
        }
    }

    /// "web" or "blue/web": no two services have the same, whatever slashes a guest puts into a name.
    static func name(of service: ServiceID) -> String {
        if service.namespace == "default", !service.name.utf8.contains(UInt8(ascii: "/")) { return service.name }
        return "\(service.namespace.asSegment)/\(service.name)"
    }

    /// Brings what the data plane was told to what is wanted now, for the services that changed.
    mutating func emit(at now: Instant) -> (loads: [ProxySpec], unloads: [ProxyID]) {
        var changed: Set<Group> = []
        for service in dirty.sorted() {
            updateVIP(of: service, at: now)
            let group = spec(of: service).map { self.group(of: $0) }
            let old = groupOf[service]
            if let old, old != group {
                groups[old]?.remove(service)
                if groups[old]?.isEmpty == true { groups[old] = nil }
                changed.insert(old)
            }
            groupOf[service] = group
            if let group {
                groups[group, default: []].insert(service)
                changed.insert(group)
            }
        }
        dirty.removeAll(keepingCapacity: true)
        return difference(changed, at: now)
    }

    private mutating func difference(
        _ changed: Set<Group>, at now: Instant
    ) -> (loads: [ProxySpec], unloads: [ProxyID]) {
        var loads: [ProxySpec] = []
        var before: [ProxyID: ProxySpec] = [:]
        var unloads: [ProxyID] = []
        for group in changed {
            let proxies = proxies(for: group, carrying: (groups[group] ?? []).compactMap { spec(of: $0) })
            let ids = Set(proxies.map(\.id))
            unloads += (emittedOf[group] ?? []).subtracting(ids)
            emittedOf[group] = ids.isEmpty ? nil : ids
            for proxy in proxies where emitted[proxy.id] != proxy {
                loads.append(proxy)
                before[proxy.id] = emitted.updateValue(proxy, forKey: proxy.id)
                statuses[proxy.id] = .loading(since: now)
            }
        }
        for id in unloads {
            emitted[id] = nil
            statuses[id] = nil
        }
        return (Self.takersFirst(loads.sorted { $0.id < $1.id }, before: before), unloads.sorted())
    }

    /// Who gives a service up comes after him who takes it: between the two nobody would carry it.
    private static func takersFirst(_ loads: [ProxySpec], before: [ProxyID: ProxySpec]) -> [ProxySpec] {
        var taken: [ServiceID: ProxyID] = [:]
        for load in loads { for service in load.services { taken[service.id] = load.id } }
        var givesTo: [ProxyID: Set<ProxyID>] = [:]
        for load in loads {
            let takers = Set((before[load.id]?.services ?? []).compactMap { taken[$0.id] }).subtracting([load.id])
            if !takers.isEmpty { givesTo[load.id] = takers }
        }
        var ordered = loads.filter { givesTo[$0.id] == nil }
        var waiting = loads.filter { givesTo[$0.id] != nil }
        while !waiting.isEmpty {
            // In a ring of givers and takers somebody has to begin.
            let open = Set(waiting.map(\.id))
            let next = waiting.firstIndex { givesTo[$0.id]?.isDisjoint(with: open) ?? true } ?? 0
            ordered.append(waiting.remove(at: next))
        }
        return ordered
    }

    /// A service gets its VIP with its first live instance, in observe mode too: it is shown, and stays the same.
    private mutating func updateVIP(of service: ServiceID, at now: Instant) {
        let members = (byService[service] ?? []).compactMap { instances[$0] }.filter { $0.service == service }
        guard let first = members.filter(\.live).min(by: { $0.id < $1.id }) else {
            if members.isEmpty {
                vipProblems[service] = nil
                if let givenUp = vips.rest(service, since: now) { records.append(.vipReleased(service: givenUp)) }
            }
            return
        }
        switch vips.use(service, port: first.id.port, behind: first.limitPort) {
        case .kept: vipProblems[service] = nil
        case .none(let why): vipProblems[service] = why
        case .assigned(let givenUp):
            vipProblems[service] = nil
            if let givenUp { records.append(.vipReleased(service: givenUp)) }
            if let frontend = vips[service] { records.append(.vip(service: service, frontend: frontend)) }
        }
    }

    /// The data plane could not do it. It tries again when it compares; this is for people.
    public mutating func loadFailed(_ id: ProxyID, _ why: String, at now: Instant) {
        guard emitted[id] != nil else { return }
        statuses[id] = .failed(since: now, why: why)
    }

    public mutating func loaded(_ id: ProxyID, at now: Instant) {
        guard emitted[id] != nil else { return }
        if case .loaded = statuses[id] { return }
        statuses[id] = .loaded(since: now)
    }
}
