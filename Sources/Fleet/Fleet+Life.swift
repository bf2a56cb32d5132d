public import Model

/// From held to gone, and back.
extension Fleet {
    func denies(_ service: ServiceID) -> Bool { policies[service]?.denies ?? false }

    /// Whose registration carries the instance. The one that does keeps it while any of its holders counts. Where the
    /// operator's policy denies somebody, it never passes to another name: a guest does not shed rules by a new one.
    private func carrier(of instance: Instance) -> ServiceID? {
        if instance.holders.contains(where: { $0.counts && $0.service == instance.service }) { return instance.service }
        if instance.carried, denies(instance.service) { return nil }
        return instance.holders.first(where: \.counts)?.service
    }

    /// Takes an instance to where its facts say it should be. The one place where phases change by themselves.
    mutating func settle(_ id: InstanceID, at now: Instant) {
        guard var instance = instances[id] else { return }
        let carrier = carrier(of: instance)
        if let carrier, carrier != instance.service {
            dirty.insert(instance.service)
            instance.service = carrier
        }
        let was = instance.live
        let wasDraining = instance.isDraining
        guard let phase = phase(of: &instance, held: carrier != nil, at: now) else {
            if was || wasDraining { purge(instance) }
            return remove(id)
        }
        instance.phase = phase
        instance.live = phase == .held && carrier != nil && instance.isCarriable && instance.damped == nil
        if instance.live { instance.carried = true }
        if was, !instance.live {
            note(departureOf: id, at: now)
        }
        // Neither draining nor dead: its verdict changed, and it is no longer ours.
        if was || wasDraining, phase == .held, !instance.isCarriable { purge(instance) }
        if instance.isDraining { draining.insert(id) } else { draining.remove(id) }
        reindex(&instance)
        dirty.insert(instance.service)
        record(&instance)
        timers.set(.instance(id), nextDue(of: instance))
        instances[id] = instance
    }

    /// Nil: gone for good.
    private func phase(of instance: inout Instance, held: Bool, at now: Instant) -> Phase? {
        let end: Phase? =
            instance.carried && denies(instance.service) ? .guarded(since: now, dead: instance.isDead) : nil
        switch instance.phase {
        case .held where held: return .held
        case .held where instance.live: return .draining(since: now, until: now + settings.drain)
        case .held where instance.holders.isEmpty: return end
        case .held where instance.hasLapsed:
            instance.forgetAt = now + settings.forget
            return Self.lapsed(at: now)
        case .held: return end ?? .held
        case .draining where instance.judgement.verdict != .vm: return instance.holders.isEmpty ? nil : .held
        case .draining(let since, let until) where held:
            instance.damped = instance.damped ?? dampedUntil(instance.id, at: now)
            return instance.damped.map { .draining(since: since, until: max(until, $0)) } ?? .held
        case .draining: return instance.phase
        case .lost where instance.holders.isEmpty: return end
        case .lost(_, dead: false, _) where held, .guarded where held:
            instance.damped = instance.damped ?? dampedUntil(instance.id, at: now)
            return .held
        case .guarded where !denies(instance.service): return instance.holders.isEmpty ? nil : .held
        case .lost, .guarded: return instance.phase
        }
    }

    private static func lapsed(at now: Instant) -> Phase {
        .lost(since: now, dead: false, why: "its lease lapsed without a heartbeat")
    }

    /// Dead: out at once, and its flows with it. It comes back by an answer to a probe, or, without probing, by a
    /// registration or when its port is up again.
    mutating func lose(_ id: InstanceID, _ why: String, at now: Instant) {
        guard let instance = instances[id], !instance.isDead else { return }
        if case .guarded(let since, _) = instance.phase {
            return update(id) { $0.phase = .guarded(since: since, dead: true) }
        }
        if instance.live || instance.isDraining { purge(instance) }
        let (forget, retry) = (now + settings.forget, now + settings.probeRetry)
        update(id) { instance in
            instance.phase = .lost(since: now, dead: true, why: why)
            instance.forgetAt = forget
            instance.nextProbe = min(instance.nextProbe ?? retry, retry)
        }
    }

    /// It was heard or answered: whether it is carried again is for `settle` to say.
    mutating func revive(_ id: InstanceID) {
        guard case .lost(let since, dead: true, let why) = instances[id]?.phase else { return }
        update(id) { $0.phase = .lost(since: since, dead: false, why: why) }
    }

