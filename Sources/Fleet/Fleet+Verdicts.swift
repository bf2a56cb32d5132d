public import Classifier
public import Model

/// Evidence comes in, verdicts come out, and doubts are probed.
extension Fleet {
    /// What came of a `probe` action.
    public mutating func probed(_ id: InstanceID, _ result: ProbeResult, at now: Instant) -> [Action] {
        guard let instance = instances[id], settings.probing else { return [] }
        switch (result, instance.move) {
        case (.answered(_, open: false, _, _), _) where instance.open: failed(id, "its port is closed", at: now)
        case (.answered(let place, let open, _, _), _): answered(id, result, by: place, open: open, at: now)
        // A port that was open before is not silent without a reason.
        case (.present, _) where instance.open: failed(id, "its port is silent", at: now)
        case (.present(let place, _, _), _): answered(id, result, by: place, open: false, at: now)
        case (_, .doubted) where isSeen(instance): standsStill(id, at: now)
        case (_, .doubted(let place)):
            // Nothing where it lived.
            update(id) { $0.move = .tried(place) }
            ask(id, via: place, at: now)
        case (.silent, _):
            if isThere(instance) { standsStill(id, at: now) } else { failed(id, "it does not answer", at: now) }
        case (.notSent, _):
            // No evidence either way. What was known before still is.
            uncontest(instance.host, at: now)
            if instance.probe == nil { update(id) { $0.probe = result } }
            let next = now + settings.probeRetryMaximum
            update(id) { $0.nextProbe = next }
            judge(id, at: now)
        }
        return finish(at: now)
    }

    private mutating func answered(
        _ id: InstanceID, _ result: ProbeResult, by place: Place, open: Bool, at now: Instant
    ) {
        guard let before = instances[id], !giveUp(before, to: place, at: now) else { return }
        uncontest(before.host, at: now)
        let moved =
            before.move == .tried(place)
            || (before.heard.map { $0.port != place.port && $0.mac == place.mac } ?? false)
        update(id) { instance in
            // The answer that first said so is the one that was timed: the next is no news to the journal.
            if !result.repeats(instance.probe) { instance.probe = result }
            // Not a stranger's: the instance is still looked for where it was.
            if moved || instance.heard == nil || instance.heard?.mac == place.mac || instance.heard?.role == .uplink {
                instance.place = place
            }
            instance.move = nil
            instance.failures = 0
            instance.open = instance.open || open
            instance.graceUntil = nil
            if moved, instance.heard != nil { instance.heard = place }
            // What it said over HTTP came in elsewhere: it is asked again.
            if moved { instance.traces.http = nil }
            if open {
                for index in instance.holders.indices where !instance.holders[index].foreign {
                    instance.holders[index].confirmed = true
                }
            }
        }
        if moved { rebind(before.host, to: place, at: now) }
        judge(id, at: now)
        if let instance = instances[id] {
            let next = nextProbe(of: instance, at: now)
            update(id) { $0.nextProbe = next }
        }
        // It is there again, if it is itself that answers.
        if instances[id]?.judgement.verdict != .unknown { revive(id) }
    }

    /// Alive or not, so many silent probes say.
    private mutating func failed(_ id: InstanceID, _ why: String, at now: Instant) {
        guard let instance = instances[id] else { return }
        uncontest(instance.host, at: now)
        let spokeSince = instance.holders.contains { holder in
            guard let key = holder.leaseKey, let heard = leases[key]?.heard, let asked = instance.asked else {
                return false
            }
            return heard > asked
        }
        let failures = spokeSince ? 1 : instance.failures + 1
        // In its grace it is asked often: silence then may be our own ear's, and the last word is near.
        let restored = instance.graceUntil.map { now < $0 } ?? false
        let next = now + retry(after: restored ? min(failures, 3) : failures)
        update(id) { instance in
            instance.failures = failures
            instance.move = nil
            instance.nextProbe = next
            if instance.probe?.place == nil { instance.probe = .silent }
        }
        if case .tried = instance.move, let place = instance.place, ports[place.port]?.up != true {
            lose(id, "port \(place.port) has no carrier, and \(why) where it was seen", at: now)
        } else if instance.carried || instance.probe?.place != nil, !restored, failures >= settings.livenessFailures {
            lose(id, "probes fail: \(why)", at: now)
        } else {
            judge(id, at: now)
        }
    }

    /// The verdict of what is known now. Evidence that is as it was keeps the time at which it first was.
    mutating func judge(_ id: InstanceID, at now: Instant) {
        guard let instance = instances[id] else { return }
        let facts = facts(of: instance)
        if containers.isSilenceIdle(for: facts) { awaitingList.insert(id) } else { awaitingList.remove(id) }
        var judgement = Classifier.judge(facts, against: containers, at: now)
        judgement.place = instance.place ?? judgement.place
        let known = Dictionary(
            instance.judgement.evidence.map { ($0.sentence, $0.time) }, uniquingKeysWith: { first, _ in first })
        for index in judgement.evidence.indices {
            if let time = known[judgement.evidence[index].sentence] { judgement.evidence[index].time = time }
        }
        guard judgement != instance.judgement else { return }
        if judgement.verdict != instance.judgement.verdict { verdictsReached[judgement.verdict, default: 0] &+= 1 }
        update(id) { $0.judgement = judgement }
    }

