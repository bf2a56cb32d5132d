internal import Model

/// Which of ZooKeeper's nodes are services. Most are not: locks, elections, settings, other systems' bookkeeping.
enum ZooKeeperNodes {
    /// The registration that a node is; nil where it is none.
    static func registration(path: String, data: [UInt8], isEphemeral: Bool) -> Advertisement? {
        let segments = segments(path)
        guard segments.count > 1, let last = segments.last, !isHousekeeping(segments) else { return nil }
        if let url = URLName(last) {
            return isProvider(segments) ? registration(url, path: path) : nil
        }
        if let told = KeyedEndpoints.registration(in: ZooKeeper.name, key: path, value: data, isMeant: false) {
            return told
        }
        let name = KeyedEndpoints.name(path)
        // What ends with its writer is mostly a presence, but of whatever.
        let isMeant =
            isEphemeral && !KeyedEndpoints.isClaim(path)
            && !segments.contains { coordination.contains($0.lowercased()) }
        guard isMeant || name.isRooted && name.depth > 1 else { return nil }
        if let told = KeyedEndpoints.registration(in: ZooKeeper.name, key: path, value: data, isMeant: isMeant),
            told.address != nil
        {
            return told
        }
        return KeyedEndpoints.registration(in: ZooKeeper.name, namedBy: path)
    }

    /// Dubbo's consumers write down whom they call: the service.
    static func consumed(path: String) -> String? {
        let segments = segments(path)
        guard segments.count > 2, segments[segments.count - 2] == "consumers", URLName(segments.last ?? "") != nil
        else { return nil }
        return Bounds.name(segments[segments.count - 3])
    }

    /// The service that a look at a node, or at what stands below it, is about.
    ///
    /// - Returns: nil where it is about none; a name without service where it is about all.
    static func looked(path: String, isParent: Bool) -> KeyedEndpoints.Name? {
        let segments = segments(path)
        guard !isHousekeeping(segments) else { return nil }
        let name = KeyedEndpoints.name(path, isPrefix: isParent)
        let isDubbo = isParent ? isProvider(segments + [""]) : isProvider(segments)
        return name.isRooted || isDubbo ? name : nil
    }

    /// What a node that is deleted was, by its path alone: nil where that does not tell.
    static func withdrawn(path: String) -> Advertisement? {
        let segments = segments(path)
        guard let last = segments.last, !isHousekeeping(segments) else { return nil }
        let name = KeyedEndpoints.name(path)
        var told = Advertisement(registry: ZooKeeper.name, op: .deregister)
        if let url = URLName(last) {
            guard isProvider(segments) else { return nil }
            (told.address, told.port) = (url.host, url.port)
        } else if !(name.isRooted && name.depth > 1) {
            return nil
        }
        (told.service, told.id) = (name.service, name.id)
        return told.service == nil ? nil : told
    }

    // MARK: - Dubbo and its relatives

    /// `/dubbo/INTERFACE/providers/URL`, under any root.
    private static func isProvider(_ segments: [String]) -> Bool {
        segments.count > 3 && segments[segments.count - 2] == "providers"
    }

    private static func registration(_ url: URLName, path: String) -> Advertisement? {
        let name = KeyedEndpoints.name(path)
        var told = Advertisement(registry: ZooKeeper.name, op: .register)
        (told.service, told.id) = (name.service, name.id)
        (told.address, told.port, told.protocol) = (url.host, url.port, url.scheme)
        told.meta = url.parameters
        told.version = Bounds.name(url.parameters["version"])
        told.group = Bounds.name(url.parameters["group"])
        return told.service == nil ? nil : told
    }

    /// A node whose name is a whole URL, percent-encoded.
    private struct URLName {
        let scheme: String
        let host: String
        let port: Int?
        let parameters: [String: String]

        init?(_ segment: String) {
            guard segment.contains("%"), let text = HTTPRequest(target: "/" + segment).path.first,
                let mark = text.firstRange(of: "://"), let scheme = Bounds.name(String(text[..<mark.lowerBound]))
            else { return nil }
            self.scheme = scheme
            if let (host, port) = KeyedEndpoints.endpoint(text) {
                (self.host, self.port) = (host, port)
            } else {
                // Consumers have no port.
                let place = text[mark.upperBound...].prefix { $0 != "/" && $0 != "?" }
                guard let host = Bounds.address(String(place)) else { return nil }
                (self.host, port) = (host, nil)
            }
            parameters = HTTPRequest(target: text).query
        }
    }

    // MARK: - What is none

    private static func segments(_ path: String) -> [String] {
        path.split(separator: "/").prefix(32).map(String.init)
    }

    /// Marks that the recipes of Curator and kazoo put into names of what they create for themselves.
    private static let recipes = [
        "-lock-", "-latch-", "-lease-", "__lock__", "__rlock__", "__wlock__", "__READ__", "__WRIT__", "__lease__",
    ]

    /// Where else the presence of something is no service.
    private static let coordination: Set<String> = [
        "controller", "master", "masters", "schema_registry_master", "queue", "queues", "consumers", "config",
        "brokers",
    ]

    private static func isHousekeeping(_ segments: [String]) -> Bool {
        guard let last = segments.last, segments.first != "zookeeper" else { return true }
        // Kafka's, wherever its root is.
        if zip(segments, segments.dropFirst()).contains(where: { $0 == "brokers" && $1 == "ids" }) { return true }
        return recipes.contains { last.contains($0) }
    }
}

extension HTTPRequest {
    fileprivate init(target: String) { self.init(method: "", target: target, headers: [:]) }
}
