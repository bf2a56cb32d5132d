internal import BPFRuntime
internal import CRemoraABI
public import Model

extension Dataplane {
    /// What `apply` did.
    public enum Applied: Sendable, Equatable {
        case unchanged
        /// Backends or tables were written in place.
        case updated
        case loaded(microseconds: Int)
        /// A whole new program beside the old one, swapped in one update.
        case replaced(microseconds: Int)
    }

    /// The proxies that are in the kernel, adopted ones included.
    public var loadedProxies: Set<ProxyID> { Set(proxies.keys) }

    /// Makes the kernel hold `spec`. On failure the old proxy, if there was one, stands as it was.
    @discardableResult
    public func apply(_ spec: ProxySpec) throws(DataplaneError) -> Applied {
        let start = ContinuousClock.now
        let fresh = try assignSlots(spec)
        do throws(DataplaneError) {
            let plan = try plan(for: spec)
            let applied = try bring(spec, to: plan, since: start)
            return applied
        } catch {
            for id in fresh { release(id) }
            throw error
        }
    }

    private func plan(for spec: ProxySpec) throws(DataplaneError) -> ProxyPlan {
        let loaded = proxies[spec.id]
        let layout = try during("read back proxy \(spec.id)") { () throws(BPFError) in try loaded?.proxy.layout() ?? []
        }
        return try ProxyPlan(
            spec, slots: spec.services.map { serviceSlots[$0.id] ?? 0 }, layout: layout, build: maps.build,
            route: { route(to: $0) })
    }

    private func bring(_ spec: ProxySpec, to plan: ProxyPlan, since start: ContinuousClock.Instant)
        throws(DataplaneError) -> Applied
    {
        let operation = "apply proxy \(spec.id)"
        guard let loaded = proxies[spec.id],
            try during(operation, { () throws(BPFError) in try loaded.proxy.holds(plan) })
        else { return try replace(spec, with: plan, since: start) }
        let difference = try during(operation) { () throws(BPFError) in try loaded.proxy.update(to: plan) }
        try during(operation) { () throws(BPFError) in
            try publish(plan, owner: spec.id)
            if difference.backendsMoved { try maps.moveGenerations(plan.services.compactMap { serviceSlots[$0] }) }
            try purge(released: difference.released(in: spec.id.network), by: spec.id)
        }
        proxies[spec.id]?.spec = spec
        return difference.writes > 0 || loaded.spec.map { $0 != spec } ?? false ? .updated : .unchanged
    }

    /// Whole and aside first; then pins, then each slot by one atomic update. Undone in reverse.
    private func replace(_ spec: ProxySpec, with plan: ProxyPlan, since start: ContinuousClock.Instant)
        throws(DataplaneError) -> Applied
    {
        let old = proxies[spec.id]
        let operation = old == nil ? "load proxy \(spec.id)" : "replace proxy \(spec.id)"
        let slots = spec.services.compactMap { serviceSlots[$0.id] }
        var undo: [() throws -> Void] = []
        do throws(BPFError) {
            let proxy = try LoadedProxy(plan, from: maps, at: pinDirectory(of: spec.id))
            try proxy.pin()
            undo.append {
                if let old { try old.proxy.pin() } else { try proxy.directory.remove() }
            }
            for (slot, service) in zip(slots, spec.services) {
                let previous = slotOwner[slot].flatMap { proxies[$0]?.proxy }
                try maps.services.set(slot, Self.name(of: service.id))
                try maps.proxies.set(slot, UInt32(bitPattern: proxy.program.descriptor.raw))
                undo.append { [maps] in
                    if let previous {
                        try maps.proxies.set(slot, UInt32(bitPattern: previous.program.descriptor.raw))
                    } else {
                        try maps.proxies.remove(slot)
                    }
                }
            }
            try publish(plan, owner: spec.id)
            // last: what was decided before is decided again
            try maps.moveGenerations(plan.services.compactMap { serviceSlots[$0] })
            for slot in slots { slotOwner[slot] = spec.id }
            let elapsed = Int((ContinuousClock.now - start) / .microseconds(1))
            proxies[spec.id] = Loaded(proxy: proxy, services: plan.services, spec: spec, loadMicroseconds: elapsed)
            retireSlots(of: old, keeping: Set(slots), owner: spec.id)
            return old == nil ? .loaded(microseconds: elapsed) : .replaced(microseconds: elapsed)
        } catch {
            let keep = old?.spec.flatMap { try? self.plan(for: $0) }
            try? withdraw(all: keep, owner: spec.id)
            for step in undo.reversed() { try? step() }
            throw DataplaneError(error, operation)
        }
    }

