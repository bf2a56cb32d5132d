import Model

/// After a start: what the journal says, with time for everybody to be heard again.
extension Fleet {
    mutating func restore(_ records: [Record], at now: Instant) {
        var puts: [InstanceID: InstanceRecord] = [:]
        for record in records {
            switch record {
            case .instance(let put): puts[put.id] = put
            case .instanceGone(let id): puts[id] = nil
            case .vip(let service, let frontend): vips.restore(service, frontend, at: now)
            case .vipReleased(let service): vips.release(service)
            case .policy(let service, let rules): policies[service] = rules
            case .policyRemoved(let service): policies[service] = nil
            case .declared(let declaration): declarations[declaration.instance] = declaration
            case .undeclared(let id): declarations[id] = nil
            case .mode(let scope, let mode): _ = set(mode, for: scope)
            }
        }
        for put in puts.values.sorted(by: { $0.id < $1.id }).prefix(settings.instances) { restore(put, at: now) }
        for declaration in declarations.values where instances[declaration.instance] == nil {
            hold(declaration, at: now)
        }
        self.records.removeAll()
    }

    private mutating func restore(_ record: InstanceRecord, at now: Instant) {
        var instance = Instance(restoring: record, at: now)
        instance.graceUntil = now + settings.restoreGrace
        instance.nextProbe = now
        switch instance.phase {
        // Its connections were not counted meanwhile: they get their time anew.
        case .draining: instance.phase = .draining(since: now, until: now + settings.drain)
        case .lost: instance.forgetAt = now + settings.forget
        case .held, .guarded: break
        }
        instance.holders.removeAll { $0.registrant == nil && declarations[record.id] == nil }
        // The wall clock may have been set back since: nothing was registered after now.
        for index in instance.holders.indices {
            instance.holders[index].since = min(instance.holders[index].since, now)
        }
        reindex(&instance)
        instances[record.id] = instance
        byHost[instance.host, default: []].insert(record.id)
        if let heard = instance.heard { bindings[instance.host] = heard }
        for holder in instance.holders { restore(holder, record.id, at: now) }
        touched.insert(record.id)
    }

    private mutating func restore(_ holder: Holder, _ id: InstanceID, at now: Instant) {
        index(holder, id)
        guard let key = holder.leaseKey else { return }
        var lease =
            leases[key]
            ?? Lease(
                ttlSeconds: holder.ttlSeconds.map { min($0, Settings.longestLease) }, lapsed: holder.lapsed, heard: now)
        lease.deadline = lease.ttlSeconds.map { now + max(.seconds($0), settings.restoreGrace) }
        lease.instances.insert(id)
        leases[key] = lease
        if !lease.lapsed { timers.set(.lease(key), lease.deadline) }
    }

    /// About as many as `liveRecords`, without making them.
    public var liveRecordCount: Int { instances.count + vips.all.count + policies.count + declarations.count }

    /// Everything that a journal has to hold to be restored to this state: what compaction writes.
    public var liveRecords: [Record] {
        var all: [Record] = instances.values.compactMap { $0.recorded.map { .instance(put: $0) } }
        all += vips.all.map { .vip(service: $0.key, frontend: $0.value) }
        all += policies.map { .policy(service: $0.key, rules: $0.value) }
        all += declarations.values.map { .declared(declaration: $0) }
        if let nodeMode { all.append(.mode(scope: .all, mode: nodeMode)) }
        all += portModes.map { .mode(scope: .port($0.key), mode: $0.value) }
        all += serviceModes.map { .mode(scope: .service($0.key), mode: $0.value) }
        return all
    }
}
