import Classifier
import Fleet
import Model
import Testing

/// A NIC on paper: a fleet, machines that answer probes, and a data plane that does what it is told.
struct Lab {
    var fleet: Fleet
    var now = Instant(milliseconds: 1_000_000)
    /// What answers probes, and where.
    var machines: [IPv4Address: Place] = [:]
    /// Machines that share an address: each answers only where it is asked itself.
    var clones: [IPv4Address: [Place]] = [:]
    /// Who answers ARP, beside what answers probes.
    var neighbours: [IPv4Address: [Place]] = [:]
    var closed: Set<InstanceID> = []
    /// By replaying every load and unload.
    var loaded: [ProxyID: ProxySpec] = [:]
    var journal: [Fleet.Record] = []
    var purged: [InstanceID] = []
    var probed: [Fleet.ProbeRequest] = []

    init(_ settings: Fleet.Settings = .enforcing, restoring: [Fleet.Record] = [], ports: [Place] = [tap0, tap1, cni]) {
        fleet = Fleet(settings: settings, restoring: restoring, at: Instant(milliseconds: 1_000_000))
        for place in ports { apply(fleet.port(place.port, role: place.role, network: blue, up: true, at: now)) }
        apply(fleet.tick(at: now))
        machines = [a: tap0, b: tap1, c: cni]
    }

    /// Does what the fleet asks for; machines answer at once.
    mutating func apply(_ actions: [Fleet.Action]) {
        var queue = actions
        while !queue.isEmpty {
            switch queue.removeFirst() {
            case .probe(let request):
                probed.append(request)
                for place in request.instance.address.v4.flatMap({ neighbours[$0] }) ?? [] {
                    queue += fleet.neighbour(
                        network: request.instance.network, request.instance.address, at: place, now: now)
                }
                queue += fleet.probed(request.instance, answer(to: request), at: now)
            case .record(let record): journal.append(record)
            case .load(let spec): load(spec)
            case .unload(let id):
                #expect(loaded[id] != nil, "only what is loaded is unloaded")
                loaded[id] = nil
            case .purge(let id): purged.append(id)
            }
        }
    }

    private mutating func load(_ spec: ProxySpec) {
        let kept = Set(spec.services.map(\.id))
        let given = Set((loaded[spec.id]?.services ?? []).map(\.id)).subtracting(kept)
        loaded[spec.id] = spec
        guard !given.isEmpty else { return }
        let carried = Set(loaded.values.flatMap(\.services).map(\.id))
        let wanted = Set(fleet.wanted.flatMap(\.services).map(\.id))
        #expect(given.intersection(wanted).isSubset(of: carried), "a service is never without a proxy on its way")
    }

    private func answer(to request: Fleet.ProbeRequest) -> ProbeResult {
        let id = request.instance
        guard let address = id.address.v4 else { return .silent }
        let place = clones[address].map { $0.first { $0 == request.place } } ?? machines[address]
        return place.map { .answered($0, open: !closed.contains(id), hopLimit: 64) } ?? .silent
    }

    mutating func wait(_ duration: Duration) {
        let end = now + duration
        while let next = fleet.nextDeadline, next <= end {
            now = max(now, next)
            apply(fleet.tick(at: now))
        }
        now = end
        apply(fleet.tick(at: now))
    }

    mutating func hear(
        _ said: Advertisement, from source: IPv4Address = a, on place: Place = tap0, network: NetworkID = blue
    ) {
        apply(fleet.heard(hearing(said, from: .v4(source), on: place, network: network, at: now), at: now))
    }

    mutating func declare(
        _ service: String, _ address: IPv4Address, port: UInt16 = 80, verdict: Verdict = .vm, place: Place? = nil
    ) {
        let declaration = Declaration(
            service: ServiceID(network: blue, name: service), instance: instance(address, port), verdict: verdict,
            place: place)
        apply(fleet.declared(declaration, at: now))
    }

    mutating func deny(_ service: String, _ source: String = "0.0.0.0/0") {
        apply(fleet.policy(ServiceID(network: blue, name: service), denyRules(source), at: now))
    }

