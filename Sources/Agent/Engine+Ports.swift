internal import Dataplane
internal import Fleet
internal import Model
internal import Netlink

/// Devices that come, change and go.
extension Engine {
    func readNetlink() {
        let events: [NetlinkEvent]
        do { events = try netlink.read() } catch {
            raise("netlink", "\(error)", remedy: "ports are read again every 10 s")
            return
        }
        for event in events {
            switch event {
            case .link(let link): seen(link)
            case .linkGone(let link): gone(link)
            case .neighbour(let neighbour): seen(neighbour)
            case .neighbourGone: break  // bridges forget the silent: that is no sign of an end
            case .overrun: readAllLinks()
            }
        }
    }

    /// A full dump: at the start, after an overrun, and with each reconciliation. All ports first, then what is to be
    /// loaded: a proxy may have backends behind several of them.
    func readAllLinks() {
        let all: [Link]
        do { all = try NetlinkSocket.links() } catch {
            raise("netlink", "\(error)", remedy: "ports are read again every 10 s")
            return
        }
        alarms.clear("netlink")
        let there = Set(all.map(\.name))
        for (name, link) in links where !there.contains(name) { gone(name, link) }
        var actions: [Fleet.Action] = []
        var moved: Set<PortName> = []
        for link in all {
            actions += note(link)
            if attach(link) { moved.insert(link.name) }
        }
        perform(actions)
        routesChanged(on: moved)
    }

    private func seen(_ link: Link) {
        // the fleet's word on the mode first, then the programs, then what they are needed for
        let actions = note(link)
        let moved = attach(link)
        perform(actions)
        if moved { routesChanged(on: [link.name]) }
    }

    /// What the fleet makes of a device, if it is a port and not as it was.
    private func note(_ link: Link) -> [Fleet.Action] {
        guard let rule = config.port(matching: link.name) else { return [] }
        let known = links[link.name]
        if known == link { return [] }
        if let known, known.index != link.index { gone(link.name, known) }
        links[link.name] = link
        let up = link.isUp && link.hasCarrier
        if known.map({ ($0.isUp && $0.hasCarrier) != up }) ?? true {
            log.info("port \(link.name) (\(rule.role.rawValue)) is \(up ? "up" : "without carrier")")
        }
        return fleet.port(link.name, role: rule.role, network: rule.network, up: up, mode: rule.mode, at: clock.now)
    }

    private func gone(_ link: Link) {
        guard let known = links[link.name], known.index == link.index else { return }
        gone(link.name, known)
    }

    private func gone(_ name: PortName, _ link: Link) {
        log.info("port \(name) is gone")
        links[name] = nil
        portProblems[name] = nil
        alarms.clear("port \(name)")
        detached.remove(name)
        plane.forget(name)
        run(prober.portVanished(name))
        perform(fleet.portVanished(name, at: clock.now))
    }

    /// A bridge learned an address at another of its ports: if it is a guest's, the guest has moved.
    private func seen(_ neighbour: Neighbour) {
        guard neighbour.table == .bridge, let mac = neighbour.mac, !neighbour.isPermanent,
            let (name, _) = links.first(where: { $0.value.index == neighbour.index }),
            let rule = config.port(matching: name)
        else { return }
        for host in addresses[mac] ?? [] {
            let place = Place(port: name, role: rule.role, mac: mac, vlan: vlan(of: host.network, on: name))
            perform(fleet.moved(network: host.network, host.address, to: place, at: clock.now))
        }
    }

    /// The mode that the fleet says, the forwarding that fits. True: frames to this port go another way than before.
    private func attach(_ link: Link) -> Bool {
        guard let rule = config.port(matching: link.name), !detached.contains(link.name), !isDetached else {
            return false
        }
        let port = PortAttachment(
            name: link.name, ifindex: link.index, role: rule.role, mode: fleet.mode(of: link.name),
            network: rule.network, vlans: rule.vlans, forwarding: rule.forwarding ?? config.forwarding,
            peerElsewhere: link.kind == "veth" && link.peerNamespace != nil && link.hasCarrier,
            answerARP: rule.answerARP)
        let before = plane.attachment(link.name)
        do {
            try plane.attach(port)
            portProblems[link.name] = nil
            alarms.clear("port \(link.name)")
        } catch {
            portProblems[link.name] = error.cause
            if error.code == .noDevice {
                log.debug("\(error)")  // its end is in the news already
            } else {
                raise("port \(link.name)", "\(error)", remedy: "it is tried again every 10 s")
                if !error.log.isEmpty { log.error("\(error.log)") }
            }
            return false
        }
        return before?.ifindex != port.ifindex || before?.forwarding != port.forwarding
            || before?.peerElsewhere != port.peerElsewhere
    }

    /// Proxies with a backend behind one of these ports send its frames elsewhere now.
    private func routesChanged(on ports: Set<PortName>) {
        guard !ports.isEmpty else { return }
        for spec in fleet.wanted
        where spec.services.contains(where: { $0.backends.contains { ports.contains($0.device) } }) {
            load(spec)
        }
    }

    /// After a change of mode: every port's program is what its mode says.
    func attachAll() {
        routesChanged(on: Set(links.values.filter { attach($0) }.map(\.name)))
    }
}
