internal import Dataplane
internal import Fleet
internal import Model

/// The rooms' views as the socket shows them.
extension Engine {
    func portViews() throws(OperationError) -> [PortView] {
        let counters = try counted()
        var views: [PortView] = []
        for (name, link) in links {
            guard let rule = config.port(matching: name) else { continue }
            let attachment = plane.attachment(name)
            var view = PortView(
                name: name.description, role: rule.role, network: rule.network, mode: fleet.mode(of: name),
                forwarding: rule.forwarding ?? config.forwarding,
                state: detached.contains(name) ? .detached : attachment == nil ? .failed : .attached,
                hooks: attachment == nil ? [] : ["tcx ingress", "tcx egress"], ifindex: link.index,
                problem: portProblems[name])
            for (reason, count) in counters.filter({ $0.port == name && !$0.egress }).flatMap(\.reasons) {
                if !Reason.isAfterwards(reason) {
                    view.packets += count.packets
                    view.bytes += count.bytes
                }
                if Reason.isDrop(reason) { view.drops += count.packets }
            }
            views.append(view)
        }
        for rule in config.ports where !links.keys.contains(where: { rule.match.matches($0.description) }) {
            views.append(
                PortView(
                    name: "\(rule.match)", role: rule.role, network: rule.network, mode: rule.mode ?? fleet.mode,
                    forwarding: rule.forwarding ?? config.forwarding, state: .waiting,
                    problem: "no such device yet: it is attached when it appears"))
        }
        return views.sorted { $0.name < $1.name }
    }

    private func counted() throws(OperationError) -> [PortCounters] {
        guard !isDetached else { return [] }
        do { return try plane.portCounters() } catch { throw OperationError(.failed, "\(error)") }
    }

    func drops() throws(OperationError) -> [String: UInt64] {
        var drops: [String: UInt64] = [:]
        for (reason, count) in try counted().flatMap(\.reasons) where Reason.isDrop(reason) {
            drops[Reason.name(reason), default: 0] += count.packets
        }
        return drops
    }

    func serviceViews() throws(OperationError) -> [ServiceView] {
        var views: [ServiceView] = []
        for service in fleet.services(at: clock.now) {
            let counters: ServiceCounters
            do { counters = try plane.counters(of: service.service) } catch {
                throw OperationError(.failed, "\(error)")
            }
            views.append(
                ServiceView(
                    id: service.service, vip: service.vip.map { "\($0.address):\($0.port)" },
                    state: state(of: service.proxy, service.status, draining: service.draining, live: service.live),
                    mode: service.mode, live: service.live, instances: service.instances,
                    proxy: service.mode == .enforce ? service.proxy?.description : nil, rules: service.policyRules,
                    connections: counters.connections, packets: counters.forward.packets + counters.reverse.packets,
                    bytes: counters.forward.bytes + counters.reverse.bytes, drops: counters.drops,
                    reason: service.reason))
        }
        return views
    }

    private func state(of proxy: ProxyID?, _ status: ProxyStatus?, draining: Int, live: Int) -> String {
        switch status {
        case .failed: "failed"
        case .loading: "loading"
        case .loaded where live == 0: draining > 0 ? "draining" : "guarding"
        case .loaded: "live"
        case nil: proxy == nil ? "no proxy" : "would be loaded"
        }
    }

    func proxyViews() -> [ProxyView] {
        fleet.proxies().map { proxy in
            let backends = proxy.spec.services.flatMap(\.backends)
            return ProxyView(
                id: proxy.proxy,
                state: state(
                    of: proxy.proxy, proxy.status, draining: backends.count { $0.state == .draining },
                    live: backends.count { $0.state == .live }),
                services: proxy.spec.services.map(\.id.description),
                backends: backends.map {
                    "\($0.address):\($0.port)" + ($0.state == .live ? "" : " (\($0.state.rawValue))")
                },
                slots: plane.slots(of: proxy.proxy).map { Int($0) }, program: plane.programID(of: proxy.proxy),
                loadMicroseconds: plane.loadMicroseconds(of: proxy.proxy),
                registrationToProxyMilliseconds: readiness.milliseconds(of: proxy.proxy),
                pins: proxy.status == nil ? nil : plane.pins(of: proxy.proxy), problem: problem(proxy.status))
        }
    }

    private func problem(_ status: ProxyStatus?) -> String? {
        if case .failed(_, let why) = status { why } else { nil }
    }

