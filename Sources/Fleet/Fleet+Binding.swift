import Model

/// Whose an address is: port, MAC and IP agree, or nothing is taken from the sender.
extension Fleet {
    /// An address belongs where its own registrations were heard first. False: what was said is not taken.
    mutating func bind(_ hearing: Hearing, claimsOwn: Bool, at now: Instant) -> Bool {
        let host = HostID(network: hearing.network, address: hearing.source)
        let place = hearing.place
        guard let bound = bindings[host] ?? provenPlace(of: host), !bound.isMachine(at: place) else { return true }
        // The same frame on its way out, or somebody in the fabric with a guest's address.
        if place.role == .uplink { return false }
        if claimsOwn, bound.role == .uplink || isFree(host, boundTo: bound) {
            takeOver(host, by: place, at: now)
            return true
        }
        // Should it have moved, a probe says so, and then this counts.
        if bound.mac == place.mac || bound.port == place.port {
            waiting.set(host, hearing)
            sighted(host, at: place, now: now)
        } else if claimsOwn {
            challenge(host, boundTo: bound, by: hearing, at: now)
        }
        let (here, there) =
            bound.port == place.port
            ? ("\(bound.mac)", "\(place.mac)") : ("port \(bound.port)", "port \(place.port)")
        refuse(hearing, "\(hearing.source) is bound to \(here), and this came from \(there)", at: now)
        return false
    }

    /// May its sender speak for what he registered? Where a port leads to many machines its MAC has to agree too.
    func speaks(_ hearing: Hearing, for id: InstanceID) -> Bool {
        guard renews(hearing, id) else { return false }
        let bound = bindings[HostID(network: hearing.network, address: hearing.source)]
        return bound?.isMachine(at: hearing.place) ?? true
    }

    /// A heartbeat ends nothing, so its port is enough: behind routers that share an address's way MACs alternate.
    func renews(_ hearing: Hearing, _ id: InstanceID) -> Bool {
        instances[id]?.holders.contains { $0.registrant == hearing.source && $0.port == hearing.port } ?? false
    }

    /// Where the address answers, if it never spoke for itself but a registrar or the operator spoke for it.
    func provenPlace(of host: HostID) -> Place? {
        for id in byHost[host] ?? [] {
            if let place = instances[id]?.probe?.place { return place }
        }
        return nil
    }

    /// Has whoever had this address gone, or never been found there, so that it is free for another? A machine that
    /// merely deregistered, or muddled its evidence, is not gone: the policy on its address would go with it.
    private func isFree(_ host: HostID, boundTo place: Place) -> Bool {
        guard let port = ports[place.port], port.up else { return true }
        return (byHost[host] ?? []).allSatisfy { id in
            guard let instance = instances[id] else { return true }
            if instance.isDead || instance.isForeign { return true }
            if instance.isGuarded || instance.isDraining { return false }
            return instance.judgement.verdict == .unknown && !(instance.carried && denies(instance.service))
        }
    }

    /// Another machine says that the address is its own. Whoever had it is asked; if he is silent, it is.
    private mutating func challenge(_ host: HostID, boundTo bound: Place, by hearing: Hearing, at now: Instant) {
        let ids = (byHost[host] ?? []).sorted()
        guard let id = ids.first(where: { instances[$0].map { isProbed($0) } ?? false }),
            instances[id]?.movedAt.map({ now >= $0 + settings.probeRetry }) ?? true
        else { return }
        waiting.set(host, hearing)
        doubt(id, livesStillAt: bound, seenAt: hearing.place, now: now)
        for id in ids {
            update(id) { $0.contested = true }
            judge(id, at: now)
        }
    }

    /// Who had the address was asked, or is another machine now.
    mutating func uncontest(_ host: HostID, at now: Instant) {
        for id in byHost[host] ?? [] where instances[id]?.contested == true {
            update(id) { $0.contested = false }
            judge(id, at: now)
        }
    }

    /// True: who had the address is silent, and another machine that claimed it answers for it.
    mutating func giveUp(_ instance: Instance, to place: Place, at now: Instant) -> Bool {
        guard instance.move == .tried(place), let old = instance.place, old.port != place.port, old.mac != place.mac,
            let hearing = waiting[instance.host], hearing.place == place
        else { return false }
        waiting.remove(instance.host)
        takeOver(instance.host, by: place, at: now)
        register(hearing, at: now)
        return true
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
                instance.move = nil
                instance.nextProbe = now
                instance.traces.begin(anew: now)
                instance.contested = false
                if instance.isGuarded { instance.phase = .lost(since: now, dead: true, why: "taken over") }
            }
            judge(id, at: now)
            settle(id, at: now)
        }
    }

    /// A probe found the machine with this address elsewhere: its registrations moved with it, and what it said there
    /// meanwhile counts.
    mutating func rebind(_ host: HostID, to place: Place, at now: Instant) {
        if bindings[host] != nil { bindings[host] = place }
        for id in byHost[host] ?? [] {
            guard let instance = instances[id] else { continue }
            for holder in instance.holders where holder.registrant == host.address && holder.port != place.port {
                var moved = holder
                moved.port = place.port
                replace(holder, by: moved, of: id)
            }
        }
        if let hearing = waiting[host], hearing.place == place {
            waiting.remove(host)
            if now < hearing.time + settings.probeRetryMaximum { register(hearing, at: now) }
        }
    }
}

extension Place {
    /// The same machine, as far as a frame tells: a vm port leads to one, behind a mixed one there may be many, and
    /// before an uplink stands a router.
    func isMachine(at other: Place) -> Bool { port == other.port && (role != .mixed || mac == other.mac) }
}
