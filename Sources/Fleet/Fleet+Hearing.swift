public import Model

/// What guests say to their registries.
extension Fleet {
    public mutating func heard(_ hearing: Hearing, at now: Instant) -> [Action] {
        // The registry said no: nothing has changed.
        guard hearing.advertisement.accepted != false else { return [] }
        switch hearing.advertisement.op {
        case .register: register(hearing, at: now)
        case .deregister: deregister(hearing, at: now)
        case .heartbeat: renew(hearing, at: now)
        case .discover: asked(hearing, at: now)
        // A lease that holds nothing yet: the registration that names it says its time too.
        case .lease, .status: break
        }
        return finish(at: now)
    }

    private mutating func register(_ hearing: Hearing, at now: Instant) {
        let claim: Claim
        do { claim = try Claim(hearing, settings: settings, vips: vips) } catch {
            return refuse(hearing, error.reason, at: now)
        }
        if claim.standing == .own, !bind(hearing, at: now) { return }
        if let reason = noRoom(for: claim, hearing) { return refuse(hearing, reason, at: now) }
        // The same id for another address or port: the old one is let go.
        let key = RegistrationKey(
            network: hearing.network, registry: hearing.advertisement.registry, registration: claim.registration)
        if let old = byRegistration[key]?[hearing.source], old != claim.instance {
            release(old) { $0.registrationKey == key && $0.registrant == hearing.source }
        }
        if instances[claim.instance] == nil { create(claim.instance, service: claim.service, at: now) }
        attach(claim, hearing, at: now)
    }

    /// Port, MAC and IP agree: an address belongs where its own registrations were heard first. False: not taken.
    private mutating func bind(_ hearing: Hearing, at now: Instant) -> Bool {
        let host = HostID(network: hearing.network, address: hearing.source)
        let place = hearing.place
        guard let bound = bindings[host] ?? provenPlace(of: host), bound.port != place.port else { return true }
        // The same frame on its way out, or somebody in the fabric with a guest's address.
        if place.role == .uplink { return false }
        if bound.role == .uplink || isFree(host, boundTo: bound) {
            takeOver(host, by: place, at: now)
            return true
        }
        if bound.mac == place.mac { sighted(host, at: place, now: now) }
        refuse(hearing, "\(hearing.source) is bound to port \(bound.port), and this came by \(place.port)", at: now)
        return false
    }

    /// Where the address answers, if it never spoke for itself but a registrar or the operator spoke for it.
    private func provenPlace(of host: HostID) -> Place? {
        for id in byHost[host] ?? [] {
            if let instance = instances[id], case .answered(let place, _, _) = instance.probe { return place }
        }
        return nil
    }

    /// Has whoever had this address gone, or never been found there, so that it is free for another?
    private func isFree(_ host: HostID, boundTo place: Place) -> Bool {
        if let port = ports[place.port], !port.up { return true }
        return (byHost[host] ?? []).allSatisfy { id in
            guard let instance = instances[id] else { return true }
            return instance.isDead || instance.isGuarded || instance.isForeign
                || (instance.judgement.verdict == .unknown && !instance.isDraining)
        }
    }

    /// Another machine has the address now. Nothing of the old one's passes to it: neither what it registered, nor
    /// the policy that stayed on it.
    private mutating func takeOver(_ host: HostID, by place: Place, at now: Instant) {
        bindings[host] = place
        for id in byHost[host] ?? [] {
            lose(id, "its address is another machine's", at: now)
            release(id) { $0.registrant == host.address }
            update(id) { instance in
                instance.carried = false
                instance.open = false
                instance.probe = nil
                instance.heard = nil
                instance.place = nil
                instance.nextProbe = now
                if instance.isGuarded { instance.phase = .lost(since: now, dead: true, why: "taken over") }
            }
            judge(id, at: now)
            settle(id, at: now)
        }
    }

