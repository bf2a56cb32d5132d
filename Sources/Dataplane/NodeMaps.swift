internal import BPFRuntime
internal import CBPFObjects
internal import CRemoraABI
internal import Model

/// The maps that all programs of a node share, pinned at <bpffs>/remora/<node>/: adopted where they stand, else made.
final class NodeMaps {
    private let node: Map<UInt32, remora_node>
    let flows: FlowTable
    let frontends: Map<remora_frontend_key, remora_frontend>
    let proxies: Map<UInt32, UInt32>
    private let generations: Map<UInt32, UInt32>
    let services: Map<UInt32, remora_service>
    let ports: Map<UInt32, remora_port>
    let vips: Map<remora_address, UInt32>
    let neighbours: Map<remora_address, remora_neighbour>
    let registries: Map<remora_registry_key, UInt32>
    let ignored: Map<remora_flow_key, UInt32>
    let probes: Map<remora_flow_key, UInt32>
    let probes6: Map<remora_flow6_key, UInt32>
    let counters: Map<UInt32, remora_counter>
    private let serviceCounters: Map<UInt32, remora_service_counter>
    private let processors: Int
    let ringLosses: Map<UInt32, UInt64>
    let adverts: Descriptor
    let events: Descriptor

    /// Whose maps these are.
    let port: ObjectFile
    /// Programs of the port object, from which each port gets its own.
    let ingress: ProgramTemplate
    let egress: ProgramTemplate
    let proxy: ProgramTemplate
    /// Behind every proxy: does what it decided.
    let carryOut: Program
    let clock: Program
    let empty: Program
    /// Hash of the proxy object: a proxy loaded from another is replaced.
    let build: UInt64

    private static let local = [".rodata", "advert_buffers", "fragmented"]
    private static let proxyOwn = ["policy", "backends", "maglev", ".rodata"]

    init(directory: PinDirectory, flows capacity: Int, processors: Int) throws(BPFError) {
        let portImage = UnsafeRawBufferPointer(start: remora_port_object.bytes, count: Int(remora_port_object.size))
        let proxyImage = UnsafeRawBufferPointer(start: remora_proxy_object.bytes, count: Int(remora_proxy_object.size))
        build = fnv1a(proxyImage)
        port = try ObjectFile(image: portImage, name: "remora_port")
        let shape = FlowTable.Shape(capacity: capacity)
        for name in ["flows", "flow_tags"] { try port.setCapacity(shape.sets, of: name) }
        try port.setCapacity(processors, of: "advert_buffers")
        try port.setCapacity(processors * Int(REMORA_MAX_SERVICES), of: "service_counters")
        self.processors = processors
        try Self.adopt(into: port, from: directory)
        try port.load()
        try Self.pin(port, at: directory)
        node = try port.map("node", UInt32.self, remora_node.self)
        flows = try FlowTable(port)
        try Self.found(node, flows.shape)
        frontends = try port.map("frontends", remora_frontend_key.self, remora_frontend.self)
        proxies = try port.map("proxies", UInt32.self, UInt32.self)
        generations = try port.map("generations", UInt32.self, UInt32.self)
        services = try port.map("service_names", UInt32.self, remora_service.self)
        ports = try port.map("port_states", UInt32.self, remora_port.self)
        vips = try port.map("vips", remora_address.self, UInt32.self)
        neighbours = try port.map("neighbours", remora_address.self, remora_neighbour.self)
        registries = try port.map("registries", remora_registry_key.self, UInt32.self)
        ignored = try port.map("ignored", remora_flow_key.self, UInt32.self)
        probes = try port.map("probes", remora_flow_key.self, UInt32.self)
        probes6 = try port.map("probes6", remora_flow6_key.self, UInt32.self)
        counters = try port.map("counters", UInt32.self, remora_counter.self)
        serviceCounters = try port.map("service_counters", UInt32.self, remora_service_counter.self)
        ringLosses = try port.map("ring_losses", UInt32.self, UInt64.self)
        adverts = try port.mapDescriptor("adverts")
        events = try port.mapDescriptor("events")
        ingress = try ProgramTemplate(port, program: "port_ingress", own: [".rodata"])
        egress = try ProgramTemplate(port, program: "port_egress", own: [".rodata"])
        clock = try port.program("jiffies_now")
        empty = try port.program("empty")

        let proxyObject = try ObjectFile(image: proxyImage, name: "remora_proxy")
        try Self.share(port, with: proxyObject)
        try proxyObject.load()
        carryOut = try port.program("carry_out")
        try proxies.set(UInt32(REMORA_CARRY_OUT), UInt32(bitPattern: carryOut.descriptor.raw))
        proxy = try ProgramTemplate(proxyObject, program: "proxy", own: Self.proxyOwn)
    }

