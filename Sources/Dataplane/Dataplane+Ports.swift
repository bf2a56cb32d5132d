internal import BPFRuntime
internal import CRemoraABI
public import Model

/// A device of the NIC as a port of the mesh.
public struct PortAttachment: Sendable, Hashable {
    public var name: PortName
    /// Changes when a device of that name is made anew.
    public var ifindex: UInt32
    public var role: PortRole
    public var mode: Mode
    public var network: NetworkID
    /// VLAN id -> network, for tagged frames.
    public var vlans: [UInt16: NetworkID]
    public var forwarding: Forwarding
    /// A veth whose other end is up in another namespace: packets may skip this end's egress.
    public var peerElsewhere: Bool
    public var answerARP: Bool

    public init(
        name: PortName, ifindex: UInt32, role: PortRole, mode: Mode, network: NetworkID = NetworkID(0),
        vlans: [UInt16: NetworkID] = [:], forwarding: Forwarding = .switch, peerElsewhere: Bool = false,
        answerARP: Bool = false
    ) {
        self.name = name
        self.ifindex = ifindex
        self.role = role
        self.mode = mode
        self.network = network
        self.vlans = vlans
        self.forwarding = forwarding
        self.peerElsewhere = peerElsewhere
        self.answerARP = answerARP
    }

    var route: DeviceRoute {
        let way =
            switch (forwarding, peerElsewhere) {
            case (.switch, _): REMORA_FORWARD_SWITCH
            case (.redirect, true): REMORA_FORWARD_REDIRECT_PEER
            case (.redirect, false): REMORA_FORWARD_REDIRECT
            }
        return DeviceRoute(ifindex: ifindex, forwarding: way)
    }

    /// Is this all the same to the port's programs? The way of its frames is in `port_states`.
    func hasProgram(of other: PortAttachment) -> Bool {
        var same = other
        same.forwarding = forwarding
        same.peerElsewhere = peerElsewhere
        return self == same
    }
}

/// A port with its programs.
struct Attachment {
    var settings: PortAttachment
    var slot: UInt32
    var links: [Hook: Link]
    var programs: [Hook: Program]
}

extension Dataplane {
    public var attachedPorts: [PortAttachment] { attachments.values.map(\.settings).sorted { $0.name < $1.name } }
    public func attachment(_ name: PortName) -> PortAttachment? { attachments[name]?.settings }

    func route(to device: PortName) -> DeviceRoute? { attachments[device]?.settings.route }

    func portName(slot: UInt32) -> PortName? { portSlots[slot] }

    /// Attaches the port program to both hooks, first in their chains; a port that has it gets the new settings by one
    /// atomic replacement. A link pinned by an earlier run is taken over the same way.
    public func attach(_ port: PortAttachment) throws(DataplaneError) {
        if attachments[port.name]?.settings == port { return }
        let operation = "attach to port \(port.name)"
        guard port.vlans.count <= Int(REMORA_MAX_VLANS) else {
            throw DataplaneError(.tooMany, operation, "\(port.vlans.count) VLANs, and a port maps \(REMORA_MAX_VLANS)")
        }
        // news of a device may be older than its end, and loading programs takes tens of milliseconds
        guard Link.isThere(port.name.description, ifindex: port.ifindex) else {
            if attachments[port.name] == nil { try? portDirectory(port.name).remove() }
            throw .gone(operation)
        }
        if let known = attachments[port.name], known.settings.ifindex != port.ifindex { forget(port.name) }
        try use(Set(port.vlans.values).union([port.network]))
        let known = attachments[port.name]?.slot
        let slot = if let known { known } else { try takePortSlot(port) }
        do throws(BPFError) {
            try setState(of: port, slot: slot)
            if let known = attachments[port.name]?.settings, known.hasProgram(of: port) {
                attachments[port.name]?.settings = port
            } else {
                attachments[port.name] = try attach(port, slot: slot)
            }
        } catch {
            if attachments[port.name] == nil {
                try? maps.ports.set(slot, remora_port())
                portSlots.free(slot)
                // One hook's link was pinned before the device went: nobody else would remove it.
                if error.isGone { try? portDirectory(port.name).remove() }
            }
            throw error.isGone ? .gone(operation) : DataplaneError(error, operation)
        }
    }

    private func attach(_ port: PortAttachment, slot: UInt32) throws(BPFError) -> Attachment {
        var attachment = try load(port, slot: slot)
        for (hook, program) in attachment.programs.sorted(by: { $0.key.rawValue > $1.key.rawValue }) {
            attachment.links[hook] = try link(program, port: port, hook: hook)
        }
        return attachment
    }

