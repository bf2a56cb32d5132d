import Model

/// Registrations that live as long as they are renewed: etcd's leases, and Consul's checks with a time to live.
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

    mutating func renew(_ hearing: Hearing, at now: Instant) {
        guard let key = renewedLease(hearing), var lease = leases[key] else { return }
        guard let first = lease.instances.first, renews(hearing, first) else { return }
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
        guard revived else { return }
        for id in lease.instances { markLapsed(false, on: id, lease: key) }
    }

    /// Consul names the check. Where its registration was heard, it is known whose it is; else the check's name tells:
    /// "service:ID", or "service:ID:2" for a second one, or its own.
    private func renewedLease(_ hearing: Hearing) -> LeaseKey? {
        let said = hearing.advertisement
        func known(_ name: String) -> LeaseKey? {
            let key = LeaseKey(
                network: hearing.network, registrant: hearing.source, registry: said.registry, name: name)
            return leases[key] == nil ? checks[key] : key
        }
        if let lease = said.leaseId { return known(LeaseKey.lease(lease)) }
        if let service = said.serviceId, let key = known(LeaseKey.check(service)) { return key }
        guard let id = said.id, id.utf8.count <= Settings.longestRegistration + 16 else { return nil }
        if let key = known(LeaseKey.check(id)) { return key }
        guard id.hasPrefix("service:") else { return nil }
        let name = id.dropFirst("service:".count)
        if let key = known(LeaseKey.check(String(name))) { return key }
        guard let colon = name.lastIndex(of: ":"), UInt16(name[name.index(after: colon)...]) != nil else { return nil }
        return known(LeaseKey.check(String(name[..<colon])))
    }

    /// Consul: a check was registered, or reports how its service is. Critical is no heartbeat, and neither is a check
    /// that has not reported yet.
    mutating func status(_ hearing: Hearing, at now: Instant) {
        learn(hearing, at: now)
        switch hearing.advertisement.status {
        case "passing", "warning": renew(hearing, at: now)
        default: break
        }
    }

    /// Whose check it is, kept with the registration: after a restart its heartbeats name the check alone.
    private mutating func learn(_ hearing: Hearing, at now: Instant) {
        let said = hearing.advertisement
        guard let ttl = said.leaseSeconds, let check = said.id, let registration = said.serviceId else { return }
        let key = RegistrationKey(network: hearing.network, registry: said.registry, registration: registration)
        guard check.utf8.count <= Settings.longestRegistration, let id = byRegistration[key]?[hearing.source],
            speaks(hearing, for: id),
            let holder = instances[id]?.holders.first(where: {
                $0.registrationKey == key && $0.registrant == hearing.source
            })
        else { return }
        var known = holder
        if check != registration, !check.hasPrefix("service:\(registration)"), !holder.checks.contains(check),
            holder.checks.count < Settings.checksPerHolder
        {
            known.checks.append(check)
        }
        // Any check that is silent for its time makes a service critical.
        known.ttlSeconds = min(ttl, holder.ttlSeconds ?? ttl)
        known.lease = holder.lease ?? LeaseKey.check(registration)
        guard known != holder else { return }
        replace(holder, by: known, of: id)
        if holder.lease == nil { holdLease(of: known, id, at: now) }
        if let lease = known.leaseKey { leases[lease]?.ttlSeconds = known.ttlSeconds }
    }
}