    /// Of one service, by CPU.
    func counters(ofSlot slot: UInt32) throws(BPFError) -> [remora_service_counter] {
        var counters: [remora_service_counter] = []
        for index in counterIndexes(of: slot) {
            counters.append(try serviceCounters[index] ?? remora_service_counter())
        }
        return counters
    }

    func resetCounters(ofSlot slot: UInt32) throws(BPFError) {
        for index in counterIndexes(of: slot) { try serviceCounters.set(index, remora_service_counter()) }
    }

    private func counterIndexes(of slot: UInt32) -> [UInt32] {
        (0..<UInt32(processors)).map { $0 * UInt32(REMORA_MAX_SERVICES) + slot }
    }

    private static func shared(_ object: ObjectFile) -> [String] {
        object.mapNames.filter { !local.contains($0) && !$0.contains(".") }
    }

    /// Gives `object`, before its load, the maps of the loaded port object in place of its own.
    static func share(_ port: ObjectFile, with object: ObjectFile) throws(BPFError) {
        let known = Set(shared(port))
        for name in object.mapNames where known.contains(name) {
            try object.use(try port.mapDescriptor(name), as: name)
        }
    }

    private static func adopt(into object: ObjectFile, from directory: PinDirectory) throws(BPFError) {
        let pinned = Set(directory.entries())
        guard !pinned.isEmpty else { return }
        if pinned.contains("node") {
            let version = try layout(pinnedAt: directory.file("node"))
            guard version == 0 || version == UInt32(REMORA_ABI_VERSION) else {
                throw BPFError.wrongVersion(
                    "use the maps at \(directory): they are of layout \(version.map(String.init) ?? "2 or older"), this"
                        + " agent's is \(REMORA_ABI_VERSION); run `remora detach --all` with the old agent first")
            }
        }
        for name in shared(object) where pinned.contains(name) {
            try object.use(try openPin(directory.file(name)), as: name)
        }
    }

    /// Nil: from before version 3, when the node's entry had another size.
    private static func layout(pinnedAt path: String) throws(BPFError) -> UInt32? {
        do throws(BPFError) {
            return try openMap(pin: path, name: "node", UInt32.self, remora_node.self)[0]?.abi_version ?? 0
        } catch {
            guard error.isUnfit else { throw error }
            return nil
        }
    }

    private static func pin(_ object: ObjectFile, at directory: PinDirectory) throws(BPFError) {
        let pinned = Set(directory.entries())
        for name in shared(object) where !pinned.contains(name) {
            try object.pinMap(name, at: directory.file(name))
        }
    }

    /// A node that is new: what its maps are, and how flows are found in them.
    private static func found(_ map: Map<UInt32, remora_node>, _ shape: FlowTable.Shape) throws(BPFError) {
        guard try map[0]?.abi_version == 0 else { return }
        try map.set(
            0,
            remora_node(
                abi_version: UInt32(REMORA_ABI_VERSION), front_mask: UInt32(shape.front - 1),
                back_mask: UInt32(shape.back - 1), linger: UInt32(Int32.max), flow_seed: .random(in: .min ... .max),
                generation: 0, pad: 0))
    }

    /// Every flow of these services is decided again by its next packet. The services' own numbers first: who sees the
    /// node's new one must see theirs.
    func moveGenerations(_ slots: [UInt32]) throws(BPFError) {
        guard !slots.isEmpty, var node = try node[0] else { return }
        node.generation &+= 1
        for slot in slots { try generations.set(slot, node.generation) }
        try self.node.set(0, node)
    }

    /// How long a source port keeps its use after its connection, in jiffies.
    func setLinger(_ jiffies: Int64) throws(BPFError) {
        let linger = UInt32(clamping: jiffies)
        guard var node = try node[0], node.linger != linger else { return }
        node.linger = linger
        try self.node.set(0, node)
    }
}
