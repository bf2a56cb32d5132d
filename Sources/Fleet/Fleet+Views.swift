public import Model

extension Fleet {
    public func services(at now: Instant) -> [ServiceView] {
        Set(byService.keys).union(policies.keys).sorted().map { view(of: $0) }
    }

    public func instances(at now: Instant) -> [InstanceView] {
        instances.values.map { view(of: $0, at: now) }.sorted { $0.instance < $1.instance }
    }

    /// Those that are loaded or should be, and in observe mode those that would be.
    public func proxies() -> [ProxyView] {
        var views: [ProxyID: ProxyView] = [:]
        for spec in planned { views[spec.id] = ProxyView(proxy: spec.id, spec: spec, status: nil) }
        for (id, spec) in emitted { views[id] = ProxyView(proxy: id, spec: spec, status: statuses[id]) }
        return views.values.sorted { $0.proxy < $1.proxy }
    }

    /// What was heard and not taken, latest first.
    public func refusals() -> [Refusal] { refusalTable.values.sorted { $0.time > $1.time } }

    /// Nil: no such instance.
    public func verdict(of id: InstanceID) -> Verdict? { instances[id]?.judgement.verdict }

    /// When what is known of containers was so; nil: it is always so, or nothing is known.
    public var containersAsOf: Instant? { containers.list.asOf }

    public var counts: (instances: Int, live: Int, services: Int, proxies: Int) {
        (instances.count, instances.values.lazy.filter(\.live).count, byService.count, emitted.count)
    }

    func members(of service: ServiceID) -> [Instance] {
        (byService[service] ?? []).compactMap { instances[$0] }
    }

    func view(of service: ServiceID) -> ServiceView {
        let all = members(of: service)
        // What has no port is carried under no name: each that it has is its own.
        let own = all.filter { $0.service == service || !$0.hasPort }
        let proxy = proxy(carrying: service)
        return ServiceView(
            service: service, name: service.description, vip: vips[service], mode: mode(of: service), proxy: proxy,
            status: proxy.flatMap { statuses[$0] }, instances: own.count,
            live: own.lazy.filter(\.live).count, draining: own.lazy.filter(\.isDraining).count,
            policyRules: policies[service]?.rules.count ?? 0,
            reason: reason(for: service, own: own, others: all.count - own.count, proxy: proxy))
    }

    func proxy(carrying service: ServiceID) -> ProxyID? {
        guard let group = groupOf[service] else { return nil }
        return (emittedOf[group] ?? []).first { id in emitted[id]?.services.contains { $0.id == service } ?? false }
    }

    private func reason(for service: ServiceID, own: [Instance], others: Int, proxy: ProxyID?) -> String? {
        if let proxy {
            if case .failed(_, let why) = statuses[proxy] { return "its proxy could not be loaded: \(why)" }
            return own.contains(where: \.live) ? vipProblems[service].map { "no VIP: \($0)" } : nil
        }
        if own.contains(where: \.live) { return "observe mode: it would have a proxy" }
        if own.isEmpty {
            return others > 0
                ? "its instances are carried under another service's name" : "it has a policy and no instance"
        }
        if own.allSatisfy({ !$0.hasPort }) { return Self.noPort }
        return "none of its \(own.count) instances is a live VM"
    }

    func state(of instance: Instance) -> InstanceView.State {
        switch instance.phase {
        case .draining: return .draining
        case .lost: return .lost
        case .guarded: return .guarded
        case .held: break
        }
        if instance.live { return .live }
        if instance.isForeign { return .foreign }
        if instance.isResting { return .resting }
        switch instance.judgement.verdict {
        case .container: return .container
        case .vm where instance.holders.contains(where: \.counts): return .waiting
        case .unknown where instance.holders.contains(where: \.counts): return .unknown
        case .vm, .unknown: return .provisional
        }
    }

    func view(of instance: Instance, at now: Instant) -> InstanceView {
        let state = state(of: instance)
        let proxy = spec(of: instance.service)?.backends.contains {
            .v4($0.address) == instance.id.address && $0.port == instance.id.port
        }
        return InstanceView(
            instance: instance.id, service: instance.service, state: state, verdict: instance.judgement.verdict,
            place: instance.place, mode: mode(of: instance),
            proxy: proxy == true ? self.proxy(carrying: instance.service) : nil,
            reason: reason(for: instance, state: state, at: now), judgement: instance.judgement,
            holders: instance.holders.map { HolderView(holder: $0, leaseLeftSeconds: leaseLeft($0, at: now)) })
    }

    private func leaseLeft(_ holder: Holder, at now: Instant) -> Int? {
        guard let deadline = holder.leaseKey.flatMap({ leases[$0]?.deadline }) else { return nil }
        return Int(clamping: max(0, (deadline - now).milliseconds / 1000))
    }

    /// Why it is in no proxy, or why it is there only half; nil: it is, and live.
    func reason(for instance: Instance, state: InstanceView.State, at now: Instant) -> String? {
        switch state {
        case .live:
            return mode(of: instance) == .observe ? "observe mode: it would be in a proxy" : nil
        case .draining: return "it was let go of: established connections go on, new ones are refused"
        case .lost:
            if case .lost(_, _, let why) = instance.phase { return why }
            return nil
        case .guarded: return guardReason(instance)
        case .resting: return "its registry was told that it is not to be sent anything; it may well be alive"
        case .container: return "it runs in a container"
        case .unknown, .provisional, .waiting:
            if !instance.hasPort { return Self.noPort }
            return undecidedReason(instance, state)
        case .foreign:
            let who = instance.holders.first?.registrant?.description ?? "somebody"
            return "registered by \(who), which neither has this address nor is a registrar"
        }
    }

    private func undecidedReason(_ instance: Instance, _ state: InstanceView.State) -> String {
        switch state {
        case .provisional: return provisionalReason(instance)
        case .waiting: return waitReason(instance)
        default: return "its verdict is unknown; what would settle it: \(instance.judgement.missing ?? "nothing")"
        }
    }

    private static let noPort = "its registry was told of no port: there is nothing that a proxy could answer for"

    private func provisionalReason(_ instance: Instance) -> String {
        if let host = instance.holders.lazy.compactMap(\.hostName).first {
            return "registered by the host name \(host.shown), which may be \(instance.id.address)'s: "
                + "it counts once a probe finds port \(instance.id.port) open there"
        }
        guard instance.holders.contains(where: \.assumed) else {
            return "its registry's answer was not in view, and no probe has found it open yet"
        }
        return "registered without an address, which means the registry agent's own, not \(instance.id.address): "
            + "it counts once a probe finds port \(instance.id.port) open there"
    }

    private func waitReason(_ instance: Instance) -> String {
        if instance.damped != nil { return "it came and went too often: it waits a minute" }
        if instance.id.address.v4 == nil { return "a VM with an IPv6 address: only IPv4 is carried yet" }
        if instance.id.proto != .tcp { return "a VM's UDP service: only TCP is carried yet" }
        if let place = instance.place, place.role == .uplink {
            return "a VM behind uplink \(place.port): the NIC it is attached to carries it"
        }
        return "a VM, but on which port it lives is not known: no frame and no answer was seen"
    }

    private func guardReason(_ instance: Instance) -> String {
        let kept = "gone; the policy of \(instance.service.description.shown) stays on its address until it is removed"
        let others = instance.holders.filter { $0.counts && $0.service != instance.service }
        guard let other = others.first else { return kept }
        return kept + "; the same machine registered it as \(other.service.description.shown) since: that waits"
    }
}