    /// What carries it already is not made a container's by a further name that its guest gives it.
    private func names(of instance: Instance) -> [String] {
        instance.carried
            ? [instance.service.name]
            : Set(instance.holders.lazy.filter { !$0.foreign }.map(\.service.name)).sorted()
    }

    private func facts(of instance: Instance) -> Facts {
        var facts = Facts(instance: instance.id, since: instance.traces.since)
        facts.services = names(of: instance)
        facts.heard = instance.heard
        facts.heardHops = instance.traces.hopLimit
        facts.probe = settings.probing ? instance.probe : .notSent("probing is switched off")
        facts.http = settings.probing ? instance.traces.http : nil
        facts.neighbours = instance.traces.neighbours.map(\.place)
        facts.overlay = instance.traces.overlay
        facts.reused = instance.traces.reused
        facts.carried = instance.live && !hadRivals(instance)
        facts.contested = instance.contested && !instance.live
        facts.declared = declarations[instance.id]?.verdict
        if let mac = instance.machine {
            facts.addressesOfMachine = machines[MachineID(network: instance.id.network, mac: mac)]?.count ?? 1
        }
        return facts
    }

    /// Asks where the answer would tell something.
    mutating func probeIfDoubtful(_ id: InstanceID, at now: Instant) {
        guard let instance = instances[id], isProbed(instance) else { return }
        let unanswered = instance.probe?.place == nil
        if unanswered || instance.awaitsProbe || instance.isLost { ask(id, at: now) }
    }

    func isProbed(_ instance: Instance) -> Bool {
        guard settings.probing else { return false }
        guard instance.holders.contains(where: { !$0.foreign }) else { return false }
        return !instance.isDraining && !instance.isGuarded
    }

    /// A guest that repeats itself makes us ask once in the retry time, not each time; a new place is asked at once.
    mutating func ask(_ id: InstanceID, via place: Place? = nil, at now: Instant) {
        guard let instance = instances[id], isProbed(instance) else { return }
        if place == nil, let again = instance.asked.map({ $0 + settings.probeRetry }), now < again,
            let next = instance.nextProbe
        {
            return update(id) { $0.nextProbe = min(next, again) }
        }
        var request = ProbeRequest(
            instance: id, place: place ?? instance.place ?? instance.heard ?? provenPlace(of: instance.host),
            registry: instance.registry)
        request.wasOpen = instance.open && instance.move == nil
        request.mayRequest = instance.traces.http == nil
        request.isRoutine = instance.live && instance.failures == 0 && instance.move == nil && place == nil
        probes.append(request)
        // Should its result never come.
        let next = now + settings.probeRetryMaximum
        update(id) { instance in
            instance.asked = now
            instance.nextProbe = next
        }
    }

    func nextProbe(of instance: Instance, at now: Instant) -> Instant? {
        switch instance.judgement.verdict {
        case .vm where instance.awaitsProbe: now + settings.probeRetryMaximum
        case .vm: settings.liveness.map { now + $0 }
        case .container: nil
        case .unknown: now + settings.probeRetryMaximum
        }
    }

    private func retry(after failures: Int) -> Duration {
        let doubled = settings.probeRetry * (1 << max(0, min(failures - 1, 16)))
        return min(doubled, settings.probeRetryMaximum)
    }

    /// A new container list. One that holds what the last one held is news only to those that came after that.
    public mutating func containers(_ list: ContainerList, at now: Instant) -> [Action] {
        guard list != containers.list else { return [] }
        let before = containers
        containers.list = list
        let isOtherwise = before.tellsOtherwise(than: containers)
        for (id, instance) in instances {
            let names = names(of: instance)
            let (old, new) = (before.list.match(id, services: names), list.match(id, services: names))
            if old != nil, new == nil { leftList(id, at: now) }
            if isOtherwise || old != new || awaitingList.contains(id) { judge(id, at: now) }
        }
        return finish(at: now)
    }

    /// The platform holds it no more: what answered for it then does not speak for who has its address next.
    private mutating func leftList(_ id: InstanceID, at now: Instant) {
        guard let instance = instances[id], !instance.live else { return }
        update(id) { instance in
            instance.traces.reused = now
            instance.traces.http = nil
            instance.probe = nil
        }
        ask(id, via: instance.place, at: now)
    }

    /// Is there a port that leads to containers? Then what comes in by another one tells something.
    mutating func knowContainerNetwork(at now: Instant) {
        let known = settings.containerNetworkKnown || ports.values.contains { $0.role == .container }
        guard known != containers.hasNetwork else { return }
        containers.hasNetwork = known
        for id in Array(instances.keys) { judge(id, at: now) }
    }
}
