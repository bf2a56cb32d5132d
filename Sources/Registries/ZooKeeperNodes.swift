internal import Model

/// Which of ZooKeeper's nodes are services. Most are not: locks, elections, settings, other systems' bookkeeping.
enum ZooKeeperNodes {
    /// The registration that a node is; nil where it is none.
    static func registration(path: String, data: [UInt8], isEphemeral: Bool) -> Advertisement? {
        let segments = KeyedEndpoints.segments(path)
        guard segments.count > 1, let last = segments.last, !isHousekeeping(segments) else { return nil }
        if URLName(last) != nil { return KeyedEndpoints.provider(in: ZooKeeper.name, key: path) }
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
        let segments = KeyedEndpoints.segments(path)
        guard segments.count > 2, segments[segments.count - 2] == "consumers", URLName(segments.last ?? "") != nil
        else { return nil }
        return Bounds.name(segments[segments.count - 3])
    }

    /// The service that a look at a node, or at what stands below it, is about.
    ///
    /// - Returns: nil where it is about none; a name without service where it is about all.
    static func looked(path: String, isParent: Bool) -> KeyedEndpoints.Name? {
        let segments = KeyedEndpoints.segments(path)
        guard !isHousekeeping(segments) else { return nil }
        let name = KeyedEndpoints.name(path, isPrefix: isParent)
        let isDubbo = isParent ? KeyedEndpoints.isProvider(segments + [""]) : KeyedEndpoints.isProvider(segments)
        return name.isRooted || isDubbo ? name : nil
    }

    /// What a node that is deleted was, by its path alone: nil where that does not tell.
    static func withdrawn(path: String) -> Advertisement? {
        let segments = KeyedEndpoints.segments(path)
        guard let last = segments.last, !isHousekeeping(segments) else { return nil }
        let name = KeyedEndpoints.name(path)
        var told = Advertisement(registry: ZooKeeper.name, op: .deregister)
        if let url = URLName(last) {
            guard KeyedEndpoints.isProvider(segments) else { return nil }
            (told.address, told.port) = (url.host, url.port)
        } else if !(name.isRooted && name.depth > 1) {
            return nil
        }
        (told.service, told.id) = (name.service, name.id)
        return told.service == nil ? nil : told
    }

    // MARK: - What is none

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