    /// Frontends, VIPs and neighbours, new before old; then what the plan no longer has.
    private func publish(_ plan: ProxyPlan, owner: ProxyID) throws(BPFError) {
        let name = owner.description
        for (key, value) in plan.neighbours {
            try neighbours.set(key, owner: name, slot: slot(of: plan), value: value)
        }
        for (key, value) in plan.frontends { try frontends.set(key, owner: name, slot: value.service, value: value) }
        for (key, slot) in plan.vips { try vips.set(key, owner: name, slot: slot, value: slot) }
        try withdraw(all: plan, owner: owner)
    }

    /// Neighbours belong to the proxy as a whole: its first slot stands for it.
    private func slot(of plan: ProxyPlan) -> UInt32 { plan.services.first.flatMap { serviceSlots[$0] } ?? 0 }

    private func withdraw(all but: ProxyPlan?, owner: ProxyID) throws(BPFError) {
        let name = owner.description
        try vips.retain(Set(but.map { Array($0.vips.keys) } ?? []), owner: name)
        try frontends.retain(Set(but.map { Array($0.frontends.keys) } ?? []), owner: name)
        try neighbours.retain(Set(but.map { Array($0.neighbours.keys) } ?? []), owner: name)
    }

    /// Frontends first, so that no packet meets an empty slot; then pins, and the flows of what nobody carries now.
    public func remove(_ id: ProxyID) throws(DataplaneError) {
        guard let loaded = proxies[id] else { return }
        try during("unload proxy \(id)") { () throws(BPFError) in
            let backends = try loaded.proxy.layout()
            try withdraw(all: nil, owner: id)
            try loaded.proxy.directory.remove()
            try purge(
                released: Set(backends.filter(\.isCarried).map { $0.instance(network: id.network) }), by: id)
        }
        proxies[id] = nil
        retireSlots(of: loaded, keeping: [], owner: id)
    }

    /// Services move from one proxy to another with their connections: those stay that lead where their service's proxy
    /// carries them now.
    private func purge(released instances: Set<InstanceID>, by id: ProxyID) throws(BPFError) {
        guard !instances.isEmpty else { return }
        let carried = proxies.filter { $0.key != id }.compactMapValues { $0.spec?.carried.intersection(instances) }
        try purge(instances) { flow in
            slotOwner[UInt32(flow.service)].flatMap { carried[$0] }?.contains(flow.instance) ?? false
        }
    }

    private func retireSlots(of loaded: Loaded?, keeping: Set<UInt32>, owner: ProxyID) {
        for service in loaded?.services ?? [] {
            guard let slot = serviceSlots[service], !keeping.contains(slot), slotOwner[slot] == owner else { continue }
            slotOwner[slot] = nil
            release(service)
        }
    }

    private func release(_ service: ServiceID) {
        guard let slot = serviceSlots.removeValue(forKey: service) else { return }
        // a slot that cannot be emptied is never given out again: its frontends are gone, so nothing leads there
        guard (try? maps.proxies.remove(slot)) != nil, (try? maps.services.remove(slot)) != nil,
            (try? maps.moveGenerations([slot])) != nil
        else { return }
        slots.free(slot)
    }

    /// A slot for each service that has none; those that are new.
    private func assignSlots(_ spec: ProxySpec) throws(DataplaneError) -> [ServiceID] {
        var fresh: [ServiceID] = []
        for service in spec.services where serviceSlots[service.id] == nil {
            guard let slot = slots.take(for: service.id) else {
                for id in fresh { release(id) }
                throw DataplaneError(
                    .full, "load proxy \(spec.id)", "all \(REMORA_MAX_SERVICES) service slots are taken")
            }
            serviceSlots[service.id] = slot
            fresh.append(service.id)
            try? maps.resetCounters(ofSlot: slot)
        }
        return fresh
    }

    private static func name(of service: ServiceID) -> remora_service {
        var value = remora_service()
        value.network = service.network.number
        setText(&value.namespace_name, service.namespace)
        setText(&value.name, service.name)
        return value
    }

    static let servicesDirectory: StaticString = "services"

    func pinDirectory(of id: ProxyID) -> PinDirectory {
        directory / Self.servicesDirectory / PinName(id.network.description) / PinName(id.name)
    }

    public func pins(of id: ProxyID) -> String { pinDirectory(of: id).path }
    public func loadMicroseconds(of id: ProxyID) -> Int? { proxies[id]?.loadMicroseconds }
    public func slots(of id: ProxyID) -> [UInt32] { proxies[id]?.proxy.slots ?? [] }
    public func slot(of service: ServiceID) -> UInt32? { serviceSlots[service] }
    public func programID(of id: ProxyID) -> UInt32? { try? proxies[id]?.proxy.program.info().id }
}