    func view(_ address: IPv4Address, _ port: UInt16 = 80) -> InstanceView? {
        fleet.instances(at: now).first { $0.instance == instance(address, port) }
    }
    func state(_ address: IPv4Address, _ port: UInt16 = 80) -> InstanceView.State? { view(address, port)?.state }
    func service(_ name: String) -> ServiceView? { fleet.services(at: now).first { $0.service.name == name } }
    func proxy(_ name: String) -> ProxySpec? { loaded[ProxyID(network: blue, name: name)] }
    func backends(_ name: String) -> [IPv4Address: Backend.State] {
        var states: [IPv4Address: Backend.State] = [:]
        for spec in loaded.values {
            for service in spec.services where service.id.name == name {
                for backend in service.backends { states[backend.address] = backend.state }
            }
        }
        return states
    }
    func vip(_ name: String) -> ServiceSpec.Frontend? {
        loaded.values.flatMap(\.services).first { $0.id.name == name }?.vip
    }
    /// What came of the journal after a crash now.
    func restarted(_ settings: Fleet.Settings = .enforcing, ports: [Place] = [tap0, tap1, cni]) -> Lab {
        Lab(settings, restoring: journal, ports: ports)
    }
}

let blue = NetworkID(0)
let a = IPv4Address(bits: 0x0a00_0001)
let b = IPv4Address(bits: 0x0a00_0002)
let c = IPv4Address(bits: 0x0a00_0003)
let registryAddress = IPv4Address(bits: 0x0a00_00fe)
let tap0 = Place(port: PortName("tap0"), role: .vm, mac: MACAddress(bits: 0x0200_0000_0001))
let tap1 = Place(port: PortName("tap1"), role: .vm, mac: MACAddress(bits: 0x0200_0000_0002))
let cni = Place(port: PortName("cni0"), role: .container, mac: MACAddress(bits: 0x0200_0000_0003))
let uplink = Place(port: PortName("eth0"), role: .uplink, mac: MACAddress(bits: 0x0200_0000_00ff))

extension Fleet.Settings {
    static var enforcing: Fleet.Settings {
        var settings = Fleet.Settings()
        settings.mode = .enforce
        settings.containerNetworkKnown = true
        settings.restoreGrace = .seconds(30)
        settings.vipRanges = [blue: IPv4Prefix(IPv4Address(bits: 0x0a63_0000), length: 24)]
        return settings
    }
    func with(_ change: (inout Fleet.Settings) -> Void) -> Fleet.Settings {
        var settings = self
        change(&settings)
        return settings
    }
}

func instance(_ address: IPv4Address, _ port: UInt16 = 80) -> InstanceID {
    InstanceID(network: blue, address: .v4(address), port: port)
}

func hearing(
    _ said: Advertisement, from source: IPAddress, on place: Place, network: NetworkID = blue, at time: Instant
) -> Hearing {
    Hearing(
        advertisement: said, network: network, port: place.port, role: place.role, sourceMAC: place.mac, source: source,
        time: time)
}

/// A registration in etcd, on a lease.
func etcd(
    _ service: String, _ id: String, address: String? = nil, port: Int? = 80, ttl: Int = 10, lease: String = "1",
    accepted: Bool? = true
) -> Advertisement {
    var said = Advertisement(registry: "etcd", op: .register)
    said.service = service
    said.id = id
    said.key = "/services/\(service)/\(id)"
    said.address = address
    said.port = port
    said.ttlSeconds = ttl
    said.leaseId = lease
    said.accepted = accepted
    said.registryIp = registryAddress.description
    return said
}

/// A registration with Consul; ttl 0: without a check that expires.
func consul(
    _ service: String, id: String? = nil, address: String? = nil, port: Int? = 80, ttl: Int = 0, accepted: Bool? = true
) -> Advertisement {
    var said = Advertisement(registry: "consul", op: .register)
    said.service = service
    said.id = id
    said.address = address
    said.port = port
    said.ttlSeconds = ttl
    said.accepted = accepted
    return said
}

func message(
    _ op: Advertisement.Operation, _ registry: String = "consul", id: String? = nil, key: String? = nil,
    lease: String? = nil, service: String? = nil, accepted: Bool? = true
) -> Advertisement {
    var said = Advertisement(registry: registry, op: op)
    said.id = id
    said.key = key
    said.leaseId = lease
    said.service = service
    said.accepted = accepted
    return said
}

func denyRules(_ source: String = "0.0.0.0/0") -> PolicyRules {
    PolicyRules(rules: [.init(action: .deny, source: IPv4Prefix(source) ?? .any)])
}

/// SplitMix64: the same sequence on every machine.
struct Dice: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
    mutating func roll(_ sides: Int) -> Int { Int.random(in: 0..<sides, using: &self) }
}
