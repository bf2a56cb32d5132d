public import Model

/// What guests say to their registries.
extension Fleet {
    public mutating func heard(_ hearing: Hearing, at now: Instant) -> [Action] {
        // The registry said no: nothing has changed. Who asked in vain is a workload all the same.
        guard hearing.advertisement.accepted != false || hearing.advertisement.op == .discover else { return [] }
        switch hearing.advertisement.op {
        case .register: register(hearing, at: now)
        case .deregister: deregister(hearing, at: now)
        case .heartbeat: beat(hearing, at: now)
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
        guard !said.namesNoRegistration else {
            if let lease = said.leaseName { return revoke(LeaseKey.lease(lease), hearing, at: now) }
            return releaseOwn(hearing)
        }
        guard let key = registrationKey(of: hearing) else { return }
        guard byRegistration[key] != nil else {
            // etcd: a deletion of a whole range names no single registration.
            if said.id == nil, said.address == nil, let prefix = said.key { releaseOwn(under: prefix, hearing) }
            return
        }
        guard let meant = meant(by: hearing, "deregistration", at: now) else { return }
        release(meant.id) { $0.registrationKey == key && $0.registrant == meant.registrant }
    }

    func registrationKey(of hearing: Hearing) -> RegistrationKey? {
        let said = hearing.advertisement
        guard let registration = try? Claim.registration(of: said) else { return nil }
        return RegistrationKey(network: hearing.network, registry: said.registry, registration: registration)
    }

    /// Which registration something is said of, if its sender may speak for it.
    mutating func meant(
        by hearing: Hearing, _ what: String, at now: Instant
    ) -> (id: InstanceID, registrant: IPAddress)? {
        guard let key = registrationKey(of: hearing), let held = byRegistration[key] else { return nil }
        if let id = held[hearing.source] {
            if speaks(hearing, for: id) { return (id, hearing.source) }
            // On an uplink it is the same frame on its way out.
            if hearing.role != .uplink {
                refuse(hearing, "\(what) by another port than the registration's", at: now)
            }
            return nil
        }
        guard settings.registrars.contains(hearing.source) else {
            refuse(hearing, "\(what) by another address than the registration's", at: now)
            return nil
        }
        // A registrar's address may be borrowed, but not the answer to it.
        guard hearing.advertisement.accepted == true else {
            refuse(hearing, "a registrar's \(what) whose answer was not in view", at: now)
            return nil
        }
        guard held.count == 1, let (registrant, id) = held.first else {
            refuse(hearing, "\(held.count) guests hold this id: which of them is meant is not known", at: now)
            return nil
        }
        return (id, registrant)
    }

    /// Only what it offers is named: of the sender's own registrations, those of that service, address and port, or of
    /// that node.
    private mutating func releaseOwn(_ hearing: Hearing) {
        let said = hearing.advertisement
        let service = said.serviceID(on: hearing.network)
        guard service != nil || said.node != nil else { return }
        let own = HostID(network: hearing.network, address: hearing.source)
        let address = said.address.flatMap { IPAddress($0) }
        let node = said.registration(of: "")
        for id in service.map({ byService[$0] ?? [] }) ?? byHost[own] ?? [] where speaks(hearing, for: id) {
            guard address == nil || id.address == address, said.port == nil || said.port == Int(id.port) else {
                continue
            }
            release(id) {
                $0.registry == said.registry && $0.registrant == hearing.source
                    && (service == nil ? $0.registration.utf8.starts(with: node.utf8) : $0.service == service)
            }
        }
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

    /// A registration that was made before anybody listened is heard of by its heartbeats, where these say all of it.
    private mutating func beat(_ hearing: Hearing, at now: Instant) {
        let said = hearing.advertisement
        if renew(hearing, at: now) { return }
        guard said.accepted == true, said.service != nil, said.address.flatMap({ IPAddress($0) }) != nil,
            said.port.map({ $0 > 0 }) ?? false
        else { return }
        register(hearing, at: now)
    }
}

extension Hearing {
    /// Where its sender is.
    var place: Place { Place(port: port, role: role, mac: sourceMAC, vlan: vlan) }
}
