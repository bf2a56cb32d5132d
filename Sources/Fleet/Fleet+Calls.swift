internal import Classifier
public import Model

/// Who asks registries for services: workloads, each about to call what it asked for. Not in the journal: whoever
/// calls asks again, and nothing else rests on it.
extension Fleet {
    /// A workload as it is remembered: its verdict is made of what is known when somebody looks.
    struct Asker: Sendable {
        let host: HostID
        var place: Place
        var since: Instant
        var time: Instant
        /// Latest first, each service and registry once.
        var calls: [Workload.Call] = []
    }

    mutating func asked(_ hearing: Hearing, at now: Instant) {
        guard hearing.source.isUnicast else { return }
        guard hearing.role != .uplink else { return }
        let host = HostID(network: hearing.network, address: hearing.source)
        if let bound = bindings[host], bound.port != hearing.port { return }
        var asker =
            workloadTable[host, of: hearing.port] ?? Asker(host: host, place: hearing.place, since: now, time: now)
        (asker.place, asker.time) = (hearing.place, now)
        let said = hearing.advertisement
        // Who asks for everything is a workload, too.
        if let service = said.serviceID(on: hearing.network), service.name.utf8.count <= Settings.longestName,
            service.namespace.utf8.count <= Settings.longestName
        {
            note(Workload.Call(service: service, registry: said.registry, time: now), of: &asker)
        }
        workloadTable.set(host, asker, of: hearing.port)
    }

    /// When there are too many, those go first that no service here has the name of.
    private func note(_ call: Workload.Call, of asker: inout Asker) {
        var call = call
        let same = asker.calls.firstIndex { $0.service == call.service && $0.registry == call.registry }
        if let same { call.count = asker.calls.remove(at: same).count &+ 1 }
        if asker.calls.count >= settings.callsPerWorkload {
            let stranger = asker.calls.lastIndex { byService[$0.service] == nil }
            asker.calls.remove(at: stranger ?? asker.calls.count - 1)
        }
        asker.calls.insert(call, at: 0)
    }

    /// Whoever asked a registry for something, latest first.
    public func workloads(at now: Instant) -> [Workload] {
        workloadTable.values.filter { now < $0.time + settings.workloadsRemembered }
            .sorted { $0.time > $1.time }.map { view(of: $0, at: now) }
    }

    /// Who asked for the service lately, and so is about to call it.
    public func callers(of service: ServiceID, at now: Instant) -> [Workload] {
        workloads(at: now).filter { $0.calls.contains { $0.service == service } }
    }

    private func view(of asker: Asker, at now: Instant) -> Workload {
        Workload(
            network: asker.host.network, address: asker.host.address, port: asker.place.port, mac: asker.place.mac,
            calls: asker.calls.filter { now < $0.time + settings.callsRemembered }, time: asker.time,
            judgement: judgement(of: asker))
    }

    /// The verdict on its machine if it offers something, too; else by the same evidence but a probe's.
    private func judgement(of asker: Asker) -> Judgement {
        let own = (byHost[asker.host] ?? []).sorted().lazy.compactMap { instances[$0] }
        if let instance = own.first(where: { !$0.isForeign && !$0.isDead }) { return instance.judgement }
        var facts = Facts(
            instance: InstanceID(network: asker.host.network, address: asker.host.address, port: 0), since: asker.since)
        facts.heard = asker.place
        facts.probe = .notSent("it offers nothing that could be asked")
        return Classifier.judge(facts, against: containers, at: asker.since)
    }
}
