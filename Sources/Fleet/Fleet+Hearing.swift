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
        case .status: status(hearing, at: now)
        // A lease that holds nothing yet: the registration that names it says its time too.
        case .lease: break
        }
        return finish(at: now)
    }

    mutating func register(_ hearing: Hearing, at now: Instant) {
        let claim: Claim
        do { claim = try Claim(hearing, settings: settings, vips: vips) } catch {
            return refuse(hearing, error.reason, at: now)
        }
        guard bind(hearing, claimsOwn: claim.standing == .own, at: now) else { return }
        if let reason = noRoom(for: claim, hearing) ?? tooFast(claim, hearing, at: now) {
            return refuse(hearing, reason, at: now)
        }
        makeRoom(for: claim, hearing)
        // The same id for another address or port: the old one is let go.
        let key = RegistrationKey(
            network: hearing.network, registry: hearing.advertisement.registry, registration: claim.registration)
        if let old = byRegistration[key]?[hearing.source], old != claim.instance {
            release(old) { $0.registrationKey == key && $0.registrant == hearing.source }
        }
        if instances[claim.instance] == nil { create(claim.instance, service: claim.service, at: now) }
        attach(claim, hearing, at: now)
    }

    private mutating func deregister(_ hearing: Hearing, at now: Instant) {
        let said = hearing.advertisement
        if said.key == nil, said.id == nil, let lease = said.leaseId {
            return revoke(LeaseKey.lease(lease), hearing, at: now)
        }
        guard let registration = try? Claim.registration(of: said) else { return }
        let key = RegistrationKey(network: hearing.network, registry: said.registry, registration: registration)
        guard let held = byRegistration[key] else {
            // etcd: a deletion of a whole range names no single registration.
            if said.id == nil, let prefix = said.key { releaseOwn(under: prefix, hearing) }
            return
        }
        if let id = held[hearing.source] {
            guard speaks(hearing, for: id) else {
                // On an uplink it is the same frame on its way out.
                if hearing.role == .uplink { return }
                return refuse(hearing, "deregistration by another port than the registration's", at: now)
            }
            return release(id) { $0.registrationKey == key && $0.registrant == hearing.source }
        }
        guard settings.registrars.contains(hearing.source) else {
            return refuse(hearing, "deregistration by another address than the registration's", at: now)
        }
        // A registrar's address may be borrowed, but not the answer to it.
        guard said.accepted == true else {
            return refuse(hearing, "a registrar's deregistration whose answer was not in view", at: now)
        }
        guard held.count == 1, let (registrant, id) = held.first else {
            return refuse(hearing, "\(held.count) guests hold this id: which of them is meant is not known", at: now)
        }
        release(id) { $0.registrationKey == key && $0.registrant == registrant }
    }

    /// Of a sender's own registrations, what lies under this key.
    private mutating func releaseOwn(under prefix: String, _ hearing: Hearing) {
        let (registry, source) = (hearing.advertisement.registry, hearing.source)
        for id in byHost[HostID(network: hearing.network, address: source)] ?? [] where speaks(hearing, for: id) {
            release(id) {
                $0.registry == registry && $0.registrant == source && $0.registration.utf8.starts(with: prefix.utf8)
            }
        }
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

    /// Whoever asks is a workload; what it asks for it is about to call.
    private mutating func asked(_ hearing: Hearing, at now: Instant) {
        guard hearing.role != .uplink, let service = hearing.advertisement.service, !service.isEmpty,
            service.utf8.count <= Settings.longestName
        else { return }
        let host = HostID(network: hearing.network, address: hearing.source)
        if let bound = bindings[host], bound.port != hearing.port { return }
        workloadTable.set(
            host,
            Workload(
                network: hearing.network, address: hearing.source, port: hearing.port, mac: hearing.sourceMAC,
                service: service, time: now),
            of: hearing.port)
    }
}

extension Hearing {
    /// Where its sender is.
    var place: Place { Place(port: port, role: role, mac: sourceMAC) }
}
