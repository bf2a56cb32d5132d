import Model

/// Registrations that live as long as they are renewed: each by itself, or all that hang on one lease, session or
/// connection.
extension Fleet {
    mutating func holdLease(of holder: Holder, _ id: InstanceID, at now: Instant) {
        guard let key = holder.leaseKey else { return }
        // A Consul check starts anew with its registration. An etcd lease was granted before, and runs on; only one
        // that had lapsed is plainly alive again.
        var lease = leases[key]
        if lease == nil || lease?.lapsed == true || key.isCheck {
            let ttl = holder.ttlSeconds ?? lease?.ttlSeconds
            let revived = lease?.lapsed == true
            let deadline = ttl.map { now + .seconds($0) }
            lease = Lease(ttlSeconds: ttl, deadline: deadline, heard: now, instances: lease?.instances ?? [])
            timers.set(.lease(key), deadline)
            if revived { for other in lease?.instances ?? [] { markLapsed(false, on: other, lease: key) } }
        }
        lease?.instances.insert(id)
        leases[key] = lease
    }

    /// A lease's time may be over: heartbeats move its deadline without touching the timer.
    mutating func lapse(_ key: LeaseKey, at now: Instant) {
        guard let lease = leases[key], !lease.lapsed else { return }
        guard let deadline = lease.deadline, deadline <= now else { return timers.set(.lease(key), lease.deadline) }
        leases[key]?.lapsed = true
        for id in lease.instances { markLapsed(true, on: id, lease: key) }
    }

    private mutating func markLapsed(_ lapsed: Bool, on id: InstanceID, lease key: LeaseKey) {
        update(id) { instance in
            for index in instance.holders.indices where instance.holders[index].leaseKey == key {
                instance.holders[index].lapsed = lapsed
            }
        }
    }

    /// etcd: everything that hangs on the lease goes with it.
    mutating func revoke(_ name: String, _ hearing: Hearing, at now: Instant) {
        let said = hearing.advertisement
        let own = LeaseKey(network: hearing.network, registrant: hearing.source, registry: said.registry, name: name)
        if leases[own] == nil, settings.registrars.contains(hearing.source), said.accepted == true {
            let others = leases.keys.filter {
                $0.network == own.network && $0.registry == own.registry && $0.name == name
            }
            for key in others { for id in leases[key]?.instances ?? [] { release(id) { $0.leaseKey == key } } }
        }
        for id in leases[own]?.instances ?? [] where speaks(hearing, for: id) { release(id) { $0.leaseKey == own } }
    }

    /// False: nothing is known that it could renew.
    @discardableResult
    mutating func renew(_ hearing: Hearing, at now: Instant) -> Bool {
        guard let key = renewedLease(hearing), var lease = leases[key] else { return false }
        guard let first = lease.instances.first, renews(hearing, first) else { return true }
        let ttl = hearing.advertisement.leaseSeconds ?? lease.ttlSeconds
        var deadline = ttl.map { now + .seconds($0) }
        if key.isCheck {
            // One of several checks: it counts for its own time, and shortens no other's.
            deadline = [deadline, lease.deadline].compactMap { $0 }.max()
        } else {
            lease.ttlSeconds = ttl
        }
        // The timer stays where it is: `lapse` looks at the deadline when it goes off.
        let timed = timers.deadline(of: .lease(key)).map { timer in deadline.map { timer <= $0 } ?? true } ?? false
        let revived = lease.lapsed
        (lease.heard, lease.deadline, lease.lapsed) = (now, deadline, false)
        leases[key] = lease
        if !timed { timers.set(.lease(key), deadline) }
        guard revived else { return true }
        for id in lease.instances { markLapsed(false, on: id, lease: key) }
        return true
    }