    /// Why a guest may not add this; nil: it may. What it holds already it may say again.
    private mutating func noRoom(for claim: Claim, _ hearing: Hearing) -> String? {
        let known = instances[claim.instance]
        let uplink = hearing.role == .uplink
        let instanceLimit = uplink ? settings.instancesPerUplink : settings.instancesPerPort
        let serviceLimit = uplink ? settings.servicesPerUplink : settings.servicesPerPort
        if known == nil {
            let here = byPort[hearing.port] ?? []
            if here.count >= instanceLimit, !dropOldestLost(of: here) {
                return "port \(hearing.port) has \(instanceLimit) instances, its limit"
            }
            if instances.count >= settings.instances {
                return "this NIC has \(settings.instances) instances, its limit"
            }
        }
        let services = servicesByPort[hearing.port] ?? [:]
        if services[claim.service] == nil, services.count >= serviceLimit {
            return "port \(hearing.port) has \(serviceLimit) services, its limit"
        }
        let members = byService[claim.service] ?? []
        if !members.contains(claim.instance), members.count >= settings.backendsPerProxy {
            return "the service has \(settings.backendsPerProxy) instances, the most that one can have"
        }
        return nil
    }

    /// Makes room on a port by what is only remembered there.
    private mutating func dropOldestLost(of ids: Set<InstanceID>) -> Bool {
        let lost = ids.compactMap { id -> (InstanceID, Instant)? in
            guard let instance = instances[id], case .lost(let since, _, _) = instance.phase,
                !denies(instance.service)
            else { return nil }
            return (id, since)
        }
        guard let oldest = lost.min(by: { $0.1 < $1.1 })?.0 else { return false }
        remove(oldest)
        return true
    }

    private mutating func deregister(_ hearing: Hearing, at now: Instant) {
        let said = hearing.advertisement
        if said.key == nil, said.id == nil, let lease = said.leaseId {
            return revoke("lease:\(lease)", hearing, at: now)
        }
        guard let registration = try? Claim.registration(of: said) else { return }
        let key = RegistrationKey(network: hearing.network, registry: said.registry, registration: registration)
        guard let held = byRegistration[key] else { return }
        if let id = held[hearing.source] {
            guard speaksFromItsPort(hearing, id) else {
                // On an uplink it is the same frame on its way out.
                if hearing.role == .uplink { return }
                return refuse(hearing, "deregistration by another port than the registration's", at: now)
            }
            return release(id) { $0.registrationKey == key && $0.registrant == hearing.source }
        }
        guard settings.registrars.contains(hearing.source) else {
            return refuse(hearing, "deregistration by another address than the registration's", at: now)
        }
        guard held.count == 1, let (registrant, id) = held.first else {
            return refuse(hearing, "\(held.count) guests hold this id: which of them is meant is not known", at: now)
        }
        release(id) { $0.registrationKey == key && $0.registrant == registrant }
    }

    private func speaksFromItsPort(_ hearing: Hearing, _ id: InstanceID) -> Bool {
        instances[id]?.holders.contains { $0.registrant == hearing.source && $0.port == hearing.port } ?? false
    }

    /// What a registry holds, asked of it outright: whatever else was held by it on this network is let go.
    ///
    /// - Parameters:
    ///   - registrations: ids (Consul) or keys (etcd).
    ///   - asked: when the question was sent. What was registered later is not judged by the answer.
    public mutating func listed(
        registry: String, network: NetworkID, registrations: Set<String>, asked: Instant, at now: Instant
    ) -> [Action] {
        let gone = byRegistration.keys.filter {
            $0.registry == registry && $0.network == network && !registrations.contains($0.registration)
        }
        for key in gone {
            for id in (byRegistration[key] ?? [:]).values {
                release(id) { $0.registrationKey == key && $0.since < asked }
            }
        }
        return finish(at: now)
    }

