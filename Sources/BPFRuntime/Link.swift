internal import CLibBPF

#if canImport(Glibc)
    internal import Glibc
#endif

public enum Hook: String, Sendable, CaseIterable {
    case ingress, egress

    var attachType: bpf_attach_type { self == .ingress ? remora_tcx_ingress() : remora_tcx_egress() }
}

/// A program attached to a device by tcx (kernel 6.6), first in its chain, or to a tracepoint. Unpinned, it ends with
/// this value.
public final class Link: Sendable {
    public let descriptor: Descriptor
    public let subject: String

    private init(_ descriptor: consuming Descriptor, subject: String) {
        self.descriptor = descriptor
        self.subject = subject
    }

    /// Is this still that device, in the namespace that we run in?
    public static func isThere(_ device: String, ifindex: UInt32) -> Bool { if_nametoindex(device) == ifindex }

    /// Attaches before all others: what Remora does not want, it hands to them.
    public static func attach(_ program: Program, to device: String, ifindex: UInt32, hook: Hook) throws(BPFError)
        -> Link
    {
        var options = bpf_link_create_opts()
        options.sz = MemoryLayout<bpf_link_create_opts>.size
        options.flags = remora_tcx_before()
        let subject = "\(device) \(hook.rawValue)"
        let fd = try Kernel.call("attach \(program.name) by tcx to \(subject)") {
            bpf_link_create(program.descriptor.raw, Int32(ifindex), hook.attachType, &options)
        }
        return Link(Descriptor(fd), subject: subject)
    }

    /// Runs a tracing program wherever the kernel passes the tracepoint that its section names, on the whole machine.
    public static func trace(with program: Program) throws(BPFError) -> Link {
        let subject = "the tracepoint of \(program.name)"
        let fd = try Kernel.call("attach to \(subject)") { bpf_raw_tracepoint_open(nil, program.descriptor.raw) }
        return Link(Descriptor(fd), subject: subject)
    }

    public static func open(pin path: String) throws(BPFError) -> Link {
        Link(try openPin(path), subject: path)
    }

    /// Atomically: no packet meets no program.
    public func replace(with program: Program) throws(BPFError) {
        try Kernel.call("replace the program of \(subject) by \(program.name)") {
            bpf_link_update(descriptor.raw, program.descriptor.raw, nil)
        }
    }

    /// 0 where the device is gone: the link is severed.
    public func ifindex() throws(BPFError) -> UInt32 { try info().ifindex }
    public func programID() throws(BPFError) -> UInt32 { try info().prog_id }

    private func info() throws(BPFError) -> remora_link_info {
        var info = remora_link_info()
        var length = UInt32(MemoryLayout<remora_link_info>.size)
        try Kernel.call("read what link \(subject) is") { bpf_obj_get_info_by_fd(descriptor.raw, &info, &length) }
        return info
    }

    public func pin(at path: String) throws(BPFError) {
        try Kernel.call("pin link \(subject) at \(path)") { bpf_obj_pin(descriptor.raw, path) }
    }

    /// Ends the attachment, pinned or not.
    public func detach() throws(BPFError) {
        try Kernel.call("detach \(subject)") { bpf_link_detach(descriptor.raw) }
    }
}

/// The ids of the programs in a device's tcx chain, in order.
public func attachedPrograms(ifindex: UInt32, hook: Hook) throws(BPFError) -> [UInt32] {
    var ids = [UInt32](repeating: 0, count: 64)
    var query = remora_prog_query()
    query.target_ifindex = ifindex
    query.attach_type = UInt32(hook.attachType.rawValue)
    query.count = UInt32(ids.count)
    try Kernel.call("read the tcx chain of device \(ifindex) \(hook.rawValue)") {
        ids.withUnsafeMutableBufferPointer { buffer in
            query.prog_ids = UInt64(UInt(bitPattern: buffer.baseAddress))
            return remora_bpf_prog_query(&query)
        }
    }
    return Array(ids.prefix(Int(query.count)))
}

/// The name of a loaded program, or nil where it is gone.
public func programName(id: UInt32) throws(BPFError) -> String? {
    let fd = bpf_prog_get_fd_by_id(id)
    guard fd >= 0 else { return nil }
    return try Program(Descriptor(fd), name: "#\(id)").info().name
}

/// What is pinned at a path.
public func openPin(_ path: String) throws(BPFError) -> Descriptor {
    Descriptor(try Kernel.call("open \(path)") { bpf_obj_get(path) })
}

public func openMap<Key, Value>(pin path: String, name: String, _: Key.Type, _: Value.Type) throws(BPFError)
    -> Map<Key, Value>
{
    try Map(try openPin(path), name: name)
}

public func openProgram(pin path: String, name: String) throws(BPFError) -> Program {
    Program(try openPin(path), name: name)
}
