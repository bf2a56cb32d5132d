internal import Dataplane
internal import Fleet
internal import Model
internal import Netlink
internal import Packets
internal import Prober

/// Probes out, answers in.
extension Engine {
    func probe(_ request: Fleet.ProbeRequest) {
        let instance = request.instance
        guard config.probe.enabled else {
            return answer(instance, .notSent("probing is switched off"))
        }
        if let why = manners.refusal(of: instance.address) { return answer(instance, .notSent(why)) }
        guard let place = request.place else { return search(for: instance) }
        guard let link = links[place.port] else { return answer(instance, .notSent("port \(place.port) is not there")) }
        let host = Search.Host(network: instance.network, address: instance.address)
        watchOverlays()
        let source = probeSource(request)
        // whoever is asked by a link-local sender has to know where that is
        let isLinkLocal = source == .v6(.linkLocal(of: plane.vipMAC))
        askNeighbours(
            of: host, at: place, link, everywhere: !request.isRoutine, orThere: !request.wasOpen || isLinkLocal)
        let target = ProbeTarget(
            instance: instance, port: place.port, ifindex: link.index, vlan: vlan(of: instance.network, on: place.port),
            mac: place.mac, source: source, sourceMAC: plane.vipMAC)
        guard var target else { return answer(instance, .notSent("\(place.mac) is no machine's address")) }
        if request.mayRequest, let http = config.probe.http, http.ports.contains(instance.port) {
            target.request = HTTPProbe.request(path: http.path, of: instance, agent: "remora/\(Version.text) (probe)")
        }
        // Nothing waits for it: so that those of many instances do not fall together.
        let delay: Duration = request.isRoutine ? .milliseconds(Int64.random(in: 0..<1000, using: &random)) : .zero
        run(prober.start(target, after: delay, at: clock.now, using: &random))
    }

    /// In whose name: the network's own address for it, else the registry that the guest just spoke to and so has a
    /// route to. A link-local one of IPv4 reaches only guests with a default route; one of IPv6 reaches all.
    private func probeSource(_ request: Fleet.ProbeRequest) -> IPAddress {
        let instance = request.instance
        let network = config.networks.first { $0.id == instance.network }
        let registry = request.registry.flatMap { $0 == instance.address ? nil : $0 }
        unroutable.remove(instance)
        switch instance.address {
        case .v4:
            if let known = network?.probeSource ?? registry?.v4 { return .v4(known) }
            unroutable.insert(instance)
            return .v4(Self.linkLocal)
        case .v6:
            if let known = network?.probeSource6 { return .v6(known) }
            if let registry, registry.v4 == nil { return registry }
            return .v6(.linkLocal(of: plane.vipMAC))
        }
    }

    /// 169.254.1.1 (RFC 3927).
    private static let linkLocal = IPv4Address(bits: 0xa9fe_0101)

    func vlan(of network: NetworkID, on port: PortName) -> UInt16? {
        guard let rule = config.port(matching: port), rule.network != network else { return nil }
        return rule.vlans.first { $0.value == network }?.key
    }

    func run(_ steps: [ProbeStep]) {
        for step in steps {
            switch step {
            case .expect(let key, let number):
                do { try plane.expect(key, number: number) } catch { raise("probes", "\(error)") }
            case .send(let frame): send(frame)
            case .forget(let key): plane.unexpect(key)
            case .finished(let instance, let result): answer(instance, result)
            case .response(let instance, let response, let asked):
                perform(fleet.requested(instance, HTTPFinding(response), asked: asked, at: clock.now))
            case .neighbour(let network, let address, let place):
                _ = searches.found(Search.Host(network: network, address: address))
                perform(fleet.neighbour(network: network, address, at: place, now: clock.now))
            }
        }
    }

    private func answer(_ instance: InstanceID, _ result: ProbeResult) {
        var result = result
        if unroutable.remove(instance) != nil, result == .silent {
            // a guest without a default route cannot answer a link-local sender: its silence says nothing
            result = .notSent("no sender that the guest surely has a route to: set probeSource for its network")
        }
        // a list that was written meanwhile is asked first
        if result.place != nil { readContainers() }
        perform(fleet.probed(instance, result, at: clock.now))
        noteVerdict(on: instance)
    }

    private func send(_ frame: ProbeFrame) {
        // a device that has just gone is told by netlink; the probe's time-out does the rest
        let time = NodeClock.monotonic
        do { try probes?.send(frame) } catch { return log.debug("\(error)") }
        if let number = frame.number { prober.sent(number, at: time) }
    }

    func readOwnAddresses() {
        let own = OwnAddresses.read()
        (manners.own, manners.broadcasts) = (own.addresses, own.broadcasts)
    }