    /// etcd: everything that hangs on the lease goes with it.
    private mutating func revoke(_ name: String, _ hearing: Hearing, at now: Instant) {
        let own = LeaseKey(
            network: hearing.network, registrant: hearing.source, registry: hearing.advertisement.registry, name: name)
        var keys = [own]
        if leases[own] == nil, settings.registrars.contains(hearing.source) {
            keys = leases.keys.filter {
                $0.network == own.network && $0.registry == own.registry && $0.name == name
            }
        }
        for key in keys {
            for id in leases[key]?.instances ?? [] where key != own || speaksFromItsPort(hearing, id) {
                release(id) { $0.leaseKey == key }
            }
        }
    }

    private mutating func renew(_ hearing: Hearing, at now: Instant) {
        let said = hearing.advertisement
        guard let key = renewedLease(hearing), var lease = leases[key] else { return }
        guard let first = lease.instances.first, speaksFromItsPort(hearing, first) else { return }
        var shorter = false
        if let ttl = said.ttlSeconds, ttl > 0 {
            shorter = ttl < lease.ttlSeconds ?? 0
            lease.ttlSeconds = min(ttl, Settings.longestLease)
        }
        lease.heard = now
        // The timer stays where it is: `lapse` looks at the deadline when it goes off.
        let timed = lease.deadline != nil && !lease.lapsed
        lease.deadline = lease.ttlSeconds.map { now + .seconds($0) }
        let revived = lease.lapsed
        lease.lapsed = false
        leases[key] = lease
        if !timed || shorter { timers.set(.lease(key), lease.deadline) }
        guard revived else { return }
        for id in lease.instances { markLapsed(false, on: id, lease: key) }
    }

    /// Consul says "service:ID", or "service:ID:2" for a second check, or the check's own name.
    private func renewedLease(_ hearing: Hearing) -> LeaseKey? {
        let said = hearing.advertisement
        func known(_ name: String) -> LeaseKey? {
            let key = LeaseKey(
                network: hearing.network, registrant: hearing.source, registry: said.registry, name: name)
            return leases[key] == nil ? nil : key
        }
        if let lease = said.leaseId { return known("lease:\(lease)") }
        guard let id = said.id, id.utf8.count <= Settings.longestRegistration + 16 else { return nil }
        guard id.hasPrefix("service:") else { return known("check:\(id)") }
        let name = id.dropFirst("service:".count)
        if let key = known("check:\(name)") ?? known("check:\(id)") { return key }
        guard let colon = name.lastIndex(of: ":"), UInt16(name[name.index(after: colon)...]) != nil else { return nil }
        return known("check:\(name[..<colon])")
    }

    /// Whoever asks is a workload; what it asks for it is about to call.
    private mutating func asked(_ hearing: Hearing, at now: Instant) {
        guard hearing.role != .uplink, let service = hearing.advertisement.service, !service.isEmpty,
            service.utf8.count <= Settings.longestName
        else { return }
        let host = HostID(network: hearing.network, address: hearing.source)
        workloadTable.set(
            host,
            Workload(
                network: hearing.network, address: hearing.source, port: hearing.port, mac: hearing.sourceMAC,
                service: service, time: now))
    }

    mutating func refuse(_ hearing: Hearing, _ reason: String, at now: Instant) {
        let said = hearing.advertisement
        // A stranger's text: no more of it is kept than fits a table.
        let service = (said.service ?? said.key ?? said.id ?? "").cut(to: Settings.longestName)
        let address = (said.address ?? hearing.source.description).cut(to: 64)
        let key = RefusalKey(
            source: HostID(network: hearing.network, address: hearing.source), service: service, address: address,
            reason: reason)
        let count = refusalTable[key]?.count ?? 0
        refusalTable.set(
            key,
            Refusal(
                time: now, network: hearing.network, port: hearing.port, source: hearing.source, service: service,
                address: address, reason: reason, count: count &+ 1))
    }
}

extension Hearing {
    /// Where its sender is.
    var place: Place { Place(port: port, role: role, mac: sourceMAC) }
}