    private mutating func purge(_ instance: Instance) {
        if mode(of: instance) == .enforce { purges.append(instance.id) }
    }

    /// The instance's own timer went off.
    mutating func due(_ id: InstanceID, at now: Instant) {
        touched.insert(id)
        if let damped = instances[id]?.damped, damped <= now {
            update(id) { $0.damped = nil }
            // A registration came back meanwhile: it goes from draining to held before its drain ends.
            settle(id, at: now)
        }
        guard let instance = instances[id] else { return }
        if case .draining(_, let until) = instance.phase, until <= now, instance.damped == nil {
            purge(instance)
            drained(id, at: now)
        }
        if instance.isLost, let forget = instance.forgetAt, forget <= now { self.forget(id, at: now) }
        if let grace = instance.graceUntil, grace <= now { outOfGrace(id, at: now) }
        if let next = instance.nextProbe, next <= now {
            update(id) { $0.nextProbe = nil }
            if let place = instance.sighted {
                update(id) { $0.sighted = nil }
                sighted(instance.host, at: place, now: now)
            }
            ask(id, at: now)
        }
    }

    /// Its connections are done, or were cut. A lease that lapsed may still be renewed, so that registration is
    /// remembered for a while.
    private mutating func drained(_ id: InstanceID, at now: Instant) {
        guard let instance = instances[id], instance.isDraining else { return }
        if !instance.hasLapsed { release(id, where: \.foreign) }
        let forget = now + settings.forget
        update(id) { instance in
            instance.live = false
            instance.phase = instance.hasLapsed ? Self.lapsed(at: now) : .held
            instance.forgetAt = forget
        }
    }

    /// It has been gone for long. What still has a living lease is still registered, whatever ails it.
    private mutating func forget(_ id: InstanceID, at now: Instant) {
        release(id) { $0.registrant != nil && ($0.lease == nil || $0.lapsed) }
        let again = now + settings.forget
        update(id) { $0.forgetAt = again }
    }

    /// After a start it had this time to answer, and its port to come back.
    private mutating func outOfGrace(_ id: InstanceID, at now: Instant) {
        update(id) { $0.graceUntil = nil }
        guard let instance = instances[id], let place = instance.place else { return }
        if ports[place.port]?.up != true {
            lose(id, "port \(place.port) has not come back since the start", at: now)
        } else if instance.failures >= settings.livenessFailures {
            lose(id, "it has not answered since the start", at: now)
        }
    }

    /// The open flows of every instance that has any. One that is draining and has none is gone.
    /// `counted` is when counting began: what began to drain later is not judged by it.
    public mutating func openFlows(_ flows: [InstanceID: Int], at counted: Instant) -> [Action] {
        for id in draining where flows[id] ?? 0 == 0 {
            guard let instance = instances[id], case .draining(let since, _) = instance.phase, since < counted else {
                continue
            }
            drained(id, at: counted)
        }
        return finish(at: counted)
    }

    private func nextDue(of instance: Instance) -> Instant? {
        var due = [instance.damped, instance.graceUntil]
        switch instance.phase {
        case .draining(_, let until): due.append(until)
        case .lost: due.append(instance.forgetAt)
        case .held, .guarded: break
        }
        if isProbed(instance) { due.append(instance.nextProbe) }
        return due.compactMap { $0 }.min()
    }

    private mutating func note(departureOf id: InstanceID, at now: Instant) {
        let recent = (departures[id] ?? []).filter { now < $0 + Settings.flapWindow }
        departures.set(id, recent.suffix(settings.flapLimit) + [now])
    }

    func dampedUntil(_ id: InstanceID, at now: Instant) -> Instant? {
        let recent = (departures[id] ?? []).filter { now < $0 + Settings.flapWindow }
        return recent.count > settings.flapLimit ? now + Settings.flapWindow : nil
    }

    /// Writes down what is worth knowing after a restart, if it has changed.
    private mutating func record(_ instance: inout Instance) {
        let record = instance.record
        guard record != instance.recorded else { return }
        // Claims that never count are not worth a record each.
        guard !instance.isForeign || instance.recorded != nil else { return }
        instance.recorded = record
        records.append(.instance(put: record))
    }
}
