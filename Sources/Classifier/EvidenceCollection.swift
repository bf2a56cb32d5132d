internal import Model

/// Each fact as a piece of evidence.
struct EvidenceCollection {
    let facts: Facts
    let world: ContainerKnowledge
    let time: Instant
    private(set) var pieces: [Evidence] = []

    private typealias Weight = Classifier.Weight

    init(facts: Facts, world: ContainerKnowledge, time: Instant) {
        self.facts = facts
        self.world = world
        self.time = time
    }

    private mutating func add(_ kind: Evidence.Kind, _ weight: Int, _ sentence: String, _ seen: Sighting? = nil) {
        pieces.append(Evidence(kind: kind, weight: weight, sentence: sentence, seen: seen, time: time))
    }

    mutating func collect() {
        addDeclaration()
        // What came out of the container network's overlay did come from there.
        let listed = addContainers() || facts.overlay != nil
        addWire()
        addProbe(listed: listed)
        addRequest()
        addNeighbours(listed: listed)
        addMachine()
        if let overlay = facts.overlay {
            add(
                .overlay, Weight.overlay, Sentences.overlay(overlay),
                Sighting(address: facts.instance.address, overlay: overlay))
        }
        if Classifier.isStranger(facts) {
            add(
                .sourceBinding, 0, "another machine than the one that registered it answers for its address",
                Sighting(address: facts.instance.address, place: facts.probe?.place))
        }
    }

    private mutating func addDeclaration() {
        switch facts.declared {
        case .vm: add(.declared, Weight.declared, "the operator declared it a VM")
        case .container: add(.declared, -Weight.declared, "the operator declared it a container")
        case .unknown, nil: break
        }
    }

    /// True: the platform lists it in one way or another.
    private mutating func addContainers() -> Bool {
        let list = world.list
        let stale = world.isStale(for: facts)
        let entry = list.entry(of: facts.instance)
        let service = list.service(among: facts.services)
        let range = list.range(of: facts.instance.address)
        let seen = Sighting(address: facts.instance.address)
        if let entry {
            add(.containerList, stale ? Weight.stale : Weight.listed, Sentences.listed(entry, stale: stale), seen)
        } else if list.asOf != nil || list.hasAddresses {
            let idle = stale ? Sentences.stale : world.isSilenceIdle(for: facts) ? Sentences.early : nil
            add(.containerList, 0, Sentences.unlisted(facts.instance, but: idle), seen)
        }
        if service != nil {
            let elsewhere = entry == nil && list.hasAddresses
            add(
                .containerService, stale ? Weight.stale : elsewhere ? Weight.serviceElsewhere : Weight.listed,
                Sentences.service(stale: stale, elsewhere: elsewhere))
        } else if list.hasServices {
            add(.containerService, 0, "its service is none that the container platform lists")
        }
        if let range { add(.containerRange, Weight.range, Sentences.listed(range, stale: false), seen) }
        return entry != nil || service != nil || range != nil
    }

    private mutating func addWire() {
        guard let heard = facts.heard else { return }
        let seen = Sighting(address: facts.instance.address, place: heard, hopLimit: facts.heardHops)
        add(.portRole, Self.sign(of: heard.role) * Weight.role, Sentences.heard(heard), seen)
        guard Classifier.isRouted(facts.heardHops), heard.role != .uplink, !isRoutedAnswer, let hops = facts.heardHops
        else { return }
        add(.hopLimit, Weight.routed, Sentences.routed("its own frames came in", by: heard, hops), seen)
    }

    private var isRoutedAnswer: Bool {
        guard let probe = facts.probe, let place = probe.place else { return false }
        return place.role != .uplink && Classifier.isRouted(probe.hopLimit)
    }

