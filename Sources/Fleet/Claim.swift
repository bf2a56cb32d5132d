public import Model

/// A registration, read and found sound: what it says, and whether its sender may say so.
struct Claim: Sendable {
    enum Standing: Sendable {
        /// Of the sender's own address.
        case own
        /// Of another address, by a sender whom the operator lists.
        case registrar
        /// Of another address, by anybody else.
        case foreign
    }
    /// Port 0: it told none.
    let instance: InstanceID
    let service: ServiceID
    let standing: Standing
    /// It names no address, and its registry is an agent elsewhere; or it names a host.
    let assumed: Bool
    /// The host that it names in place of an address.
    let hostName: String?
    let registration: String
    let lease: String?
    let ttlSeconds: Int?
    let rests: Bool

    /// Why a registration is not taken, for people.
    struct Refused: Error { let reason: String }

    init(_ hearing: Hearing, settings: Fleet.Settings, vips: VIPs) throws(Refused) {
        let said = hearing.advertisement
        service = try Self.service(of: said, network: hearing.network)
        registration = try Self.registration(of: said)
        let port = try Self.port(of: said)
        let isRegistrar = settings.registrars.contains(hearing.source)
        let address: IPAddress
        (address, hostName) = try Self.address(of: said, hearing, mayStandForHost: !isRegistrar)
        if let own = address.v4, vips.holds(own, network: hearing.network) {
            throw Refused(reason: "\(own) is in the range of the mesh's own VIPs")
        }
        let proto: TransportProtocol = said.protocol?.lowercased() == "udp" ? .udp : .tcp
        instance = InstanceID(network: hearing.network, address: address, port: port, proto: proto)
        standing = address == hearing.source ? .own : isRegistrar ? .registrar : .foreign
        let isElsewhere =
            (said.address ?? "").isEmpty && ["registry", "node"].contains(said.addressDefault)
            && said.registryIp.flatMap { IPAddress($0) } != hearing.source
        assumed = hostName != nil || isElsewhere
        (lease, ttlSeconds) = try Self.lease(of: said, registration: registration)
        rests = said.rests ?? false
    }

    private static func service(of said: Advertisement, network: NetworkID) throws(Refused) -> ServiceID {
        guard let service = said.serviceID(on: network) else { throw Refused(reason: "it has no service name") }
        let longest = Fleet.Settings.longestName
        guard service.name.utf8.count <= longest, service.namespace.utf8.count <= longest else {
            throw Refused(reason: "its name is longer than \(longest) bytes")
        }
        return service
    }

    /// What a registry knows it by. Consul's id is the name where the client gave none.
    static func registration(of said: Advertisement) throws(Refused) -> String {
        guard let text = said.registration, !text.isEmpty else {
            throw Refused(reason: "it has neither id nor name")
        }
        guard text.utf8.count <= Fleet.Settings.longestRegistration else {
            throw Refused(reason: "its id is longer than \(Fleet.Settings.longestRegistration) bytes")
        }
        return text
    }

    private static func port(of said: Advertisement) throws(Refused) -> UInt16 {
        guard let port = said.port else { return 0 }
        guard let port = UInt16(exactly: port) else { throw Refused(reason: "\(port) is no port") }
        return port
    }

    /// A host that is named and not known by address may be the sender itself: it stands for it, until a probe tells.
    private static func address(
        of said: Advertisement, _ hearing: Hearing, mayStandForHost: Bool
    ) throws(Refused) -> (IPAddress, hostName: String?) {
        let written = [said.address, said.host, said.hostName].compactMap(\.self).first { !$0.isEmpty }
        if let address = written.flatMap({ IPAddress($0) }) ?? said.chosenAddress(of: hearing.source) {
            return (try unicast(address), nil)
        }
        guard let written else { return (try unicast(hearing.source), nil) }
        guard written.isHostName, mayStandForHost, hearing.role != .uplink else {
            throw Refused(reason: "\(written.shown) is no address: what is registered by a host name must be declared")
        }
        return (try unicast(hearing.source), written)
    }

    private static func unicast(_ address: IPAddress) throws(Refused) -> IPAddress {
        guard address.isUnicast else { throw Refused(reason: "\(address) is no address that a service can have") }
        return address
    }

    /// A lease, session or connection has a name of its own, and may hold several registrations; else a time is the
    /// registration's own.
    private static func lease(
        of said: Advertisement, registration: String
    ) throws(Refused) -> (name: String?, seconds: Int?) {
        let ttl = said.leaseSeconds
        guard let lease = said.leaseName else { return (ttl.map { _ in LeaseKey.check(registration) }, ttl) }
        let longest = Fleet.Settings.longestLeaseName
        guard lease.utf8.count <= longest else {
            throw Refused(reason: "its lease's id is longer than \(longest) bytes")
        }
        return (LeaseKey.lease(lease), ttl)
    }
}

/// Something that was heard and not taken, kept for `remora explain`.
public struct Refusal: Hashable, Sendable, Codable {
    public var time: Instant
    public var network: NetworkID
    public var port: PortName
    public var source: IPAddress
    /// As it was said: a stranger's text.
    public var service: String
    public var address: String
    public var reason: String
    /// How often, without another refusal of this kind having pushed it out.
    public var count: Int
}

struct RefusalKey: Hashable, Sendable {
    let source: HostID
    let service: String
    let address: String
    let reason: String
}
