internal import Classifier
public import Model

/// What is seen on the wire of an address, beside answers to probes of its instances.
extension Fleet {
    /// Somebody answered ARP or neighbour discovery for this address.
    public mutating func neighbour(
        network: NetworkID, _ address: IPAddress, at place: Place, now: Instant
    ) -> [Action] {
        let host = HostID(network: network, address: address)
        for id in byHost[host] ?? [] {
            guard let instance = instances[id] else { continue }
            var traces = instance.traces
            let isNews = traces.answered(by: place, at: now, life: settings.neighbourLife)
            let isOwn = instance.place.map { $0.mac == place.mac && $0.port == place.port } ?? true
            guard isNews || isOwn else { continue }
            update(id) { instance in
                instance.traces = traces
                if isOwn { instance.neighbourSeen = now }
            }
            if isNews { judge(id, at: now) }
        }
        sighted(host, at: place, now: now)
        return finish(at: now)
    }

    /// Frames of a container overlay on the uplink carried this address.
    public mutating func overlay(
        network: NetworkID, _ address: IPAddress, in segment: OverlaySegment, at now: Instant
    ) -> [Action] {
        for id in byHost[HostID(network: network, address: address)] ?? [] {
            guard let instance = instances[id], instance.traces.overlay != segment else { continue }
            update(id) { $0.traces.overlay = segment }
            judge(id, at: now)
        }
        return finish(at: now)
    }

    /// What its port said to a request over HTTP.
    /// - Parameter asked: where the connection was opened to. Of another machine than has the address now it says nothing.
    public mutating func requested(_ id: InstanceID, _ finding: HTTPFinding, asked: Place, at now: Instant) -> [Action]
    {
        guard let instance = instances[id], settings.probing, instance.probe?.place == asked else { return [] }
        update(id) { $0.traces.http = finding }
        judge(id, at: now)
        return finish(at: now)
    }

    /// Did others answer for its address as soon as it came? Then whose it is was never known.
    func hadRivals(_ instance: Instance) -> Bool {
        let settled = instance.traces.since + Settings.settling
        return instance.traces.neighbours.contains {
            $0.place.role != .uplink && $0.place.mac != instance.place?.mac && $0.time < settled
        }
    }

    /// Its machine is there, and says nothing: it drops probes.
    func isThere(_ instance: Instance) -> Bool { !instance.open && isSeen(instance) }

    /// Its own machine answered ARP or neighbour discovery since it was asked.
    func isSeen(_ instance: Instance) -> Bool {
        guard let seen = instance.neighbourSeen, let asked = instance.asked else { return false }
        return seen >= asked
    }

    /// Asked again as one that lives is.
    mutating func standsStill(_ id: InstanceID, at now: Instant) {
        if let host = instances[id]?.host { uncontest(host, at: now) }
        update(id) { instance in
            instance.failures = 0
            instance.move = nil
            instance.graceUntil = nil
            if instance.probe?.place == nil { instance.probe = .silent }
        }
        judge(id, at: now)
        if let instance = instances[id] {
            let next = nextProbe(of: instance, at: now)
            update(id) { $0.nextProbe = next }
        }
        if instances[id]?.judgement.verdict != .unknown { revive(id) }
    }

    // MARK: machines

    /// Which machine has the instance's address now. Another one than before: what was known of the old one does not
    /// speak for it.
    mutating func reindexMachine(_ instance: inout Instance) {
        let mac = instance.machine
        guard mac != instance.indexedMachine else { return }
        unindex(instance.host, machine: instance.indexedMachine)
        instance.indexedMachine = mac
        guard let mac else { return }
        let machine = MachineID(network: instance.id.network, mac: mac)
        machines[machine, default: [:]][instance.id.address, default: 0] += 1
        doubt(machine, when: machines[machine]?.count)
        if let last = lastMachines[instance.host], last != mac {
            instance.traces.reused = instance.traces.reused ?? instance.traces.since
            instance.traces.http = nil
            doubtful.insert(instance.id)
        }
        lastMachines.set(instance.host, mac)
    }

    mutating func unindex(_ host: HostID, machine mac: MACAddress?) {
        guard let mac else { return }
        let machine = MachineID(network: host.network, mac: mac)
        guard let count = machines[machine]?[host.address] else { return }
        machines[machine]?[host.address] = count > 1 ? count - 1 : nil
        doubt(machine, when: machines[machine]?.count)
        if machines[machine]?.isEmpty == true { machines[machine] = nil }
    }

    /// It has as many addresses as make the difference, or just had.
    private mutating func doubt(_ machine: MachineID, when count: Int?) {
        guard let count, (Self.fewAddresses - 1...Self.fewAddresses).contains(count) else { return }
        for address in machines[machine]?.keys.map(\.self) ?? [] {
            doubtful.formUnion(byHost[HostID(network: machine.network, address: address)] ?? [])
        }
    }
    /// The least that the classifier calls many.
    private static var fewAddresses: Int { Classifier.manyAddresses }
}

extension Traces {
    mutating func relabel(with relabelled: (Place?) -> Place?) {
        for index in neighbours.indices {
            neighbours[index].place = relabelled(neighbours[index].place) ?? neighbours[index].place
        }
        if let place = relabelled(http?.place) { http?.place = place }
    }
}
