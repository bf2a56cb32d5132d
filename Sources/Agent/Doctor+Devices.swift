internal import Dataplane
internal import Model
internal import Netlink

/// All that the kernel tells of one device and of its surroundings.
struct DeviceFacts {
    var link: Link
    /// The bridge, bond or switch that it belongs to.
    var master: Link?
    /// Nil where the driver does not say.
    var features: DeviceFeatures?
    /// Entries of its bridge's table that hardware forwards by.
    var offloadedEntries = 0
    /// SR-IOV functions that are switched on.
    var virtualFunctions = 0
    var chain: [ChainedProgram] = []
    /// How packets are to reach it; nil: nobody said.
    var forwarding: Forwarding?
    var name: String { link.name.description }
}

/// The devices of this network namespace, and what filters between them.
struct DeviceSurvey {
    typealias Finding = DoctorReport.Finding
    private let links: [Link]
    private let neighbours: [Neighbour]
    private let filters: Filters

    init() throws(NetlinkError) {
        links = try NetlinkSocket.links().sorted { $0.name < $1.name }
        // Tables that may not be read say nothing; the privileges have been found missing before.
        neighbours = (try? NetlinkSocket.neighbours(.bridge)) ?? []
        filters = Filters()
    }

    /// - Parameter config: nil: every device but the loopback one.
    func findings(of config: Config?) -> [Finding] {
        guard let config else {
            return links.filter { $0.index != Trial.loopback }.flatMap { judge(facts(of: $0, nil)) }
        }
        if config.ports.isEmpty {
            return [
                .init(
                    .config, .warning, "the configuration names no port: nothing is heard and nothing is carried",
                    remedy: "name the devices under `ports`")
            ]
        }
        let names = links.map(\.name)
        return config.ports.map { Self.judge($0, devices: names.filter { config.port(matching: $0) != nil }) }
            + links.filter { config.port(matching: $0.name) != nil }.flatMap { judge(facts(of: $0, config)) }
    }

    private static let mostNames = 8

    static func judge(_ port: Config.Port, devices: [PortName]) -> Finding {
        let pattern = port.match.description
        let matching = devices.map(\.description).filter(port.match.matches)
        guard !matching.isEmpty else {
            return .init(
                .port, of: pattern, .warning,
                "no device is called so now: one that appears gets the role \(port.role.rawValue)",
                remedy: "check the name with `ip -br link` if it should be there")
        }
        let shown = matching.prefix(mostNames).joined(separator: ", ")
        let more = matching.count > mostNames ? " and \(matching.count - mostNames) more" : ""
        return .init(.port, of: pattern, .ok, "role \(port.role.rawValue): \(shown)\(more)")
    }

    private func facts(of link: Link, _ config: Config?) -> DeviceFacts {
        var facts = DeviceFacts(link: link, master: links.first { $0.index == link.master })
        facts.features = try? DeviceFeatures(of: link.name)
        facts.offloadedEntries = neighbours.count { $0.index == link.index && $0.isOffloaded }
        facts.virtualFunctions = Self.virtualFunctions(of: link)
        facts.chain = (try? ChainedProgram.all(on: link.index)) ?? []
        if let port = config?.port(matching: link.name) { facts.forwarding = port.forwarding ?? config?.forwarding }
        return facts
    }

    /// /sys shows the devices of the namespace that it was mounted in: a device of that name may be another one.
    private static func virtualFunctions(of link: Link) -> Int {
        let directory = "/sys/class/net/\(link.name)"
        guard kernelFile("\(directory)/ifindex") == "\(link.index)" else { return 0 }
        return kernelFile("\(directory)/device/sriov_numvfs").flatMap { Int($0) } ?? 0
    }

    private func judge(_ facts: DeviceFacts) -> [Finding] {
        guard facts.isEthernet else { return [facts.whatItIs] }
        return [facts.whatItIs] + facts.hidden + facts.neighbours + [facts.way(through: filters)]
    }
}

extension DeviceFacts {
    typealias Finding = DoctorReport.Finding

    var isEthernet: Bool { link.mac != nil }

