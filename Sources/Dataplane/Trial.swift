internal import BPFRuntime
internal import CBPFObjects
internal import CRemoraABI

/// The data path's own programs, loaded as an agent loads them but pinned and attached nowhere: whether this kernel takes
/// them is found out by asking it to.
public struct Trial {
    let port: ObjectFile
    private let empty: Program
    /// They run as machine code, not interpreted.
    public let isCompiled: Bool

    public init() throws(DataplaneError) {
        (port, empty) = try during("load the data path's programs") { () throws(BPFError) in
            let port = try Self.object(remora_port_object, "remora_port")
            try port.setCapacity(possibleProcessors(), of: "advert_buffers")
            try port.load()
            for hook in Hook.allCases { try Self.loadBusiest(hook, of: port) }
            let proxy = try Self.object(remora_proxy_object, "remora_proxy")
            try NodeMaps.share(port, with: proxy)
            try proxy.load()
            return (port, try port.program("empty"))
        }
        isCompiled = try during("see how programs run") { [empty] () throws(BPFError) in
            try empty.info().machineBytes > 0
        }
    }

    /// As on a port that does everything: by the constants the verifier leaves out what a quiet port never comes to.
    private static func loadBusiest(_ hook: Hook, of port: ObjectFile) throws(BPFError) {
        var config = remora_port_config()
        config.mode = UInt8(REMORA_MODE_ENFORCE.rawValue)
        config.answer_arp = 1
        config.http_probe = 1
        config.vlan_count = UInt16(REMORA_MAX_VLANS)
        let template = try ProgramTemplate(port, program: hook.portProgram, own: [".rodata"])
        let settings = try template.makeConstants(["port_config": bytes(of: config)])
        _ = try template.load(name: hook.portProgram, maps: [".rodata": settings.raw])
    }

    private static func object(_ image: remora_object, _ name: String) throws(BPFError) -> ObjectFile {
        try ObjectFile(image: UnsafeRawBufferPointer(start: image.bytes, count: Int(image.size)), name: name)
    }

    /// Attaches the program that hands everything on to the loopback device, both hooks, and takes it off again.
    public func attach() throws(DataplaneError) {
        try during("attach by tcx") { () throws(BPFError) in
            for hook in Hook.allCases {
                try Link.attach(empty, to: "lo", ifindex: Self.loopback, hook: hook).detach()
            }
        }
    }

    /// Of every network namespace (LOOPBACK_IFINDEX of net/flow.h).
    public static let loopback: UInt32 = 1

    /// Whether a map can be made at all.
    public static func makeMap() throws(DataplaneError) {
        try during("use BPF") { () throws(BPFError) in try KernelProbe.makeRing() }
    }

    /// What the programs call in the kernel and this one does not have.
    public static func missingFunctions() throws(DataplaneError) -> [String] {
        try during("look for kernel functions") { () throws(BPFError) in
            var missing: [String] = []
            // before 6.2 there is none, and its absence says more than the verifier's log
            for name in ["bpf_cast_to_kern_ctx"] where try !KernelProbe.knows(name) { missing.append(name) }
            return missing
        }
    }
}

/// A program in a device's tcx chain.
public struct ChainedProgram: Hashable, Sendable {
    /// "ingress" or "egress".
    public var hook: String
    public var id: UInt32
    /// As the kernel keeps it; nil where it is gone again, or may not be looked at (CAP_SYS_ADMIN).
    public var name: String?
    /// A port program of some Remora agent.
    public var isRemora: Bool

    /// Both chains of a device, each in its order.
    public static func all(on ifindex: UInt32) throws(DataplaneError) -> [ChainedProgram] {
        try during("read the tcx chains of device \(ifindex)") { () throws(BPFError) in
            var chained: [ChainedProgram] = []
            for hook in Hook.allCases {
                for id in try attachedPrograms(ifindex: ifindex, hook: hook) {
                    let name = try programName(id: id)
                    chained.append(.init(hook: hook.rawValue, id: id, name: name, isRemora: name == hook.portProgram))
                }
            }
            return chained
        }
    }

    public init(hook: String, id: UInt32, name: String?, isRemora: Bool) {
        self.hook = hook
        self.id = id
        self.name = name
        self.isRemora = isRemora
    }
}
