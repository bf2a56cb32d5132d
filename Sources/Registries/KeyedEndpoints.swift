import Model

/// What a service's key and value look like in stores of keys: etcd, ZooKeeper. There is no standard: this reads what
/// client libraries and people mostly write, `/services/NAME/ID` with `{"Name", "Address", "Port"}` or `HOST:PORT`.
enum KeyedEndpoints {
    /// First path segments under which keys are services, whatever their lease.
    private static let roots: Set<String> = [
        "services", "service", "registry", "discovery", "endpoints", "microservices", "upstreams", "backends",
    ]

    /// A path segment between a service's name and its instances.
    private static let collections: Set<String> = [
        "providers", "server", "servers", "instances", "nodes", "members", "endpoints", "hosts",
    ]

    /// Path segments below which an address says who holds something.
    private static let claims: Set<String> = [
        "lock", "locks", "latch", "latches", "leader", "leaders", "leadership", "election", "elections", "elect",
        "leader-election", "leader_election", "leaderelection", "barrier", "barriers", "mutex", "mutexes", "semaphore",
        "semaphores", "lease", "leases",
    ]

    /// Is what stands there somebody's claim, and no service?
    static func isClaim(_ key: String) -> Bool {
        segments(key).contains { claims.contains($0.lowercased()) }
    }

    static func segments(_ key: String) -> [String] { key.split(separator: "/").prefix(32).map(String.init) }

    struct Name {
        var service: String?
        var id: String?
        /// It lies under one of the usual roots.
        var isRooted: Bool
        /// Path segments, without the root and what is before it.
        var depth: Int
    }

    /// - Parameter isPrefix: the key stands for all that begin with it.
    static func name(_ key: String, isPrefix: Bool = false) -> Name {
        let segments = segments(key)
        let root = segments.dropLast(isPrefix ? 0 : 1).firstIndex { roots.contains($0.lowercased()) }
        var rest = Array(root.map { segments[($0 + 1)...] } ?? segments[...])
        let isRooted = root != nil
        // Traefik's settings of a service, one a key: NAME/loadBalancer/servers/0/url.
        if isRooted, let end = rest.firstIndex(where: { $0.lowercased() == "loadbalancer" }), end > 0 {
            rest = Array(rest[..<end]) + (isPrefix ? [] : Array(rest.dropFirst(end + 2).prefix(1)))
        }
        var above = isPrefix || rest.count < 2 ? rest[...] : rest.dropLast()
        if above.count > 1, let last = above.last, collections.contains(last.lowercased()) { above = above.dropLast() }
        return Name(
            service: above.last.flatMap { Bounds.name($0) },
            id: isPrefix ? nil : rest.last.flatMap { Bounds.name($0) }, isRooted: isRooted, depth: rest.count)
    }

    /// The registration that this value under this key is; nil where it is none.
    ///
    /// - Parameter isMeant: what else is known of it says that it is a service. A host and port alone may be anybody's
    ///   setting: somebody must have meant it so.
    static func registration(in registry: String, key: String, value: [UInt8], isMeant: Bool) -> Advertisement? {
        let name = name(key)
        var told = Advertisement(registry: registry, op: .register)
        var isNamed = false
        if let fields = Fields(value) {
            guard read(fields, into: &told) else { return nil }
            isNamed = told.service != nil
        } else {
            guard value.count <= 1024, let (host, port) = endpoint(String(decoding: value, as: UTF8.self)) else {
                return nil
            }
            told.address = host
            told.port = port
        }
        // An address without a port may be any machine's.
        guard isMeant && told.port != nil || name.isRooted || isNamed else { return nil }
        told.service = told.service ?? name.service
        told.id = name.id ?? told.id
        return told.service == nil ? nil : told
    }

    /// The same where the key's last segment is the endpoint, whatever its value says.
    static func registration(in registry: String, namedBy key: String) -> Advertisement? {
        let name = name(key)
        guard name.depth > 1, let id = name.id, let (host, port) = endpoint(id),
            IPAddress(host) != nil || host.contains("."), let service = name.service
        else { return nil }
        var told = Advertisement(registry: registry, op: .register)
        (told.service, told.id, told.address, told.port) = (service, id, host, port)
        return told
    }