    private func load(_ port: PortAttachment, slot: UInt32) throws(BPFError) -> Attachment {
        let settings = try maps.ingress.makeConstants([
            "port_config": bytes(of: config(of: port, slot: slot)), "registry_ports": registryBits,
        ])
        var attachment = Attachment(settings: port, slot: slot, links: [:], programs: [:])
        for (hook, template) in [(Hook.ingress, maps.ingress), (.egress, maps.egress)] {
            attachment.programs[hook] = try template.load(
                name: hook.portProgram, maps: [".rodata": settings.raw])
        }
        return attachment
    }

    private func setState(of port: PortAttachment, slot: UInt32) throws(BPFError) {
        var raw = try maps.ports[slot] ?? remora_port()
        let route = port.route
        let moved = raw.ifindex != route.ifindex || raw.forwarding != route.forwarding.rawValue
        if raw.ifindex != route.ifindex { raw.half_open = 0 }
        raw.ifindex = route.ifindex
        raw.half_open_quota = UInt32(self.settings.halfOpenPerPort)
        raw.forwarding = route.forwarding.rawValue
        try maps.ports.set(slot, raw)
        // answers to clients behind it go another way: their connections find out by their next request
        if moved { try maps.moveGenerations(Array(serviceSlots.values)) }
    }

    private func link(_ program: Program, port: PortAttachment, hook: Hook) throws(BPFError) -> Link {
        let pins = portDirectory(port.name)
        let path = pins.file(hook.rawValue)
        let known = attachments[port.name]?.links[hook]
        if let link = try known == nil ? pinned(path, on: port) : known {
            try link.replace(with: program)
            return link
        }
        try refuseSecondAgent(port, hook: hook)
        let link = try Link.attach(program, to: port.name.description, ifindex: port.ifindex, hook: hook)
        try pins.create()
        try link.pin(at: path)
        return link
    }

    /// The link of an earlier run, if the device is still the one it was made for; a severed one is swept.
    private func pinned(_ path: String, on port: PortAttachment) throws(BPFError) -> Link? {
        guard let link = try? Link.open(pin: path) else { return nil }
        if try link.ifindex() == port.ifindex { return link }
        try? link.detach()
        try unpin(path)
        return nil
    }

    /// The kernel would let two agents share a chain: each would translate what the other has.
    private func refuseSecondAgent(_ port: PortAttachment, hook: Hook) throws(BPFError) {
        let chain = try attachedPrograms(ifindex: port.ifindex, hook: hook)
        guard !chain.isEmpty else { return }
        // by its pins and not by the program's name, which the kernel tells to CAP_SYS_ADMIN alone
        let nodes = PinDirectory(settings.bpffs) / "remora"
        for node in nodes.entries() where PinDirectory(nodes.file(node)) != directory {
            let pins = PinDirectory(nodes.file(node)) / "ports" / PinName(port.name.description)
            guard let other = try? Link.open(pin: pins.file(hook.rawValue)), chain.contains(try other.programID())
            else { continue }
            throw BPFError.busy(
                "node \(PinName(escaped: node)?.name ?? node) of another agent is attached to \(port.name)"
                    + " \(hook.rawValue); stop that agent and detach it first (remora detach --all)")
        }
    }

    private func takePortSlot(_ port: PortAttachment) throws(DataplaneError) -> UInt32 {
        for slot in 0..<UInt32(REMORA_MAX_PORTS) {
            // the slot of an earlier run: its counters and flows go on
            if let raw = try? maps.ports[slot], raw.ifindex == port.ifindex, portSlots.adopt(slot, for: port.name) {
                return slot
            }
        }
        guard let slot = portSlots.take(for: port.name) else {
            throw DataplaneError(
                .full, "attach to port \(port.name)",
                "\(REMORA_MAX_PORTS) ports are attached, and there is room for no more")
        }
        try during("clear the counters of port \(port.name)") { () throws(BPFError) in try clearCounters(slot) }
        return slot
    }

    private func clearCounters(_ slot: UInt32) throws(BPFError) {
        for hook in 0..<2 as Range<UInt32> {
            for reason in 0..<UInt32(REMORA_REASON_COUNT.rawValue) {
                try maps.counters.setPerCPU(
                    (slot * 2 + hook) * UInt32(REMORA_MAX_REASONS) + reason, remora_counter())
            }
        }
    }

    private func config(of port: PortAttachment, slot: UInt32) -> remora_port_config {
        var config = remora_port_config()
        config.ifindex = port.ifindex
        config.slot = slot
        config.network = port.network.number
        config.role =
            switch port.role {
            case .mixed: UInt8(REMORA_ROLE_MIXED.rawValue)
            case .uplink: UInt8(REMORA_ROLE_UPLINK.rawValue)
            case .vm: UInt8(REMORA_ROLE_VM.rawValue)
            case .container: UInt8(REMORA_ROLE_CONTAINER.rawValue)
            }
        config.mode = UInt8((port.mode == .enforce ? REMORA_MODE_ENFORCE : REMORA_MODE_OBSERVE).rawValue)
        config.answer_arp = port.answerARP ? 1 : 0
        config.vip_mac = vipMAC.octets
        config.http_probe = settings.httpProbe ? 1 : 0
        let vlans = port.vlans.sorted { $0.key < $1.key }
        config.vlan_count = UInt16(vlans.count)
        withUnsafeMutableBytes(of: &config.vlan_ids) { raw in
            for (index, vlan) in vlans.enumerated() { raw.bindMemory(to: UInt16.self)[index] = vlan.key }
        }
        withUnsafeMutableBytes(of: &config.vlan_networks) { raw in
            for (index, vlan) in vlans.enumerated() { raw.bindMemory(to: UInt16.self)[index] = vlan.value.number }
        }
        return config
    }