    func instanceViews() -> [InstanceView] {
        fleet.instances(at: clock.now).map { instance in
            InstanceView(
                id: instance.instance, service: instance.service.description, state: instance.state.rawValue,
                verdict: instance.verdict, device: instance.place?.port.description, mac: instance.place?.mac,
                holders: instance.holders.map { "\($0.holder.registry):\($0.holder.registration)" },
                leaseSeconds: instance.holders.compactMap(\.leaseLeftSeconds).max(), reason: instance.reason)
        }
    }

    func workloadViews() -> [WorkloadView] {
        fleet.workloads(at: clock.now).map { workload in
            WorkloadView(
                network: workload.network, address: workload.address, device: workload.port.description,
                mac: workload.mac, verdict: workload.judgement.verdict, evidence: workload.judgement.evidence,
                calls: workload.calls.map {
                    CallView(
                        service: $0.service.description, registry: $0.registry, count: $0.count, seen: $0.time)
                }, seen: workload.time)
        }
    }

    func explanationViews(_ subject: String) -> [ExplanationView] {
        registryExplanations(subject) + fleet.explain(subject, at: clock.now).map(view(of:))
    }

    private func view(of explanation: Explanation) -> ExplanationView {
        var judgement: Judgement?
        var unheard: [String] = []
        let name: String
        switch explanation.subject {
        case .service(let service): name = "service \(service.service)"
        case .instance(let view):
            name = "instance \(view.instance)"
            judgement = view.judgement
            unheard = encryptionFacts(of: view.instance.address, in: view.instance.network)
        case .workload(let workload):
            name = "workload \(workload.address)"
            judgement = workload.judgement
            unheard = encryptionFacts(of: workload.address, in: workload.network)
        case .refusal(let refusal): name = "refused: \(refusal.service)"
        }
        return ExplanationView(
            subject: name, summary: explanation.sentences.first ?? "", verdict: judgement?.verdict,
            evidence: judgement?.evidence ?? [], facts: facts(explanation.sentences, beside: judgement) + unheard,
            missing: judgement?.missing)
    }

    /// The evidence and what is missing stand in fields of their own.
    private func facts(_ sentences: [String], beside judgement: Judgement?) -> [String] {
        let told = (judgement?.evidence.map(\.sentence) ?? []) + [judgement?.missing].compactMap(\.self)
        return sentences.dropFirst().filter { sentence in !told.contains { sentence.hasSuffix($0) } }
    }

    func verdicts() -> [String: Int] {
        var counts: [String: Int] = [:]
        for instance in fleet.instances(at: clock.now) { counts[instance.verdict.rawValue, default: 0] += 1 }
        return counts
    }

    func mapViews() -> [MapView] {
        plane.pressure(flows: flowEntries).map { MapView(name: $0.name, entries: $0.entries, capacity: $0.capacity) }
    }

    func median(_ values: [Double]) -> Double? { values.isEmpty ? nil : values.sorted()[values.count / 2] }

    func metrics() throws(OperationError) -> MetricsSnapshot {
        var snapshot = MetricsSnapshot()
        for counters in try counted() {
            var reasons: [String: MetricsSnapshot.Count] = [:]
            for (reason, count) in counters.reasons {
                reasons[Reason.name(reason)] = .init(packets: count.packets, bytes: count.bytes)
            }
            snapshot.ports.append(
                .init(name: counters.port.description, hook: counters.egress ? "egress" : "ingress", reasons: reasons))
        }
        for service in fleet.services(at: clock.now) where service.proxy != nil {
            guard let counters = try? plane.counters(of: service.service) else { continue }
            snapshot.services.append(
                .init(
                    id: service.service,
                    forward: .init(packets: counters.forward.packets, bytes: counters.forward.bytes),
                    reverse: .init(packets: counters.reverse.packets, bytes: counters.reverse.bytes),
                    connections: counters.connections, drops: counters.drops))
        }
        for proxy in proxyViews() { snapshot.proxies[proxy.state, default: 0] += 1 }
        snapshot.instances = verdicts()
        for (verdict, count) in fleet.verdictsReached { snapshot.verdicts[verdict.rawValue] = count }
        snapshot.maps = mapViews()
        snapshot.ear = earCounters
        snapshot.registryEvents = registryEvents
        snapshot.registryTroubles = registryTroubles
        snapshot.probes = [
            "sent": prober.counters.sent, "answered": prober.counters.answered, "silent": prober.counters.silent,
            "refused": prober.counters.refused, "strays": prober.counters.strays,
            "unasked": prober.counters.unasked,
        ]
        snapshot.ringLosses = plane.ringLosses()
        snapshot.alarms = alarms.count
        return snapshot
    }
}