    var whatItIs: Finding {
        let driver = (features?.driver).map { " (driver \($0))" } ?? ""
        let belongs = master.map { ", in \($0.kind ?? "device") \($0.name)" } ?? ""
        let state = !link.isUp ? "switched off" : link.hasCarrier ? "up" : "up, no carrier"
        let harmless = Offload.allCases.filter { $0.hides == nil && has($0) }.map(\.rawValue)
        let offloads = harmless.isEmpty ? "" : "; offloads that hide nothing: \(harmless.joined(separator: ", "))"
        guard isEthernet else {
            return .init(
                .device, of: name, .warning,
                "\(link.kind ?? "device")\(driver): it carries no Ethernet frames, and nothing else is parsed",
                remedy: "name the device that its packets come in by")
        }
        return .init(.device, of: name, .ok, "\(link.kind ?? "hardware")\(driver), \(state)\(belongs)\(offloads)")
    }

    private func has(_ offload: Offload) -> Bool { features?.active.contains(offload.rawValue) ?? false }

    /// What may keep packets from the hooks.
    var hidden: [Finding] {
        var findings: [Finding] = []
        func warn(_ sentence: String, _ remedy: String) {
            findings.append(.init(.offload, of: name, .warning, sentence, remedy: remedy))
        }
        for offload in Offload.allCases where has(offload) {
            guard let hides = offload.hides else { continue }
            warn("\(offload.rawValue) is on: \(hides)", "ethtool -K \(name) \(offload.setting) off")
        }
        if let id = link.hardwareSwitch {
            let hex = id.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            warn(
                "it is a port of the hardware switch \(hex):"
                    + " frames that the switch forwards by itself never reach the hooks",
                "put no bridge, tc or Open vSwitch rule for mesh and registry traffic into the hardware")
        } else if virtualFunctions > 0 {
            warn(
                "\(virtualFunctions) SR-IOV functions are on, and the NIC switches between them by itself:"
                    + " their packets never reach the hooks",
                "switch the NIC to switchdev mode (devlink dev eswitch set ... mode switchdev)"
                    + " and name the representors as ports")
        }
        if offloadedEntries > 0 {
            warn(
                "hardware forwards to \(offloadedEntries) addresses behind it by itself, past the hooks",
                "take the offload off its bridge's ports (`bridge fdb show dev \(name)` marks the entries)")
        }
        return findings
    }

    /// Programs of others.
    var neighbours: [Finding] {
        var findings: [Finding] = []
        if let program = link.xdpProgram {
            findings.append(
                .init(
                    .xdp, of: name, .warning,
                    "an XDP program (\(program)) runs on it first: what it drops, answers or redirects never reaches the hooks",
                    remedy: "`bpftool prog show id \(program)` tells what it is"))
        }
        let others = chain.filter { !$0.isRemora }.map { "\($0.name ?? "?") (\($0.id), \($0.hook))" }
        if !others.isEmpty {
            findings.append(
                .init(
                    .chain, of: name, .ok,
                    "shares its tcx chain with \(others.joined(separator: ", ")): Remora goes first"))
        }
        if chain.contains(where: \.isRemora) {
            findings.append(.init(.chain, of: name, .ok, "a Remora agent's programs are attached"))
        }
        return findings
    }

    /// Which forwarding fits, and whether it is the one that was asked for.
    func way(through filters: Filters) -> Finding {
        let reasons = filters.between(link, in: master)
        switch (reasons.isEmpty, forwarding) {
        case (false, .redirect):
            return .init(
                .forwarding, of: name, .warning,
                "`redirect` would take its packets around what filters them: \(reasons.joined(separator: "; "))",
                remedy: "set `forwarding: switch` for this port, unless the mesh's policy is meant to stand in for that"
            )
        case (false, _):
            return .init(.forwarding, of: name, .ok, "`switch` fits: \(reasons.joined(separator: "; "))")
        case (true, _) where !filters.areKnown:
            return .init(
                .forwarding, of: name, .warning,
                "which forwarding fits cannot be told: the packet filter's tables cannot be read",
                remedy: "ask again as root; `switch` is right in any case")
        case (true, .switch):
            return .init(
                .forwarding, of: name, .ok,
                "`switch` works, and `redirect` would be faster: nothing else filters its packets")
        case (true, _):
            return .init(.forwarding, of: name, .ok, "`redirect` fits: nothing else filters its packets")
        }
    }
}
