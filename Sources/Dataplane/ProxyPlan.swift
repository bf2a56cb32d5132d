internal import CRemoraABI
internal import Model
internal import Policy

/// Where a device is, and how packets may be sent to it.
struct DeviceRoute: Equatable {
    var ifindex: UInt32
    var forwarding: remora_forwarding
}

/// A proxy's specification as the kernel will hold it. Pure: what is loaded is read back and compared with this.
struct ProxyPlan {
    let id: String
    let services: [ServiceID]
    var config = remora_proxy_config()
    /// By index; holes are REMORA_BACKEND_FREE.
    var backends: [remora_backend] = []
    var tables: [remora_maglev] = []
    var policy: [(key: remora_policy_key, value: remora_policy)] = []
    var frontends: [FrontendKey: remora_frontend] = [:]
    var vips: [AddressKey: UInt32] = [:]
    var neighbours: [AddressKey: remora_neighbour] = [:]

    /// `layout`: the backends that a loaded proxy holds now. They keep their index: flows point at it.
    init(
        _ spec: ProxySpec, slots: [UInt32], layout: [remora_backend], build: UInt64,
        route: (PortName) -> DeviceRoute?
    ) throws(DataplaneError) {
        guard spec.services.count <= Int(REMORA_MAX_PROXY_SERVICES) else {
            throw DataplaneError(
                .tooMany, "load proxy \(spec.id)",
                "\(spec.services.count) services, and a proxy carries \(REMORA_MAX_PROXY_SERVICES)")
        }
        id = spec.id.description
        services = spec.services.map(\.id)
        config.build = build
        config.service_count = UInt32(slots.count)
        withUnsafeMutableBytes(of: &config.slots) { raw in
            let target = raw.bindMemory(to: UInt32.self)
            for (index, slot) in slots.enumerated() { target[index] = slot }
        }
        backends = try Self.place(spec.services.flatMap(\.backends), layout: layout, route: route, id: id)
        for (index, service) in spec.services.enumerated() {
            try add(service, index: UInt16(index), slot: slots[index], network: spec.id.network)
        }
        config.has_policy = policy.isEmpty ? 0 : 1
    }

    private static func place(
        _ wanted: [Backend], layout: [remora_backend], route: (PortName) -> DeviceRoute?, id: String
    ) throws(DataplaneError) -> [remora_backend] {
        var placed = [remora_backend](repeating: remora_backend(), count: layout.count)
        var rest: [remora_backend] = []
        var seen: [UInt64: Bool] = [:]
        for backend in wanted {
            let key = UInt64(backend.address.bits) << 16 | UInt64(backend.port)
            if seen.updateValue(true, forKey: key) != nil { continue }
            let raw = value(of: backend, route: route)
            let old = layout.firstIndex { $0.state != 0 && $0.address == raw.address && $0.port == raw.port }
            if let old { placed[old] = raw } else { rest.append(raw) }
        }
        for raw in rest {
            if let hole = placed.indices.first(where: { placed[$0].state == 0 }) {
                placed[hole] = raw
            } else {
                placed.append(raw)
            }
        }
        guard placed.count <= Int(REMORA_MAX_BACKENDS) else {
            throw DataplaneError(
                .tooMany, "load proxy \(id)", "\(placed.count) backends, and a proxy holds \(REMORA_MAX_BACKENDS)")
        }
        return placed
    }

    private static func value(of backend: Backend, route: (PortName) -> DeviceRoute?) -> remora_backend {
        var raw = remora_backend()
        let device = route(backend.device)
        raw.address = backend.address.networkOrder
        raw.port = backend.port.bigEndian
        raw.mac = backend.mac.octets
        raw.ifindex = device?.ifindex ?? 0
        raw.forwarding = UInt8((device?.forwarding ?? REMORA_FORWARD_SWITCH).rawValue)
        raw.state =
            switch backend.state {
            case .live: UInt8(REMORA_BACKEND_LIVE.rawValue)
            case .draining: UInt8(REMORA_BACKEND_DRAINING.rawValue)
            case .guarded: UInt8(REMORA_BACKEND_GUARDED.rawValue)
            }
        return raw
    }

    private mutating func add(_ service: ServiceSpec, index: UInt16, slot: UInt32, network: NetworkID)
        throws(DataplaneError)
    {
        var live: [(index: UInt16, address: IPv4Address, port: UInt16)] = []
        for backend in service.backends {
            let place = UInt16(
                backends.firstIndex {
                    $0.state != 0 && $0.address == backend.address.networkOrder && $0.port == backend.port.bigEndian
                } ?? 0)
            if backend.state == .live { live.append((place, backend.address, backend.port)) }
            frontends[FrontendKey(network: network, address: backend.address, port: backend.port)] =
                remora_frontend(service: slot, index: index, backend: place)
            var neighbour = remora_neighbour()
            neighbour.mac = backend.mac.octets
            neighbour.ifindex = backends[Int(place)].ifindex
            neighbours[AddressKey(network: network, address: backend.address)] = neighbour
        }
        tables.append(Maglev.table(live))
        if let vip = service.vip {
            frontends[FrontendKey(network: network, address: vip.address, port: vip.port)] =
                remora_frontend(service: slot, index: index, backend: UInt16(REMORA_ANY_BACKEND))
            vips[AddressKey(network: network, address: vip.address)] = slot
        }
        try add(service.policy, of: service.id, index: index)
    }

    private mutating func add(_ rules: PolicyRules, of service: ServiceID, index: UInt16) throws(DataplaneError) {
        let compiled = try Self.compile(rules, of: service.description)
        for prefix in compiled.prefixes {
            var key = remora_policy_key()
            key.prefix_length = 32 + UInt32(prefix.source.length)
            key.index = UInt32(index).bigEndian
            key.source = prefix.source.address.networkOrder
            policy.append((key, Self.value(of: prefix, default: compiled.defaultAction)))
        }
        guard policy.count <= Self.policyEntries else {
            throw DataplaneError(
                .tooMany, "compile the policy of \(service)", "more than \(Self.policyEntries) prefixes in one proxy")
        }
    }

    static func compile(_ rules: PolicyRules, of service: String) throws(DataplaneError) -> CompiledPolicy {
        do {
            return try CompiledPolicy(
                rules, rulesPerPrefix: Int(REMORA_MAX_POLICY_RULES), prefixLimit: policyEntries)
        } catch { throw DataplaneError(.badPolicy, "compile the policy of \(service)", "\(error)") }
    }

    static let policyEntries = Int(REMORA_MAX_POLICY_PREFIXES)

    private static func value(of prefix: CompiledPrefix, default action: PolicyRules.Rule.Action) -> remora_policy {
        var value = remora_policy()
        withUnsafeMutableBytes(of: &value.rules) { raw in
            let target = raw.bindMemory(to: remora_port_rule.self)
            for index in target.indices { target[index].action = UInt8(code(action).rawValue) }
            for (index, rule) in prefix.rules.enumerated() {
                target[index].port = (rule.port ?? 0).bigEndian
                target[index].protocol = rule.proto?.number ?? 0
                target[index].action = UInt8(code(rule.action).rawValue)
            }
        }
        return value
    }

    private static func code(_ action: PolicyRules.Rule.Action) -> remora_policy_action {
        action == .allow ? REMORA_POLICY_ALLOW : REMORA_POLICY_DENY
    }
}