    // MARK: where is it?

    /// Who answers for its address? At first, and now and then, every port is asked: another machine may, too.
    private func askNeighbours(
        of host: Search.Host, at place: Place, _ link: Link, everywhere: Bool, orThere: Bool
    ) {
        if everywhere, asked.isDue(host, at: clock.now) { return askEverywhere(host) }
        guard orThere else { return }
        ask(host, by: place.port, link, place.mac)
    }

    private func askEverywhere(_ host: Search.Host) {
        for (name, link) in links {
            guard let rule = config.port(matching: name), rule.role != .uplink, link.isUp, link.hasCarrier,
                rule.network == host.network || vlan(of: host.network, on: name) != nil
            else { continue }
            ask(host, by: name, link, nil)
        }
    }

    private func ask(_ host: Search.Host, by port: PortName, _ link: Link, _ mac: MACAddress?) {
        let question = NeighbourQuestion(
            network: host.network, address: host.address, port: port, ifindex: link.index,
            vlan: vlan(of: host.network, on: port), mac: mac, sourceMAC: plane.vipMAC)
        run(prober.ask(question, at: clock.now))
    }

    private func search(for instance: InstanceID) {
        let host = Search.Host(network: instance.network, address: instance.address)
        guard searches.begin(host, for: instance, at: clock.now) else { return }
        _ = asked.isDue(host, at: clock.now)
        askEverywhere(host)
    }

    func giveUpSearches(at now: Instant) {
        if overlays.isOver(at: now) { closeOverlays() }
        guard !searches.isEmpty else { return }
        for (_, instances) in searches.expire(at: now) {
            for instance in instances { answer(instance, .silent) }
        }
    }

    // MARK: overlays

    private func watchOverlays() {
        guard let ports = overlays.begin(at: clock.now) else { return }
        do {
            let socket = try OverlaySocket(ports: ports)
            loop.watch(socket.fd) { self.readOverlays() }
            overlaySocket = consume socket
        } catch { raise("overlays", "\(error)", remedy: "what comes out of an overlay is not told apart") }
    }

    private func closeOverlays() {
        guard let fd = overlaySocket?.fd else { return }
        loop.unwatch(fd)
        overlaySocket = nil
    }

    private func readOverlays() {
        do {
            while let frame = try overlaySocket?.read() {
                guard let name = links.first(where: { $0.value.index == frame.ifindex })?.key,
                    let rule = config.port(matching: name), rule.role == .uplink || rule.role == .mixed,
                    let (address, segment) = overlays.found(in: frame.bytes)
                else { continue }
                perform(fleet.overlay(network: rule.network, address, in: segment, at: clock.now))
            }
        } catch { raise("overlays", "\(error)") }
    }

    // MARK: events

    func consumeEvents() {
        guard plane.consumeEvents() > 0 else { return }
        for waiter in waiters.values { waiter.resume() }
        waiters = [:]
    }

    func told(_ event: DataplaneEvent) {
        switch event.kind {
        case .probeAnswer: probeAnswered(event)
        case .neighbourChanged: neighbourChanged(event)
        case .opened, .closed, .dropped: break  // the flow log's
        }
    }

    private func place(of event: DataplaneEvent) -> Place? {
        event.port.flatMap { place(of: event.mac, on: $0, in: event.flow.network) }
    }

    private func place(of mac: MACAddress, on port: PortName, in network: NetworkID) -> Place? {
        config.port(matching: port).map {
            Place(port: port, role: $0.role, mac: mac, vlan: vlan(of: network, on: port))
        }
    }

    func probeSpokenTo(_ frame: CopiedFrame) {
        guard let mac = Frame(frame.bytes)?.sourceMAC,
            let place = place(of: mac, on: frame.port, in: frame.network),
            let segment = ProbeSegment(frame.bytes, network: frame.network, place: place, time: frame.time)
        else { return }
        run(prober.heard(segment, at: clock.now))
    }

    private func probeAnswered(_ event: DataplaneEvent) {
        guard let place = place(of: event) else { return }
        let answer = ProbeAnswer(
            number: event.probe, sequence: event.sequence, acknowledged: event.acknowledged,
            flags: TCPHeader.Flags(rawValue: event.tcpFlags), place: place, hopLimit: event.hopLimit,
            time: event.time)
        run(prober.answered(answer, at: clock.now))
    }

    private func neighbourChanged(_ event: DataplaneEvent) {
        guard let place = place(of: event) else { return }
        perform(fleet.moved(network: event.flow.network, event.flow.source, to: place, at: clock.now))
    }
}
