internal import Dataplane
internal import Fleet
internal import Model
internal import Packets
internal import Prober

/// Probes out, events in.
extension Engine {
    func probe(_ request: Fleet.ProbeRequest) {
        let instance = request.instance
        guard config.probe.enabled else {
            return answer(instance, .notSent("probing is switched off"))
        }
        guard let address = instance.address.v4, instance.proto == .tcp else {
            return answer(instance, .notSent("only TCP over IPv4 is probed"))
        }
        guard let place = request.place else { return search(for: instance, address) }
        guard let link = links[place.port] else { return answer(instance, .notSent("port \(place.port) is not there")) }
        guard
            let target = ProbeTarget(
                instance: instance, port: place.port, ifindex: link.index,
                vlan: vlan(of: instance.network, on: place.port),
                mac: place.mac, source: probeSource(request), sourceMAC: plane.vipMAC)
        else { return }
        run(prober.start(target, at: clock.now, using: &random))
    }

    /// In whose name: the network's own address for it, else the registry that the guest just spoke to and so has a
    /// route to. A link-local one reaches only guests with a default route.
    private func probeSource(_ request: Fleet.ProbeRequest) -> IPv4Address {
        let configured = config.networks.first { $0.id == request.instance.network }?.probeSource
        if let known = configured ?? request.registry?.v4 {
            unroutable.remove(request.instance)
            return known
        }
        unroutable.insert(request.instance)
        return Self.linkLocal
    }

    /// 169.254.1.1 (RFC 3927).
    private static let linkLocal = IPv4Address(bits: 0xa9fe_0101)

    private func vlan(of network: NetworkID, on port: PortName) -> UInt16? {
        guard let rule = config.port(matching: port), rule.network != network else { return nil }
        return rule.vlans.first { $0.value == network }?.key
    }

    func run(_ steps: [ProbeStep]) {
        for step in steps {
            switch step {
            case .expect(let tuple):
                do { try plane.expect(tuple.key) } catch { raise("probes", "\(error)") }
            case .send(let frame): send(frame)
            case .forget(let tuple): plane.unexpect(tuple.key)
            case .finished(let instance, let result): answer(instance, result)
            }
        }
    }

    private func answer(_ instance: InstanceID, _ result: ProbeResult) {
        var result = result
        if unroutable.remove(instance) != nil, result == .silent {
            // a guest without a default route cannot answer a link-local sender: its silence says nothing
            result = .notSent("no sender that the guest surely has a route to: set probeSource for its network")
        }
        perform(fleet.probed(instance, result, at: clock.now))
    }

    private func send(_ frame: ProbeFrame) {
        // a device that has just gone is told by netlink; the probe's time-out does the rest
        do { try probes?.send(frame) } catch { log.debug("\(error)") }
    }

    // MARK: where is it?

    private func search(for instance: InstanceID, _ address: IPv4Address) {
        let host = Search.Host(network: instance.network, address: address)
        guard searches.begin(host, for: instance, at: clock.now) else { return }
        do { try plane.watch(address, in: instance.network) } catch {
            raise("probes", "\(error)")
            return
        }
        for (name, link) in links {
            guard let rule = config.port(matching: name), rule.role != .uplink else { continue }
            let vlan = vlan(of: instance.network, on: name)
            guard rule.network == instance.network || vlan != nil else { continue }
            send(
                ProbeFrame(
                    ifindex: link.index,
                    bytes: ARPProbe(sender: plane.vipMAC, target: address, vlan: vlan).frame))
        }
    }

    func giveUpSearches(at now: Instant) {
        guard !searches.isEmpty else { return }
        for (host, instances) in searches.expire(at: now) {
            plane.unwatch(host.address, in: host.network)
            for instance in instances { answer(instance, .silent) }
        }
    }

    // MARK: events

    func consumeEvents() {
        guard plane.consumeEvents() > 0 else { return }
        for waiter in waiters.values { waiter.resume() }
        waiters = [:]
    }

    func told(_ event: DataplaneEvent) {
        switch event.kind {
        case .opened, .closed, .dropped: flowLog.append(event)
        case .probeAnswer: probeAnswered(event)
        case .neighbourChanged: neighbourChanged(event)
        }
    }

    private func probeAnswered(_ event: DataplaneEvent) {
        guard let port = event.port, let rule = config.port(matching: port) else { return }
        let answer = ProbeAnswer(
            tuple: event.flow.tuple, sequence: event.sequence, acknowledged: event.acknowledged,
            flags: TCPHeader.Flags(rawValue: event.tcpFlags),
            place: Place(port: port, role: rule.role, mac: event.mac), hopLimit: event.hopLimit)
        run(prober.answered(answer))
    }

    private func neighbourChanged(_ event: DataplaneEvent) {
        guard let port = event.port, let rule = config.port(matching: port) else { return }
        let host = Search.Host(network: event.flow.network, address: event.flow.source)
        if searches.found(host) { plane.unwatch(host.address, in: host.network) }
        let place = Place(port: port, role: rule.role, mac: event.mac)
        perform(fleet.moved(network: host.network, host.address, to: place, at: clock.now))
    }
}

extension FiveTuple {
    /// Probes are IPv4 alone.
    fileprivate var key: FiveTupleKey {
        FiveTupleKey(
            network: network, source: source.v4 ?? IPv4Address(bits: 0), sourcePort: sourcePort,
            destination: destination.v4 ?? IPv4Address(bits: 0), destinationPort: destinationPort)
    }
}

extension FiveTupleKey {
    fileprivate var tuple: FiveTuple {
        FiveTuple(
            network: network, source: .v4(source), sourcePort: sourcePort, destination: .v4(destination),
            destinationPort: destinationPort)
    }
}
