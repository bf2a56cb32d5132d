import Model

/// Mesh VIPs: for each service a stable choice from its network's range, kept after the service has gone.
struct VIPs: Sendable {
    private let ranges: [NetworkID: IPv4Prefix]
    private let idleLimit: Int
    /// How many VIPs the guests behind one port may hold, those of their services that are gone included.
    private let share: Int
    private var assigned: [ServiceID: ServiceSpec.Frontend] = [:]
    private var owners: [HostID: ServiceID] = [:]
    /// Services without an instance, by when that began.
    private var idle = Timers<ServiceID>()
    /// Behind which port the first instance of a service was.
    private var portOf: [ServiceID: PortName] = [:]
    private var behind: [PortName: Set<ServiceID>] = [:]

    init(ranges: [NetworkID: IPv4Prefix], idleLimit: Int, share: Int) {
        self.ranges = ranges
        self.idleLimit = idleLimit
        self.share = share
    }

    subscript(service: ServiceID) -> ServiceSpec.Frontend? { assigned[service] }
    var all: [ServiceID: ServiceSpec.Frontend] { assigned }

    /// Is this one of our own addresses?
    func holds(_ address: IPv4Address, network: NetworkID) -> Bool { ranges[network]?.contains(address) ?? false }
    func owner(of address: IPv4Address, network: NetworkID) -> ServiceID? {
        owners[HostID(network: network, address: .v4(address))]
    }

    enum Outcome: Equatable {
        case kept
        case assigned(givenUp: ServiceID?)
        /// No range is configured, or all of it is in use.
        case none(String)
    }

    /// The service has a live instance: it needs a VIP from now on.
    mutating func use(_ service: ServiceID, port: UInt16, behind device: PortName?) -> Outcome {
        idle.remove(service)
        if assigned[service] != nil {
            charge(service, to: device)
            return .kept
        }
        guard let range = ranges[service.network] else {
            return .none("no VIP range is configured for network \(service.network)")
        }
        let givenUp: ServiceID?
        if let device, let held = behind[device], held.count >= share, let own = oldest(of: held) {
            givenUp = own
        } else {
            givenUp = free(in: range, for: service) == nil ? oldest(of: assigned.keys, on: service.network) : nil
        }
        if let givenUp { release(givenUp) }
        guard let address = free(in: range, for: service) else {
            return .none("every VIP of \(range) is in use: configure a larger range")
        }
        take(service, address, port)
        charge(service, to: device)
        return .assigned(givenUp: givenUp)
    }

    private mutating func charge(_ service: ServiceID, to device: PortName?) {
        guard let device, portOf[service] == nil else { return }
        portOf[service] = device
        behind[device, default: []].insert(service)
    }

    /// The service has no instance any more. What it gives up to stay within the bound is returned.
    mutating func rest(_ service: ServiceID, since now: Instant) -> ServiceID? {
        guard assigned[service] != nil, idle.deadline(of: service) == nil else { return nil }
        idle.set(service, now)
        guard idle.count > idleLimit, let oldest = idle.first?.key else { return nil }
        release(oldest)
        return oldest
    }

    mutating func release(_ service: ServiceID) {
        idle.remove(service)
        if let device = portOf.removeValue(forKey: service) {
            behind[device]?.remove(service)
            if behind[device]?.isEmpty == true { behind[device] = nil }
        }
        guard let frontend = assigned.removeValue(forKey: service) else { return }
        owners[HostID(network: service.network, address: .v4(frontend.address))] = nil
    }

    /// As the journal has it, unless the range has changed meanwhile or the address is another's.
    mutating func restore(_ service: ServiceID, _ frontend: ServiceSpec.Frontend, at now: Instant) {
        guard holds(frontend.address, network: service.network) else { return }
        if let other = owner(of: frontend.address, network: service.network), other != service { return }
        release(service)
        take(service, frontend.address, frontend.port)
        idle.set(service, now)
    }

    private mutating func take(_ service: ServiceID, _ address: IPv4Address, _ port: UInt16) {
        assigned[service] = ServiceSpec.Frontend(address: address, port: port)
        owners[HostID(network: service.network, address: .v4(address))] = service
    }

    /// The hashed address, or the next free one behind it. Of one address more than are taken, one is free.
    private func free(in range: IPv4Prefix, for service: ServiceID) -> IPv4Address? {
        let (first, size) = Self.usable(range)
        let start = stableHash(String(service.network.number), service.namespace, service.name) % size
        for step in 0..<min(size, UInt64(owners.count) + 1) {
            let address = IPv4Address(bits: first &+ UInt32((start + step) % size))
            if owner(of: address, network: service.network) == nil { return address }
        }
        return nil
    }

    /// Of those that have no instance, the one that has had none for longest.
    private func oldest(of services: some Sequence<ServiceID>, on network: NetworkID? = nil) -> ServiceID? {
        let resting = services.lazy.compactMap { service in idle.deadline(of: service).map { ($0, service) } }
        return resting.filter { network == nil || $0.1.network == network }.min { $0 < $1 }?.1
    }

    /// The first address that may be given out, and how many: neither the network's own address nor its broadcast
    /// address, where it has them (RFC 3021: a /31 has neither).
    static func usable(_ range: IPv4Prefix) -> (first: UInt32, count: UInt64) {
        let size = UInt64(1) << UInt64(32 - range.length)
        return size > 2 ? (range.address.bits &+ 1, size - 2) : (range.address.bits, size)
    }
}
