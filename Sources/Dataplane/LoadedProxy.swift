internal import BPFRuntime
internal import CRemoraABI
internal import Model

/// One proxy in the kernel: its program, and the maps that are its own.
final class LoadedProxy {
    let program: Program
    let policy: Map<remora_policy_key, remora_policy>
    let backends: Map<UInt32, remora_backend>
    let maglev: Map<UInt32, remora_maglev>
    let config: remora_proxy_config
    let directory: PinDirectory
    let settings: Map<UInt32, remora_proxy_config>

    private static let smallest = 8  // backends: a few more do not need another load

    /// Makes the maps, fills them, loads the program, and pins all beside `directory`. Nothing leads to it yet.
    init(_ plan: ProxyPlan, from maps: NodeMaps, at directory: PinDirectory) throws(BPFError) {
        let template = maps.proxy
        var room = Self.smallest
        while room < plan.backends.count { room *= 2 }
        self.directory = directory
        config = plan.config
        policy = try template.makeMap("policy", remora_policy_key.self, remora_policy.self)
        backends = try template.makeMap("backends", UInt32.self, remora_backend.self, entries: room)
        maglev = try template.makeMap(
            "maglev", UInt32.self, remora_maglev.self, entries: max(1, plan.tables.count))
        settings = try Map(
            try template.makeConstants(["proxy_config": bytes(of: plan.config)]), name: "settings")
        for (key, value) in plan.policy { try policy.set(key, value) }
        for (index, backend) in plan.backends.enumerated() { try backends.set(UInt32(index), backend) }
        for (index, table) in plan.tables.enumerated() { try maglev.set(UInt32(index), table) }
        program = try template.load(
            name: Self.programName(plan),
            maps: [
                "policy": policy.descriptor.raw, "backends": backends.descriptor.raw,
                "maglev": maglev.descriptor.raw, ".rodata": settings.descriptor.raw,
            ])
    }

    /// Adopts what is pinned there.
    init(pinned directory: PinDirectory) throws(BPFError) {
        self.directory = directory
        program = try openProgram(pin: directory.file("program"), name: directory.path)
        policy = try openMap(
            pin: directory.file("policy"), name: "policy", remora_policy_key.self, remora_policy.self)
        backends = try openMap(pin: directory.file("backends"), name: "backends", UInt32.self, remora_backend.self)
        maglev = try openMap(pin: directory.file("maglev"), name: "maglev", UInt32.self, remora_maglev.self)
        settings = try openMap(
            pin: directory.file("settings"), name: "settings", UInt32.self, remora_proxy_config.self)
        config = try settings[0] ?? remora_proxy_config()
    }

    /// What bpftool lists: 15 characters of the first service's name that the kernel allows.
    private static func programName(_ plan: ProxyPlan) -> String {
        let name = plan.services.first?.name ?? plan.id
        let kept = name.utf8.map { byte -> Character in
            let letter = Character(Unicode.Scalar(byte))
            return letter.isASCII && (letter.isLetter || letter.isNumber) ? letter : "_"
        }
        return "p_" + String(kept.prefix(13))
    }

    /// Pins a whole directory aside and publishes it by rename.
    func pin() throws(BPFError) {
        let aside = PinDirectory(directory.path + "__new")
        try aside.remove()
        try aside.create()
        try program.pin(at: aside.file("program"))
        try policy.pin(at: aside.file("policy"))
        try backends.pin(at: aside.file("backends"))
        try maglev.pin(at: aside.file("maglev"))
        try settings.pin(at: aside.file("settings"))
        try aside.publish(as: directory)
    }

    var slots: [UInt32] {
        withUnsafeBytes(of: config.slots) {
            Array(
                $0.bindMemory(to: UInt32.self).prefix(Int(min(config.service_count, UInt32(REMORA_MAX_PROXY_SERVICES))))
            )
        }
    }

    /// As the kernel holds them now.
    func layout() throws(BPFError) -> [remora_backend] {
        var layout: [remora_backend] = []
        for index in 0..<backends.capacity { layout.append(try backends[UInt32(index)] ?? remora_backend()) }
        while let last = layout.last, last.state == 0 { layout.removeLast() }
        return layout
    }

    /// Can this be brought to `plan` by writing backends and tables alone? Policy and settings change by replacement.
    func holds(_ plan: ProxyPlan) throws(BPFError) -> Bool {
        guard same(config, plan.config), plan.backends.count <= backends.capacity,
            plan.tables.count <= maglev.capacity
        else { return false }
        let keys = try policy.keys()
        guard keys.count == plan.policy.count else { return false }
        for (key, value) in plan.policy {
            guard let loaded = try policy[key], same(loaded, value) else { return false }
        }
        return true
    }

    struct Difference {
        /// A known flow's packets would now go elsewhere: generations must move.
        var backendsMoved = false
        var writes = 0
        var carriedBefore: [remora_backend] = []
        var carriedNow: [remora_backend] = []

        /// Instances that it carries no longer.
        func released(in network: NetworkID) -> Set<InstanceID> {
            Set(carriedBefore.map { $0.instance(network: network) })
                .subtracting(carriedNow.map { $0.instance(network: network) })
        }
    }

    /// Writes what differs. New backends come before the tables that lead to them, old ones go after.
    func update(to plan: ProxyPlan) throws(BPFError) -> Difference {
        var difference = Difference()
        var late: [(UInt32, remora_backend)] = []
        for index in 0..<UInt32(backends.capacity) {
            let wanted = Int(index) < plan.backends.count ? plan.backends[Int(index)] : remora_backend()
            let loaded = try backends[index] ?? remora_backend()
            if loaded.isCarried { difference.carriedBefore.append(loaded) }
            if wanted.isCarried { difference.carriedNow.append(wanted) }
            if same(wanted, loaded) { continue }
            difference.writes += 1
            difference.backendsMoved = difference.backendsMoved || loaded.state != 0
            if wanted.state == UInt8(REMORA_BACKEND_LIVE.rawValue) {
                try backends.set(index, wanted)
            } else {
                late.append((index, wanted))
            }
        }
        for (index, table) in plan.tables.enumerated() {
            if let loaded = try maglev[UInt32(index)], same(loaded, table) { continue }
            difference.writes += 1
            try maglev.set(UInt32(index), table)
        }
        for (index, backend) in late { try backends.set(index, backend) }
        return difference
    }
}

extension remora_backend {
    /// Flows lead to it.
    var isCarried: Bool {
        state == UInt8(REMORA_BACKEND_LIVE.rawValue) || state == UInt8(REMORA_BACKEND_DRAINING.rawValue)
    }

    func instance(network: NetworkID) -> InstanceID {
        InstanceID(
            network: network, address: .v4(IPv4Address(networkOrder: address)), port: UInt16(bigEndian: port))
    }
}
