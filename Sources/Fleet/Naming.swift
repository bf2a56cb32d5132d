import Model

/// What the names and times in an advertisement mean to the fleet, whatever its registry.
extension Advertisement {
    /// What registries call the namespace, partition or group that is there without being made.
    private static let unmade: Set<String> = ["", "default", "public", "DEFAULT_GROUP"]
    /// Whose times say how long an answer may be remembered (RFC 1035, 3.2.1; RFC 6762, 10), not how long a
    /// registration lives without being renewed.
    private static let remembering: Set<String> = ["dns-update", "mdns"]
    /// Where a registration without an id goes by its service's name.
    private static let naming: Set<String> = ["consul"]
    /// Where a service's group is part of its name, and not a label.
    private static let grouping: Set<String> = ["nacos"]
    /// In which an instance is not to be sent anything: Eureka's words, and Nacos's.
    private static let resting: Set<String> = [
        "DOWN", "STARTING", "OUT_OF_SERVICE", "UNKNOWN", "unhealthy", "disabled", "maintenance",
    ]

    private static func made(_ text: String?) -> String? { text.flatMap { unmade.contains($0) ? nil : $0 } }

    /// Nil: it names no service.
    func serviceID(on network: NetworkID) -> ServiceID? {
        guard let service, !service.isEmpty else { return nil }
        let namespace = [Self.made(partition), Self.made(namespace)].compactMap(\.self).joined(separator: "/")
        // As Nacos itself writes the two in one.
        let group = Self.grouping.contains(registry) ? Self.made(group) : nil
        let name = group.map { "\($0)@@\(service)" } ?? service
        return ServiceID(network: network, namespace: namespace.isEmpty ? "default" : namespace, name: name)
    }

    /// What the registry tells the registration from others by, the same in all that is said of it later: a key or
    /// path, which is whole, or an id, which is one within its namespace. Nil: it names none.
    var registration: String? { key ?? path ?? (maintained ?? id ?? name ?? socket).map(registration(of:)) }

    /// Consul shows that a service is in maintenance by a check of this name, and an agent with all that it has by
    /// another (agent/structs, ServiceMaintCheckPrefix and NodeMaint).
    private static let maintenance = "_service_maintenance:"
    private var maintained: String? {
        id.flatMap { $0.hasPrefix(Self.maintenance) ? String($0.dropFirst(Self.maintenance.count)) : nil }
    }
    var isAgentsMaintenance: Bool { id == "_node_maintenance" }
    /// It is about a check, and not about the service itself.
    var isCheck: Bool { serviceId != nil && maintained == nil }

    private var name: String? { Self.naming.contains(registry) ? service : nil }

    /// What stands for an id where there is none.
    private var socket: String? {
        service.map { [$0, address, port.map(String.init)].compactMap(\.self).joined(separator: " ") }
    }

    /// Nothing of it says which registration it is about.
    var namesNoRegistration: Bool { key == nil && path == nil && id == nil }

    func registration(of id: String) -> String {
        let within = [("partition", partition), ("namespace", namespace), ("node", node)]
        return within.compactMap { kind, name in Self.made(name).map { "\(kind):\($0.asSegment)/" } }.joined() + id
    }

    /// Of the lease, session or connection that it hangs on or renews; nil: on none.
    var leaseName: String? {
        let name = leaseId ?? sessionId ?? ""
        return ephemeral == false || name.isEmpty || name == "0" ? nil : name
    }

    /// Nil: for ever, or not said. Never so long that a deadline could overflow.
    var leaseSeconds: Int? {
        guard !Self.remembering.contains(registry) else { return nil }
        let session = sessionTimeoutMs.flatMap { $0 > 0 ? ($0 - 1) / 1000 + 1 : nil }
        let unsaid = ephemeral == false ? nil : session ?? ttlDefaultSeconds
        return (ttlSeconds ?? unsaid).flatMap { $0 > 0 ? min($0, Fleet.Settings.longestLease) : nil }
    }

    /// By its registry's word it is not to be sent anything, though it lives. Nil: nothing is said of it.
    var rests: Bool? { status.map { Self.resting.contains($0) } }

    /// The one that is taken for the instance's where the registry is given several: the sender's own, or the first.
    func chosenAddress(of sender: IPAddress) -> IPAddress? {
        let all = (addresses ?? []).prefix(Fleet.Settings.addressesRead).compactMap { IPAddress($0) }
        return all.first { $0 == sender } ?? all.first { $0.v4 != nil } ?? all.first
    }
}