    private func renewedLease(_ hearing: Hearing) -> LeaseKey? {
        let said = hearing.advertisement
        func known(_ name: String) -> LeaseKey? {
            let key = LeaseKey(
                network: hearing.network, registrant: hearing.source, registry: said.registry, name: name)
            return leases[key] == nil ? checks[key] : key
        }
        func check(of id: String) -> LeaseKey? { known(LeaseKey.check(said.registration(of: id))) }
        if let lease = said.leaseName { return known(LeaseKey.lease(lease)) }
        if let service = said.serviceId, let key = check(of: service) { return key }
        guard let registration = try? Claim.registration(of: said) else { return nil }
        if let key = known(LeaseKey.check(registration)) ?? lease(of: registration, hearing) { return key }
        // Consul names the check. Where its registration was not heard its name tells whose it is.
        guard let id = said.id, id.utf8.count <= Settings.longestRegistration + 16 else { return nil }
        return ConsulCheck.services(named: id).lazy.compactMap(check(of:)).first
    }

    /// What the registration itself hangs on, whatever that is called.
    private func lease(of registration: String, _ hearing: Hearing) -> LeaseKey? {
        let registry = hearing.advertisement.registry
        let key = RegistrationKey(network: hearing.network, registry: registry, registration: registration)
        let id = byRegistration[key]?[hearing.source]
        return id.flatMap { instances[$0] }?.holders.first {
            $0.registrationKey == key && $0.registrant == hearing.source
        }?.leaseKey
    }

    /// A check was registered, or reports how its service is (Consul); or an instance is taken out of service or put
    /// back. Critical is no heartbeat, and neither is a check that has not reported yet.
    mutating func status(_ hearing: Hearing, at now: Instant) {
        let said = hearing.advertisement
        learn(hearing, at: now)
        if said.status == "passing" || said.status == "warning" { renew(hearing, at: now) }
        if said.isAgentsMaintenance {
            let own = HostID(network: hearing.network, address: hearing.source)
            for id in byHost[own] ?? [] where speaks(hearing, for: id) {
                order(said.rests ?? false, id, of: hearing, at: now) {
                    $0.registry == said.registry && $0.registrant == hearing.source
                }
            }
        } else if !said.isCheck, let key = registrationKey(of: hearing),
            let meant = meant(by: hearing, "status", at: now)
        {
            order(said.rests ?? false, meant.id, of: hearing, at: now) {
                $0.registrationKey == key && $0.registrant == meant.registrant
            }
        }
    }

    /// By order, and not by what the instance said of itself, these registrations rest or do not.
    private mutating func order(
        _ rests: Bool, _ id: InstanceID, of hearing: Hearing, at now: Instant, where isMeant: (Holder) -> Bool
    ) {
        func changes(_ holder: Holder) -> Bool { isMeant(holder) && (holder.restsByOrder ?? false) != rests }
        guard instances[id]?.holders.contains(where: changes) == true else { return }
        if let reason = tooFast(hearing, at: now) { return refuse(hearing, reason, at: now) }
        update(id) { instance in
            for index in instance.holders.indices where changes(instance.holders[index]) {
                instance.holders[index].restsByOrder = rests
            }
        }
    }

    /// Whose check it is, kept with the registration: after a restart its heartbeats name the check alone.
    private mutating func learn(_ hearing: Hearing, at now: Instant) {
        let said = hearing.advertisement
        guard let ttl = said.leaseSeconds, let check = said.id, let registration = said.serviceId else { return }
        let service = said.registration(of: registration)
        let key = RegistrationKey(network: hearing.network, registry: said.registry, registration: service)
        guard check.utf8.count <= Settings.longestRegistration, let id = byRegistration[key]?[hearing.source],
            speaks(hearing, for: id),
            let holder = instances[id]?.holders.first(where: {
                $0.registrationKey == key && $0.registrant == hearing.source
            })
        else { return }
        var known = holder
        if check != registration, !ConsulCheck.services(named: check).contains(registration),
            !holder.checks.contains(check), holder.checks.count < Settings.checksPerHolder
        {
            known.checks.append(check)
        }
        // Any check that is silent for its time makes a service critical.
        known.ttlSeconds = min(ttl, holder.ttlSeconds ?? ttl)
        known.lease = holder.lease ?? LeaseKey.check(service)
        guard known != holder else { return }
        replace(holder, by: known, of: id)
        if holder.lease == nil { holdLease(of: known, id, at: now) }
        if let lease = known.leaseKey { leases[lease]?.ttlSeconds = known.ttlSeconds }
    }
}
