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
    let instance: InstanceID
    let service: ServiceID
    let standing: Standing
    /// It names no address, and its registry is an agent elsewhere.
    let assumed: Bool
    let registration: String
    let lease: String?
    let ttlSeconds: Int?

    /// Why a registration is not taken, for people.
    struct Refused: Error { let reason: String }

    init(_ hearing: Hearing, settings: Fleet.Settings, vips: VIPs) throws(Refused) {
        let said = hearing.advertisement
        service = try Self.service(of: said, network: hearing.network)
        registration = try Self.registration(of: said)
        let port = try Self.port(of: said)
        let address = try Self.address(of: said, sender: hearing.source)
        if let own = address.v4, vips.holds(own, network: hearing.network) {
            throw Refused(reason: "\(own) is in the range of the mesh's own VIPs")
        }
        let proto: TransportProtocol = said.protocol?.lowercased() == "udp" ? .udp : .tcp
        instance = InstanceID(network: hearing.network, address: address, port: port, proto: proto)
        standing =
            address == hearing.source ? .own : settings.registrars.contains(hearing.source) ? .registrar : .foreign
        assumed =
            (said.address ?? "").isEmpty && said.addressDefault == "registry"
            && said.registryIp.flatMap { IPAddress($0) } != hearing.source
        (lease, ttlSeconds) = Self.lease(of: said, registration: registration)
    }

    private static func service(of said: Advertisement, network: NetworkID) throws(Refused) -> ServiceID {
        guard let name = said.service, !name.isEmpty else { throw Refused(reason: "it has no service name") }
        let namespace = said.namespace ?? ""
        let longest = Fleet.Settings.longestName
        guard name.utf8.count <= longest, namespace.utf8.count <= longest else {
            throw Refused(reason: "its name is longer than \(longest) bytes")
        }
        return ServiceID(network: network, namespace: namespace.isEmpty ? "default" : namespace, name: name)
    }

    /// What a registry knows it by. Consul's id is the name where the client gave none.
    static func registration(of said: Advertisement) throws(Refused) -> String {
        let text = said.key ?? said.id ?? said.service ?? ""
        guard !text.isEmpty else { throw Refused(reason: "it has neither id nor name") }
        guard text.utf8.count <= Fleet.Settings.longestRegistration else {
            throw Refused(reason: "its id is longer than \(Fleet.Settings.longestRegistration) bytes")
        }
        return text
    }

    private static func port(of said: Advertisement) throws(Refused) -> UInt16 {
        guard let port = said.port else { throw Refused(reason: "it names no port") }
        guard let port = UInt16(exactly: port), port != 0 else { throw Refused(reason: "\(port) is no port") }
        return port
    }

    private static func address(of said: Advertisement, sender: IPAddress) throws(Refused) -> IPAddress {
        guard let text = said.address, !text.isEmpty else { return try unicast(sender) }
        guard let address = IPAddress(text) else {
            throw Refused(reason: "\(text.shown) is no address: what is registered by a host name must be declared")
        }
        return try unicast(address)
    }

    private static func unicast(_ address: IPAddress) throws(Refused) -> IPAddress {
        let good =
            switch address {
            case .v4(let v4): v4.isUnicast
            // Not ::/8 (unspecified, loopback, mapped) and not ff00::/8 (multicast), RFC 4291.
            case .v6(let v6): v6.high >> 56 != 0 && v6.high >> 56 != 0xff
            }
        guard good else { throw Refused(reason: "\(address) is no address that a service can have") }
        return address
    }

    /// etcd's lease has a number of its own; Consul's is the registration's own check.
    static func lease(of said: Advertisement, registration: String) -> (String?, Int?) {
        let ttl = said.leaseSeconds
        if let lease = said.leaseId, lease != "0", lease.utf8.count <= 20 { return (LeaseKey.lease(lease), ttl) }
        return (ttl.map { _ in LeaseKey.check(registration) }, ttl)
    }
}

extension Advertisement {
    /// Nil: for ever, or not said. Never so long that a deadline could overflow.
    var leaseSeconds: Int? { ttlSeconds.flatMap { $0 > 0 ? min($0, Fleet.Settings.longestLease) : nil } }
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
