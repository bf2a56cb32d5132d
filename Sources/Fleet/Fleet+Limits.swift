import Model

/// Nobody fills anything for others: what a port may hold, and how fast it may change it.
extension Fleet {
    /// Changes that a port may still make, and when that was so.
    struct Allowance: Sendable {
        var left: Double
        var at: Instant
    }

    /// Why a guest may not add this; nil: it may. What it holds already it may say again.
    func noRoom(for claim: Claim, _ hearing: Hearing) -> String? {
        let uplink = hearing.role == .uplink
        let serviceLimit = uplink ? settings.servicesPerUplink : settings.servicesPerPort
        let services = servicesByPort[hearing.port] ?? [:]
        if services[claim.service] == nil, services.count >= serviceLimit {
            return "port \(hearing.port) has \(serviceLimit) services, its limit"
        }
        if instances[claim.instance] == nil {
            let limit = instanceLimit(of: hearing.role)
            let here = byPort[hearing.port] ?? []
            if here.count >= limit, oldestLost(of: here) == nil {
                return "port \(hearing.port) has \(limit) instances, its limit"
            }
            if instances.count >= settings.instances {
                return "this NIC has \(settings.instances) instances, its limit"
            }
        }
        return claim.standing == .foreign ? nil : noRoom(inServiceOf: claim, hearing)
    }

    /// One program has room for so many backends. What can never be one takes no room.
    private func noRoom(inServiceOf claim: Claim, _ hearing: Hearing) -> String? {
        let members = byService[claim.service] ?? []
        let (most, share) = (settings.backendsPerProxy, settings.backendsPerPort)
        guard hearing.role != .uplink, members.count >= min(most, share), !members.contains(claim.instance) else {
            return nil
        }
        let candidates = members.lazy.compactMap { instances[$0] }.filter {
            !$0.isForeign && $0.judgement.verdict != .container && $0.place?.role != .uplink
        }
        if candidates.count >= most { return "the service has \(most) instances, the most that one can have" }
        if candidates.count(where: { $0.limitPort == hearing.port }) >= share {
            return "port \(hearing.port) has \(share) instances of the service, its share"
        }
        return nil
    }

    private func instanceLimit(of role: PortRole) -> Int {
        role == .uplink ? settings.instancesPerUplink : settings.instancesPerPort
    }

    /// Makes room on a port, if it is full, by what is only remembered there.
    mutating func makeRoom(for claim: Claim, _ hearing: Hearing) {
        let here = byPort[hearing.port] ?? []
        guard instances[claim.instance] == nil, here.count >= instanceLimit(of: hearing.role) else { return }
        if let oldest = oldestLost(of: here) { remove(oldest) }
    }

    private func oldestLost(of ids: Set<InstanceID>) -> InstanceID? {
        let lost = ids.compactMap { id -> (InstanceID, Instant)? in
            guard let instance = instances[id], case .lost(let since, _, _) = instance.phase,
                !denies(instance.service)
            else { return nil }
            return (id, since)
        }
        return lost.min { $0.1 < $1.1 }?.0
    }

    /// Each change is written to disk: a port may make as many at once as it may have instances twice over, and gets
    /// them back in half a minute. Nil: it may.
    mutating func tooFast(_ claim: Claim, _ hearing: Hearing, at now: Instant) -> String? {
        let known = instances[claim.instance]?.holders.contains {
            $0.registration == claim.registration && $0.registry == hearing.advertisement.registry
                && $0.registrant == hearing.source && $0.service == claim.service && $0.lease == claim.lease
                && $0.ttlSeconds == claim.ttlSeconds && $0.port == hearing.port && ($0.rests ?? false) == claim.rests
        }
        return known == true ? nil : tooFast(hearing, at: now)
    }

    /// The same for any change.
    mutating func tooFast(_ hearing: Hearing, at now: Instant) -> String? {
        let most = Double(max(Settings.leastBurst, 2 * instanceLimit(of: hearing.role)))
        var allowance = allowances[hearing.port] ?? Allowance(left: most, at: now)
        let regained = most * Double((now - allowance.at).milliseconds) / Double(Settings.burstRegained.milliseconds)
        allowance = Allowance(left: min(most, allowance.left + max(0, regained)), at: max(now, allowance.at))
        defer { allowances[hearing.port] = allowance }
        guard allowance.left >= 1 else {
            return "port \(hearing.port) changes its registrations more than \(Int(most)) times in half a minute"
        }
        allowance.left -= 1
        return nil
    }

    mutating func refuse(_ hearing: Hearing, _ reason: String, at now: Instant) {
        let said = hearing.advertisement
        // A stranger's text: no more of it is kept than fits a table.
        let service = (said.service ?? said.key ?? said.id ?? "").cut(to: Settings.longestName)
        let address = (said.address ?? hearing.source.description).cut(to: 64)
        let key = RefusalKey(
            source: HostID(network: hearing.network, address: hearing.source), service: service, address: address,
            reason: reason)
        let count = refusalTable[key, of: hearing.port]?.count ?? 0
        refusalTable.set(
            key,
            Refusal(
                time: now, network: hearing.network, port: hearing.port, source: hearing.source, service: service,
                address: address, reason: reason, count: count &+ 1),
            of: hearing.port)
    }
}
