public import Model

/// Where things are on the NIC: ports, and addresses that move.
extension Fleet {
    /// A port appeared, changed, or lost or found its carrier. Nothing behind a port without one is alive, except
    /// on an uplink, behind which nothing of ours lives.
    ///
    /// - Parameter mode: what the configuration says for this port; nil: as for the node.
    public mutating func port(
        _ name: PortName, role: PortRole, network: NetworkID, up: Bool, mode: Mode? = nil, at now: Instant
    ) -> [Action] {
        let before = ports[name]
        ports[name] = Port(role: role, network: network, up: up, mode: mode)
        if before?.role != role { relabel(name, role, at: now) }
        knowContainerNetwork(at: now)
        if before?.mode != mode { dirty.formUnion(services(on: name)) }
        if !up, role != .uplink {
            loseAll(on: name, "port \(name) has no carrier", at: now)
        } else if up, before?.up != true {
            for id in byPort[name] ?? [] {
                guard let instance = instances[id], instance.isDead else { continue }
                if settings.probing { ask(id, via: instance.place, at: now) } else { revive(id) }
            }
        }
        return finish(at: now)
    }

    /// The device is gone.
    public mutating func portVanished(_ name: PortName, at now: Instant) -> [Action] {
        guard let port = ports.removeValue(forKey: name) else { return [] }
        if port.role != .uplink { loseAll(on: name, "port \(name) is gone", at: now) }
        // Whoever has a port of this name next has claimed nothing yet.
        for service in (servicesByPort[name] ?? [:]).keys {
            for id in byService[service] ?? [] { release(id) { $0.port == name && $0.foreign } }
        }
        allowances[name] = nil
        workloadTable.remove(name)
        return finish(at: now)
    }

    /// The configuration gives the port another role than it had when evidence was found on it.
    private mutating func relabel(_ name: PortName, _ role: PortRole, at now: Instant) {
        func relabelled(_ place: Place?) -> Place? {
            guard let place, place.port == name else { return place }
            return Place(port: name, role: role, mac: place.mac, vlan: place.vlan)
        }
        for id in byPort[name] ?? [] {
            update(id) { instance in
                instance.heard = relabelled(instance.heard)
                instance.place = relabelled(instance.place)
                if let new = relabelled(instance.probe?.place) { instance.probe = instance.probe?.moved(to: new) }
                instance.traces.relabel(with: relabelled)
            }
            if let host = instances[id]?.host { bindings[host] = relabelled(bindings[host]) }
            judge(id, at: now)
        }
    }

    private mutating func loseAll(on name: PortName, _ why: String, at now: Instant) {
        for id in byPort[name] ?? [] where instances[id]?.isDead == false {
            guard let place = follower(of: id) else {
                lose(id, why, at: now)
                continue
            }
            update(id) { $0.move = .tried(place) }
            ask(id, via: place, at: now)
        }
    }

    /// Where its machine was seen just now, before its port was lost: it moves, and its connections with it.
    private func follower(of id: InstanceID) -> Place? {
        guard let instance = instances[id], let known = instance.place else { return nil }
        switch instance.move {
        case .doubted(let place), .tried(let place):
            return place.mac == known.mac && place.port != known.port && ports[place.port]?.up == true ? place : nil
        case nil: return nil
        }
    }

    /// An address was seen at another MAC or port: by the kernel's neighbour table, or on a frame of its own.
    ///
    /// A vm port: its guest has another MAC now, and is believed. Another port, or one with many machines behind it:
    /// where it lived is asked first. Another machine that speaks with a guest's address, even with its MAC, takes
    /// nothing from it while it lives.
    public mutating func moved(
        network: NetworkID, _ address: IPAddress, to place: Place, at now: Instant
    ) -> [Action] {
        sighted(HostID(network: network, address: address), at: place, now: now)
        return finish(at: now)
    }

    mutating func sighted(_ host: HostID, at place: Place, now: Instant) {
        for id in byHost[host] ?? [] {
            guard let instance = instances[id], instance.place != place, !instance.isForeign, !instance.isGuarded else {
                continue
            }
            guard let known = instance.place, known.role != .uplink || place.role == .uplink else {
                update(id) { $0.place = place }
                judge(id, at: now)
                ask(id, via: place, at: now)
                continue
            }
            // However often it is seen: once in the retry time.
            if let last = instance.movedAt, now < last + settings.probeRetry {
                let again = last + settings.probeRetry
                update(id) { instance in
                    instance.sighted = place
                    instance.nextProbe = min(instance.nextProbe ?? again, again)
                }
            } else if known.port == place.port, known.role != .mixed || !settings.probing {
                update(id) { $0.movedAt = now }
                renamed(id, to: place, now: now)
            } else if place.role != .uplink,
                instance.heard == nil || known.mac == place.mac || known.port == place.port
            {
                doubt(id, livesStillAt: known, seenAt: place, now: now)
            }
        }
    }

    /// The machine behind its port has another MAC.
    private mutating func renamed(_ id: InstanceID, to place: Place, now: Instant) {
        update(id) { instance in
            if instance.place?.mac != place.mac { instance.traces.begin(anew: now) }
            instance.place = place
            if instance.heard?.port == place.port { instance.heard = place }
            if instance.probe?.place != nil { instance.probe = instance.probe?.moved(to: place) }
        }
        if let host = instances[id]?.host, bindings[host]?.port == place.port { bindings[host] = place }
        judge(id, at: now)
        ask(id, via: place, at: now)
    }

    /// Asks where it was known to live; if that is silent, where it was seen.
    mutating func doubt(_ id: InstanceID, livesStillAt known: Place, seenAt place: Place, now: Instant) {
        let gone = ports[known.port]?.up != true || instances[id]?.isDead == true
        update(id) { instance in
            instance.movedAt = now
            instance.move = gone ? .tried(place) : .doubted(place)
        }
        ask(id, via: gone ? place : known, at: now)
    }

    /// The kernel asked for the address and nobody answered.
    public mutating func neighbourGone(network: NetworkID, _ address: IPv4Address, at now: Instant) -> [Action] {
        for id in byHost[HostID(network: network, address: .v4(address))] ?? [] {
            guard let instance = instances[id], !instance.isDead, !instance.isForeign else { continue }
            lose(id, "its neighbour entry failed: \(address) does not answer ARP", at: now)
        }
        return finish(at: now)
    }
}