    private var registryBits: [UInt8] {
        var bits: [UInt8] = []
        for transport in [TransportProtocol.tcp, .udp] {
            var ports = [UInt8](repeating: 0, count: 8192)
            for registry in settings.registries where registry.transports.contains(transport) {
                ports[Int(registry.port >> 3)] |= 1 << (registry.port & 7)
            }
            bits += ports
        }
        return bits
    }

    /// Takes the programs off; the device is as it was.
    public func detach(_ name: PortName) throws(DataplaneError) {
        guard let attachment = attachments[name] else { return }
        try during("detach from port \(name)") { () throws(BPFError) in
            for link in attachment.links.values {
                do throws(BPFError) { try link.detach() } catch  where error.isGone {}
            }
        }
        forget(name)
    }

    /// The device is gone: its links are severed, what is left are pins.
    public func forget(_ name: PortName) {
        guard let attachment = attachments.removeValue(forKey: name) else { return }
        try? portDirectory(name).remove()
        try? maps.ports.set(attachment.slot, remora_port())
        portSlots.free(attachment.slot)
    }

    /// Pins of devices that are not there any more, left by an earlier run.
    public func sweepPorts() {
        let ports = directory / "ports"
        for entry in ports.entries()
        where !attachments.keys.contains(where: { PinName($0.description).description == entry }) {
            let pins = PinDirectory(ports.file(entry))
            Self.sever(pins)
            try? pins.remove()
        }
    }

    private func portDirectory(_ name: PortName) -> PinDirectory { directory / "ports" / PinName(name.description) }

    /// The NIC is as it was before Remora: no program attached, nothing pinned. This value is of no use afterwards.
    public func detachAll() throws(DataplaneError) {
        for name in Array(attachments.keys) { try detach(name) }
        sweepPorts()
        rings = []
        losses = nil
        Self.retireLosses(directory)
        try during("remove the pins of node \(settings.node)") { () throws(BPFError) in try directory.remove(depth: 6) }
    }

    /// As `detachAll`, where no agent runs.
    public static func detachAll(node: String, bpffs: String) throws(DataplaneError) {
        let directory = directory(node: node, bpffs: bpffs)
        guard directory.exists else { return }
        let lock = try take(directory, of: node)
        let ports = directory / "ports"
        for entry in ports.entries() { sever(PinDirectory(ports.file(entry))) }
        retireLosses(directory)
        try during("remove the pins of node \(node)") { () throws(BPFError) in try directory.remove(depth: 6) }
        _ = consume lock
    }

    /// As `detach`, where no agent runs. False: nothing of the node's is attached there.
    public static func detach(_ port: PortName, node: String, bpffs: String) throws(DataplaneError) -> Bool {
        let directory = directory(node: node, bpffs: bpffs)
        let pins = directory / "ports" / PinName(port.description)
        guard pins.exists else { return false }
        let lock = try take(directory, of: node)
        sever(pins)
        try during("remove the pins of port \(port)") { () throws(BPFError) in try pins.remove() }
        _ = consume lock
        return true
    }

    private static func take(_ directory: PinDirectory, of node: String) throws(DataplaneError) -> Descriptor {
        guard let lock = try during("take node \(node)", { () throws(BPFError) in try directory.lock() }) else {
            throw DataplaneError(.busy, "detach node \(node)", "its agent is running: ask it over its socket")
        }
        return lock
    }

    /// Ends a port's links. One that is gone or severed already is as good: its pin goes next.
    private static func sever(_ pins: PinDirectory) {
        for hook in Hook.allCases { try? Link.open(pin: pins.file(hook.rawValue)).detach() }
    }

    /// Loads a port's programs and attaches them nowhere: for test runs, and for `remora bench`.
    package func prepare(_ port: PortAttachment) throws(DataplaneError) {
        try use(Set(port.vlans.values).union([port.network]))
        let slot = try takePortSlot(port)
        attachments[port.name] = try during("load port \(port.name)") { () throws(BPFError) in
            try setState(of: port, slot: slot)
            return try load(port, slot: slot)
        }
    }
}

extension Hook {
    /// What the kernel calls the port program of this hook.
    var portProgram: String { "port_\(rawValue)" }
}
