import Model

/// Who holds an instance, and by which lease.
extension Fleet {
    mutating func create(_ id: InstanceID, service: ServiceID, at now: Instant) {
        var instance = Instance(id: id, service: service, since: now)
        instance.damped = dampedUntil(id, at: now)
        instances[id] = instance
        byHost[instance.host, default: []].insert(id)
        touched.insert(id)
    }

    /// A registration that counts, or will when a probe agrees, or is only shown.
    mutating func attach(_ claim: Claim, _ hearing: Hearing, at now: Instant) {
        guard instances[claim.instance] != nil else { return }
        let holder = Holder(
            service: claim.service, registry: hearing.advertisement.registry, registration: claim.registration,
            lease: claim.lease, ttlSeconds: claim.ttlSeconds, registrant: hearing.source, port: hearing.port,
            confirmed: claim.standing == .own && hearing.advertisement.accepted == true && !claim.assumed,
            assumed: claim.assumed, hostName: claim.hostName, rests: claim.rests ? true : nil,
            foreign: claim.standing == .foreign, lapsed: false, since: now)
        guard add(holder, to: claim.instance, at: now) else {
            return refuse(hearing, "\(settings.holdersPerInstance) registrations hold it already, the limit", at: now)
        }
        if claim.standing == .own { settleIn(claim.instance, as: claim.service, hearing, now: now) }
        // In its name the guest will be asked: a multicast group asks nobody.
        let registry = hearing.advertisement.registryIp.flatMap { IPAddress($0) }
        if claim.standing != .foreign, let registry, registry.isUnicast {
            update(claim.instance) { $0.registry = registry }
        }
        if !settings.probing, claim.standing == .own { revive(claim.instance) }
        judge(claim.instance, at: now)
        probeIfDoubtful(claim.instance, at: now)
    }

    /// Its own frames were seen here. `bind` has made sure that the address is not another port's.
    private mutating func settleIn(_ id: InstanceID, as service: ServiceID, _ hearing: Hearing, now: Instant) {
        guard let known = instances[id] else { return }
        let place = hearing.place
        if bindings[known.host] == nil { bindings[known.host] = place }
        if known.isGuarded, service == known.service {
            // It returns, perhaps as another machine on the same port: found out as if it were new.
            let forget = now + settings.forget
            update(id) { instance in
                (instance.heard, instance.place, instance.probe, instance.open) = (place, place, nil, false)
                instance.phase = .lost(since: now, dead: false, why: "it came back, and is not confirmed yet")
                (instance.forgetAt, instance.asked) = (forget, nil)
            }
            return
        }
        if let old = known.place, old.port == place.port, old.mac != place.mac {
            sighted(known.host, at: place, now: now)
        }
        update(id) { instance in
            instance.heard = instance.heard ?? place
            instance.place = instance.place ?? place
            if instance.heard == place { instance.traces.hopLimit = hearing.hopLimit }
        }
    }

    /// False: there is no room, not even by dropping a foreign claim.
    mutating func add(_ holder: Holder, to id: InstanceID, at now: Instant) -> Bool {
        guard let instance = instances[id] else { return false }
        var holder = holder
        let holders = instance.holders
        let same = holders.firstIndex {
            $0.registrationKey == holder.registrationKey && $0.registrant == holder.registrant
        }
        if let same {
            let old = holders[same]
            holder.since = old.since
            holder.restsByOrder = old.restsByOrder
            // Said again without its answer in view: what was confirmed stays so.
            holder.confirmed = holder.confirmed || (old.confirmed && old.service == holder.service)
            replace(old, by: holder, of: id)
        } else {
            if holders.count >= settings.holdersPerInstance {
                guard !holder.foreign, let foreign = holders.first(where: \.foreign) else { return false }
                release(id) { $0 == foreign }
            }
            index(holder, id)
            update(id) { $0.holders.append(holder) }
        }
        holdLease(of: holder, id, at: now)
        return true
    }