    /// Endpoints of one value that are told.
    private static let mostEndpoints = 16

    /// The same where a value may list several endpoints, as kratos writes one for each protocol that it speaks.
    static func registrations(in registry: String, key: String, value: [UInt8], isMeant: Bool) -> [Advertisement] {
        if let provider = provider(in: registry, key: key) { return [provider] }
        guard let first = registration(in: registry, key: key, value: value, isMeant: isMeant) else {
            let isService = isMeant || name(key).isRooted
            return isService ? [registration(in: registry, namedBy: key)].compactMap { $0 } : []
        }
        let listed = (Fields(value)?.texts("Endpoints") ?? []).prefix(mostEndpoints).compactMap { endpoint($0) }
        guard listed.count > 1, listed[0].host == first.address, listed[0].port == first.port else { return [first] }
        return listed.map { host, port in
            var told = first
            told.address = host
            told.port = port
            told.batch = true
            return told
        }
    }

    /// Objects in which some write the endpoint; a list's first is meant (go-micro writes one node a key).
    private static let wrappings = ["Service", "Instance", "Node", "Endpoint", "Data"]

    /// False where it is not about an endpoint.
    private static func read(_ fields: Fields, into told: inout Advertisement) -> Bool {
        if readPlain(fields, into: &told) { return true }
        guard let inner = wrappings.lazy.compactMap({ fields.object($0) }).first ?? fields.objects("Nodes").first
        else { return false }
        let outer = told
        guard readPlain(inner, into: &told) else { return false }
        told.service = outer.service ?? told.service
        told.tags = told.tags ?? outer.tags
        told.meta = told.meta ?? outer.meta
        return true
    }

    private static func readPlain(_ fields: Fields, into told: inout Advertisement) -> Bool {
        let names = ["Name", "ServiceName", "Service"].compactMap { fields.text($0) }.filter { !$0.isEmpty }
        told.service = names.first.flatMap { Bounds.name($0) }
        // An absurd name is none of the key's.
        guard told.service != nil || names.isEmpty else { return false }
        told.id = ["ID", "InstanceID", "UUID"].lazy.compactMap { Bounds.name(fields.text($0)) }.first
        told.tags = fields.texts("Tags")
        told.meta = fields.map("Meta") ?? fields.map("Metadata") ?? payload(fields)
        told.protocol = Bounds.name(fields.text("Protocol") ?? fields.text("Scheme"))
        // Of a Finagle server set.
        let fields = fields.object("serviceEndpoint") ?? fields
        let written = ["Address", "Addr", "IP", "Host", "Endpoint", "URL", "URI"].lazy.compactMap { fields.text($0) }
            .first
        let address = written ?? fields.texts("Endpoints")?.first
        let number = fields.number("Port") ?? fields.number("sslPort")
        if let address, let (host, port) = endpoint(address) {
            told.address = host
            told.port = fields.has("Port") ? Bounds.port(number) : port
        } else {
            told.address = Bounds.address(address)
            told.port = Bounds.port(number)
        }
        return address != nil || number != nil
    }

    /// Curator's: any JSON. Spring Cloud has its metadata in it.
    private static func payload(_ fields: Fields) -> [String: String]? {
        fields.object("payload")?.map("metadata") ?? fields.map("payload")
    }

    /// "10.0.0.1:80", "[fd00::1]:80", "grpc://host:80/path?query".
    static func endpoint(_ text: String) -> (host: String, port: Int)? {
        var rest = Substring(text)
        if let scheme = rest.firstRange(of: "://") { rest = rest[scheme.upperBound...] }
        rest = rest.prefix { $0 != "/" && $0 != "?" }
        guard let colon = rest.lastIndex(of: ":"), let port = UInt16(rest[rest.index(after: colon)...]) else {
            return nil
        }
        var host = rest[..<colon]
        if host.hasPrefix("[") && host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return Bounds.address(String(host)).map { ($0, Int(port)) }
    }
}

extension String {
    /// Nil where the bytes are not UTF-8.
    init?(exactly bytes: some Collection<UInt8>) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.utf8.elementsEqual(bytes) else { return nil }
        self = text
    }
}
