import Classifier
import Model
import Testing

@testable import Fleet

/// Whatever happens in whatever order, some things hold. Each seed is one history.
@Suite struct RandomTests {
    func verify(_ lab: Lab, _ seed: Int) {
        let wanted = Dictionary(uniqueKeysWithValues: lab.fleet.wanted.map { ($0.id, $0) })
        let same = lab.loaded == wanted
        #expect(same, "seed \(seed): loads and unloads replay to what is wanted")
        let views = Dictionary(uniqueKeysWithValues: lab.fleet.instances(at: lab.now).map { ($0.instance, $0) })
        var frontends: Set<ServiceSpec.Frontend> = []
        for service in wanted.values.flatMap(\.services) {
            for backend in service.backends {
                let view = views[
                    InstanceID(network: service.id.network, address: .v4(backend.address), port: backend.port)]
                #expect(view?.state.rawValue == backend.state.rawValue || backend.state == .guarded, "seed \(seed)")
                if backend.state == .live { #expect(view?.verdict == .vm, "seed \(seed): only VMs are proxied") }
                #expect(view?.mode == .enforce, "seed \(seed)")
                let own = ServiceSpec.Frontend(address: backend.address, port: backend.port)
                #expect(frontends.insert(own).inserted, "seed \(seed): \(own) leads to one service")
            }
            if let vip = service.vip { #expect(frontends.insert(vip).inserted, "seed \(seed): one VIP, one service") }
            #expect(service.backends == service.backends.sorted { ($0.address, $0.port) < ($1.address, $1.port) })
        }
    }

    /// The indexes say what the instances say, and hold nothing that is gone.
    func audit(_ fleet: Fleet, _ now: Instant, _ seed: Int) {
        var holders: [RegistrationKey: Set<IPAddress>] = [:]
        var leases: [LeaseKey: Set<InstanceID>] = [:]
        var services: [PortName: [ServiceID: Int]] = [:]
        for instance in fleet.instances.values {
            for holder in instance.holders {
                if let registrant = holder.registrant {
                    holders[holder.registrationKey, default: []].insert(registrant)
                }
                if let key = holder.leaseKey { leases[key, default: []].insert(instance.id) }
                if let port = holder.port { services[port, default: [:]][holder.service, default: 0] += 1 }
            }
        }
        #expect(fleet.byRegistration.mapValues { Set($0.keys) } == holders, "seed \(seed)")
        #expect(fleet.leases.mapValues(\.instances) == leases, "seed \(seed)")
        #expect(fleet.servicesByPort == services, "seed \(seed)")
        #expect(Set(fleet.checks.values).isSubset(of: fleet.leases.keys), "seed \(seed)")
        #expect(Set(fleet.byHost.values.joined()) == Set(fleet.instances.keys), "seed \(seed)")
        #expect(Set(fleet.byService.values.joined()) == Set(fleet.instances.keys), "seed \(seed)")
        #expect(Set(fleet.byPort.values.joined()).isSubset(of: fleet.instances.keys), "seed \(seed)")
        #expect(Set(fleet.bindings.keys).isSubset(of: fleet.byHost.keys), "seed \(seed)")
        #expect(fleet.draining == Set(fleet.instances.values.filter(\.isDraining).map(\.id)), "seed \(seed)")
        #expect(fleet.emittedOf.values.joined().count == fleet.emitted.count, "seed \(seed)")
        #expect(fleet.touched.isEmpty && fleet.dirty.isEmpty && fleet.probes.isEmpty && fleet.records.isEmpty)
        var ticked = fleet
        _ = ticked.tick(at: now)
        #expect(ticked.nextDeadline.map { $0 > now } ?? true, "seed \(seed): what was due is done")
    }

    @Test("any history keeps the invariants, and restores to what it was", arguments: 0..<60) func histories(seed: Int)
    {
        var dice = Dice(state: UInt64(seed))
        var lab = Lab(
            .enforcing.with {
                $0.grouping = seed % 2 == 0 ? .service : .vm
                $0.vipRanges = [blue: IPv4Prefix(IPv4Address(bits: 0x0a63_0000), length: seed % 3 == 0 ? 30 : 24)]
                $0.registrars = [.v4(c)]
                $0.probing = seed % 5 != 0
                $0.servicesPerProxy = seed % 4 == 0 ? 1 : 64
            })
        for _ in 0..<250 {
            step(&lab, &dice)
            verify(lab, seed)
            audit(lab.fleet, lab.now, seed)
        }
        let again = Lab(lab.fleet.settings, restoring: lab.journal, ports: [tap0, tap1, cni])
        verify(again, seed)
        let compacted = Lab(lab.fleet.settings, restoring: lab.fleet.liveRecords, ports: [tap0, tap1, cni])
        #expect(again.fleet.wanted == compacted.fleet.wanted, "seed \(seed)")
    }

    private func step(_ lab: inout Lab, _ dice: inout Dice) {
        let places = [tap0, tap1, cni, uplink]
        let hosts = [a, b, c]
        let host = hosts[dice.roll(3)]
        let own = [a: tap0, b: tap1, c: cni][host] ?? tap0
        let place = dice.roll(8) == 0 ? places[dice.roll(4)] : own
        let name = ["web", "db", "a/b"][dice.roll(3)]
        let id = "\(name)-\(dice.roll(2))"
        let port = 80 + dice.roll(2)
        let service = ServiceID(network: blue, name: name)
        switch dice.roll(16) {
        case 0, 1, 2:
            let address = dice.roll(4) == 0 ? hosts[dice.roll(3)].description : nil
            lab.hear(
                etcd(name, id, address: address, port: port, accepted: [true, true, nil, false][dice.roll(4)]),
                from: host, on: place)
        case 3, 4: lab.hear(consul(name, id: id, port: port, ttl: [0, 5, 20][dice.roll(3)]), from: host, on: place)
        case 5: lab.hear(message(.deregister, id: id), from: host, on: place)
        case 6: lab.hear(message(.deregister, "etcd", id: id, key: "/services/\(name)/\(id)"), from: host, on: place)
        case 7:
            lab.hear(message(.heartbeat, "etcd", lease: "1"), from: host, on: place)
            lab.hear(check("own-\(dice.roll(2))", of: id, ttl: [3, 30][dice.roll(2)]), from: host, on: place)
        case 8: lab.wait(.seconds([1, 5, 31, 700][dice.roll(4)]))
        case 9: lab.apply(lab.fleet.port(own.port, role: own.role, network: blue, up: dice.roll(2) == 0, at: lab.now))
        case 10:
            lab.machines[host] =
                [nil, own, place, Place(port: place.port, role: place.role, mac: own.mac)][dice.roll(4)]
        case 11: lab.apply(lab.fleet.policy(service, [nil, denyRules(), PolicyRules()][dice.roll(3)], at: lab.now))
        case 12:
            lab.now = lab.now + .milliseconds(1)
            lab.apply(lab.fleet.openFlows(dice.roll(2) == 0 ? [:] : [instance(host, UInt16(port)): 1], at: lab.now))
        case 13:
            if dice.roll(2) == 0 {
                lab.declare(name, host, port: UInt16(port), verdict: Verdict.allCases[dice.roll(3)])
            } else {
                lab.apply(lab.fleet.undeclared(instance(host, UInt16(port)), at: lab.now))
            }
        case 14:
            let scope: ModeScope = [.all, .port(place.port), .service(service)][dice.roll(3)]
            lab.apply(lab.fleet.mode([nil, .observe, .enforce][dice.roll(3)], for: scope, at: lab.now))
        default: happens(&lab, &dice, host: host, place: place, own: own)
        }
    }

    private func happens(_ lab: inout Lab, _ dice: inout Dice, host: IPv4Address, place: Place, own: Place) {
        switch dice.roll(4) {
        case 0:
            var list = ContainerList()
            if dice.roll(2) == 0 { list.insert(.v4(host)) }
            lab.apply(lab.fleet.containers(list, at: lab.now))
        case 1: lab.apply(lab.fleet.neighbourGone(network: blue, host, at: lab.now))
        case 2: lab.apply(lab.fleet.portVanished(own.port, at: lab.now))
        default: lab.apply(lab.fleet.moved(network: blue, .v4(host), to: place, at: lab.now))
        }
    }

    @Test("ten thousand instances: a heartbeat touches one, a tick what is due") func many() {
        var lab = Lab(
            .enforcing.with {
                $0.instancesPerPort = 20_000
                $0.servicesPerPort = 20_000
                $0.probing = false
                $0.vipRanges = [blue: IPv4Prefix(IPv4Address(bits: 0x0a80_0000), length: 16)]
            })
        for number in 0..<10_000 {
            let source = IPv4Address(bits: 0xc0a8_0000 + UInt32(number))
            guard source.isUnicast else { continue }
            lab.hear(etcd("s\(number)", "i", ttl: 100), from: source)
        }
        #expect(lab.fleet.counts.live == 10_000)
        #expect(lab.loaded.count == 10_000)
        for number in 0..<9_999 {
            let source = IPAddress.v4(IPv4Address(bits: 0xc0a8_0000 + UInt32(number)))
            let beat = message(.heartbeat, "etcd", lease: "1")
            #expect(
                lab.fleet.heard(hearing(beat, from: source, on: tap0, at: lab.now), at: lab.now + .seconds(50)).isEmpty)
        }
        lab.wait(.seconds(101))
        #expect(lab.fleet.counts.live == 9_999)
    }
}