    /// The registration says something else now, or is heard elsewhere.
    mutating func replace(_ old: Holder, by new: Holder, of id: InstanceID) {
        guard let instance = instances[id], let place = instance.holders.firstIndex(of: old) else { return }
        var left = instance.holders
        left[place] = new
        unindex(old, id, stillHeldBy: left)
        index(new, id)
        update(id) { $0.holders = left }
    }

    mutating func index(_ holder: Holder, _ id: InstanceID) {
        if let registrant = holder.registrant { byRegistration[holder.registrationKey, default: [:]][registrant] = id }
        if let port = holder.port { servicesByPort[port, default: [:]][holder.service, default: 0] += 1 }
        for check in holder.checkKeys { checks[check] = holder.leaseKey }
    }

    /// Lets go of what matches.
    mutating func release(_ id: InstanceID, where matches: (Holder) -> Bool) {
        guard let instance = instances[id] else { return }
        let gone = instance.holders.filter(matches)
        guard !gone.isEmpty else { return }
        let left = instance.holders.filter { !matches($0) }
        update(id) { $0.holders = left }
        for holder in gone { unindex(holder, id, stillHeldBy: left) }
    }

    private mutating func unindex(_ holder: Holder, _ id: InstanceID, stillHeldBy left: [Holder]) {
        if let registrant = holder.registrant, byRegistration[holder.registrationKey]?[registrant] == id {
            byRegistration[holder.registrationKey]?[registrant] = nil
            if byRegistration[holder.registrationKey]?.isEmpty == true { byRegistration[holder.registrationKey] = nil }
        }
        if let port = holder.port, let count = servicesByPort[port]?[holder.service] {
            servicesByPort[port]?[holder.service] = count > 1 ? count - 1 : nil
            if servicesByPort[port]?.isEmpty == true { servicesByPort[port] = nil }
        }
        for check in holder.checkKeys where checks[check] == holder.leaseKey { checks[check] = nil }
        guard let key = holder.leaseKey, !left.contains(where: { $0.leaseKey == key }) else { return }
        leases[key]?.instances.remove(id)
        guard leases[key]?.instances.isEmpty == true else { return }
        leases[key] = nil
        timers.remove(.lease(key))
    }

    /// Forgets an instance and everything that leads to it.
    mutating func remove(_ id: InstanceID) {
        release(id) { _ in true }
        guard let instance = instances.removeValue(forKey: id) else { return }
        touched.remove(id)
        timers.remove(.instance(id))
        draining.remove(id)
        awaitingList.remove(id)
        unindex(instance.host, machine: instance.indexedMachine)
        byHost[instance.host]?.remove(id)
        if byHost[instance.host]?.isEmpty == true {
            byHost[instance.host] = nil
            bindings[instance.host] = nil
        }
        if let port = instance.indexedPort { unindex(id, port: port) }
        for service in instance.indexedNames { unindex(id, service: service) }
        dirty.insert(instance.service)
        if instance.recorded != nil { records.append(.instanceGone(id: id)) }
    }

    /// Brings the indexes that follow from an instance's facts up to date.
    mutating func reindex(_ instance: inout Instance) {
        let port = instance.limitPort
        if port != instance.indexedPort {
            if let old = instance.indexedPort { unindex(instance.id, port: old) }
            if let port { byPort[port, default: []].insert(instance.id) }
            instance.indexedPort = port
        }
        reindexMachine(&instance)
        let names = Set(instance.holders.map(\.service)).union([instance.service])
        guard names != instance.indexedNames else { return }
        for old in instance.indexedNames.subtracting(names) {
            unindex(instance.id, service: old)
            dirty.insert(old)
        }
        for new in names.subtracting(instance.indexedNames) { byService[new, default: []].insert(instance.id) }
        instance.indexedNames = names
    }

    private mutating func unindex(_ id: InstanceID, port: PortName) {
        byPort[port]?.remove(id)
        if byPort[port]?.isEmpty == true { byPort[port] = nil }
    }

    private mutating func unindex(_ id: InstanceID, service: ServiceID) {
        byService[service]?.remove(id)
        if byService[service]?.isEmpty == true { byService[service] = nil }
    }
}
