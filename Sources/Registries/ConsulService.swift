import Model

/// A service as Consul is told of it: by an agent's client, in the catalog, or in a transaction.
struct ConsulService {
    static let mostPorts = 16

    var name: String
    var id: String
    private let fields: Fields
    /// What a sidecar takes over from its service.
    private let parent: Fields?

    /// - Parameter nameField: "Name" with agents, "Service" in the catalog.
    /// - Returns: nil where it has no name.
    init?(_ fields: Fields, nameField: String) {
        guard let name = Bounds.name(fields.text(nameField)) else { return nil }
        self.name = name
        self.fields = fields
        id = Bounds.name(fields.text("ID")) ?? name
        parent = nil
    }

    /// The sidecar that is registered with `service`. Its id cannot be chosen.
    private init(_ fields: Fields, of service: ConsulService) {
        self.fields = fields
        id = service.id + Self.sidecarSuffix
        name = Bounds.name(fields.text("Name")) ?? service.name + Self.sidecarSuffix
        parent = service.fields
    }

    private static let sidecarSuffix = "-sidecar-proxy"

    var sidecar: ConsulService? {
        fields.object("Connect")?.object("SidecarService").map { ConsulService($0, of: self) }
    }

    /// TTL checks and others that come with it.
    var checks: [Fields] {
        ([fields.object("Check")].compactMap { $0 } + fields.objects("Checks")).filter { !$0.isEmpty }
    }

    /// One registration; of a service with several ports one for each, the default's first.
    func registrations() -> [Advertisement] {
        var told = Advertisement(registry: Consul.name, op: .register)
        told.service = name
        told.id = id
        describePlace(&told)
        let tags = fields.texts("Tags")
        told.tags = tags?.isEmpty == false ? tags : parent?.texts("Tags") ?? tags
        let meta = fields.map("Meta")
        told.meta = meta?.isEmpty == false ? meta : parent?.map("Meta") ?? meta
        told.namespace = Bounds.name(fields.text("Namespace")) ?? Bounds.name(parent?.text("Namespace"))
        told.partition = Bounds.name(fields.text("Partition")) ?? Bounds.name(parent?.text("Partition"))
        told.weight = fields.object("Weights")?.real("Passing")
        told.zone = Bounds.name(fields.object("Locality")?.text("Zone"))
        told.ttlSeconds = checks.compactMap { Consul.ttl($0) }.min()
        return withPorts(told)
    }

    private func describePlace(_ told: inout Advertisement) {
        let text = [fields.text("Address"), parent?.text("Address")].compactMap { $0 }.first { !$0.isEmpty }
        told.address = Bounds.address(text)
        if text == nil { told.addressDefault = "registry" }
        // 0 is Consul's own default; a sidecar's is chosen by the agent. A port that cannot be one is nil.
        let given = fields.has("Port") ? Bounds.port(fields.plainNumber("Port")) : 0
        told.port = parent != nil && given == 0 ? nil : given
        let tagged = fields.object("TaggedAddresses")
        let addresses = ["lan", "lan_ipv4", "lan_ipv6", "wan", "wan_ipv4", "wan_ipv6"].compactMap { kind in
            Bounds.address(tagged?.object(kind)?.text("Address"))
        }
        guard !addresses.isEmpty else { return }
        var all: [String] = []
        for address in [told.address].compactMap({ $0 }) + addresses where !all.contains(address) {
            all.append(address)
        }
        told.addresses = all
    }

    private func withPorts(_ told: Advertisement) -> [Advertisement] {
        let ports = fields.objects("Ports").prefix(Self.mostPorts)
        guard !ports.isEmpty else { return [told] }
        let first = ports.firstIndex { $0.flag("Default") == true } ?? 0
        return ([first] + ports.indices.filter { $0 != first }).map { index in
            var one = told
            one.port = Bounds.port(ports[index].plainNumber("Port"))
            one.batch = true
            guard index != first else { return one }
            one.serviceId = id
            one.key = "\(id)/\(Bounds.name(ports[index].text("Name")) ?? String(index))"
            return one
        }
    }
}