    private mutating func addProbe(listed: Bool) {
        guard let probe = facts.probe else { return }
        let seen = probe.place.map {
            Sighting(
                address: facts.instance.address, place: $0, hopLimit: probe.hopLimit,
                microseconds: probe.microseconds)
        }
        let (weight, why) = weightOfAnswer(probe, listed: listed)
        add(.probe, weight, Sentences.probe(probe) + (why.map { ": \($0)" } ?? ""), seen)
        guard isRoutedAnswer, let place = probe.place, let hops = probe.hopLimit else { return }
        add(.hopLimit, Weight.routed, Sentences.routed("the answer came in", by: place, hops), seen)
    }

    /// The answer to the SYN came from there already: it counts once. From another machine it is one of its own.
    private mutating func addRequest() {
        guard let http = facts.http else { return }
        let isAnother = http.place.map { $0.mac != facts.probe?.place?.mac } ?? false
        let seen = http.place.map {
            Sighting(
                address: facts.instance.address, place: $0, hopLimit: http.hopLimit, microseconds: http.microseconds)
        }
        let role = http.place.map { Self.sign(of: $0.role) } ?? 0
        add(.httpProbe, isAnother ? role * Weight.probe : 0, Sentences.request(http, fromAnother: isAnother), seen)
        if case .answered(_, _, let header?) = http.outcome {
            add(.httpProbe, Weight.meshHeader, Sentences.mesh(header), seen)
        }
    }

    /// On a mixed port the finding is that the answer does not come from the container network.
    private func weightOfAnswer(_ probe: ProbeResult, listed: Bool) -> (Int, String?) {
        guard let place = probe.place else { return (0, nil) }
        guard place.role == .mixed else { return (Self.sign(of: place.role) * Weight.probe, nil) }
        if listed { return (0, nil) }
        guard world.isKnown else { return (0, "no container network is known that it could be compared with") }
        if world.isSilenceIdle(for: facts) {
            return (Weight.probeUnchecked, "no container list that is recent enough to compare it with")
        }
        return (Weight.probeElsewhere, "not from the container network")
    }

    private mutating func addNeighbours(listed: Bool) {
        guard let machine = facts.machine ?? facts.neighbours.first else { return }
        let address = facts.instance.address
        if let own = facts.neighbours.first(where: { $0.mac == machine.mac && $0.role != .uplink }) {
            let isSilent = facts.probe?.place == nil
            var weight = Self.sign(of: own.role) * (isSilent ? Weight.neighbour : Weight.neighbourAgrees)
            if own.role == .mixed, isSilent, !listed, world.isKnown, !world.isSilenceIdle(for: facts) {
                weight = Weight.neighbourElsewhere
            }
            add(.neighbour, weight, Sentences.neighbour(own, of: address), Sighting(address: address, place: own))
        }
        for rival in Classifier.rivals(of: facts) {
            let (own, other) = (Self.sign(of: machine.role), Self.sign(of: rival.role))
            let disagrees = other != own && other != 0 && !facts.carried
            add(
                .neighbour, disagrees ? other * Weight.neighbour : 0,
                Sentences.rival(rival, of: address, carried: facts.carried),
                Sighting(address: address, place: rival))
        }
    }

    private mutating func addMachine() {
        guard let machine = facts.machine, machine.role != .uplink else { return }
        let seen = Sighting(place: machine)
        if facts.addressesOfMachine >= Classifier.manyAddresses {
            add(.sharedMAC, Weight.sharedMAC, Sentences.shared(machine.mac), seen)
        }
        switch MACPrefix(of: machine.mac) {
        case .hypervisor(let name): add(.macPrefix, Weight.macPrefix, Sentences.prefix(machine.mac, name), seen)
        case .container(let name): add(.macPrefix, -Weight.macPrefix, Sentences.prefix(machine.mac, name), seen)
        case .locallyAdministered: add(.macPrefix, Weight.localMAC, Sentences.localMAC(machine.mac), seen)
        case .other: break
        }
    }

    private static func sign(of role: PortRole) -> Int {
        switch role {
        case .vm: 1
        case .container: -1
        case .mixed, .uplink: 0
        }
    }
}
