internal import CLibBPF

#if canImport(Glibc)
    internal import Glibc
#endif

/// A compiled BPF object as libbpf sees it. Its programs and maps live as long as it does, unless pinned or duplicated.
public final class ObjectFile {
    let object: OpaquePointer
    public let name: String
    private let image: UnsafeRawBufferPointer
    private var functions: [OpaquePointer: FunctionInfo] = [:]

    /// Opens, loads nothing. `image` stays where it is for good: it is part of the binary.
    public init(image: UnsafeRawBufferPointer, name: String) throws(BPFError) {
        self.name = name
        self.image = image
        _ = LibbpfLog.shared
        try Kernel.call("listen to what libbpf loads") { FunctionInfo.listening }
        object = try Kernel.pointer("open BPF object \(name)") {
            name.withCString { text in
                var options = bpf_object_open_opts()
                options.sz = MemoryLayout<bpf_object_open_opts>.size
                options.object_name = text
                return bpf_object__open_mem(image.baseAddress, image.count, &options)
            }
        }
    }

    deinit { bpf_object__close(object) }

    private func map(_ name: String) throws(BPFError) -> OpaquePointer {
        guard let map = bpf_object__find_map_by_name(object, name) else {
            throw BPFError(code: ENOENT, operation: "find map \(name) in BPF object \(self.name)")
        }
        return map
    }

    /// Before load: this map is that one, which exists already.
    public func use<Key, Value>(_ existing: Map<Key, Value>, as name: String) throws(BPFError) {
        let map = try map(name)
        try Kernel.call("use map \(existing.name) in \(self.name)") {
            bpf_map__reuse_fd(map, existing.descriptor.raw)
        }
    }

    public func use(_ existing: borrowing Descriptor, as name: String) throws(BPFError) {
        let map = try map(name)
        let fd = existing.raw
        try Kernel.call("use map \(name) in \(self.name)") { bpf_map__reuse_fd(map, fd) }
    }

    public func pinMap(_ name: String, at path: String) throws(BPFError) {
        let map = try map(name)
        try Kernel.call("pin map \(name) at \(path)") { bpf_obj_pin(bpf_map__fd(map), path) }
    }

    public func setCapacity(_ entries: Int, of name: String) throws(BPFError) {
        let map = try map(name)
        try Kernel.call("size map \(name)") { bpf_map__set_max_entries(map, UInt32(entries)) }
    }

    /// Where a constant stands in .rodata, in bytes, from the object's BTF.
    func offset(ofConstant variable: String) throws(BPFError) -> Int {
        guard let types = bpf_object__btf(object) else {
            throw BPFError(code: ENOENT, operation: "find BTF in \(name)")
        }
        let section = btf__find_by_name_kind(types, ".rodata", remora_btf_kind_datasec)
        guard section > 0, let type = btf__type_by_id(types, UInt32(section)) else {
            throw BPFError(code: ENOENT, operation: "find .rodata in the BTF of \(name)")
        }
        let entries = UnsafeRawPointer(type + 1).assumingMemoryBound(to: btf_var_secinfo.self)
        for index in 0..<Int(type.pointee.info & 0xffff) {
            let entry = entries[index]
            guard let declared = btf__type_by_id(types, entry.type),
                let text = btf__name_by_offset(types, declared.pointee.name_off),
                String(cString: text) == variable
            else { continue }
            return Int(entry.offset)
        }
        throw BPFError(code: ENOENT, operation: "find constant \(variable) in \(name)")
    }

    /// Before load: for every load of this object. `ProgramTemplate` gives each load its own.
    public func setConstant(_ variable: String, _ bytes: [UInt8]) throws(BPFError) {
        let section = try map(".rodata")
        let offset = try offset(ofConstant: variable)
        var size = 0
        guard let initial = bpf_map__initial_value(section, &size), offset + bytes.count <= size else {
            throw BPFError(code: EINVAL, operation: "set constant \(variable): it is too long")
        }
        var values = Array(UnsafeRawBufferPointer(start: initial, count: size))
        values.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        try Kernel.call("set constant \(variable)") { bpf_map__set_initial_value(section, values, size) }
    }

    public func load() throws(BPFError) {
        defer { takeFunctions() }
        try Kernel.call("load BPF object \(name)") { bpf_object__load(object) }
    }

    private func takeFunctions() {
        var program = bpf_object__next_program(object, nil)
        while let current = program {
            functions[current] = FunctionInfo.take(current)
            program = bpf_object__next_program(object, current)
        }
    }

    /// Of a program that was loaded.
    func functions(of program: OpaquePointer) -> FunctionInfo? { functions[program] }

    /// A descriptor of its own to a loaded program.
    public func program(_ name: String) throws(BPFError) -> Program {
        let program = try find(program: name)
        let fd = try Kernel.call("keep program \(name)") { fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 3) }
        return Program(Descriptor(fd), name: name)
    }

    func find(program name: String) throws(BPFError) -> OpaquePointer {
        guard let program = bpf_object__find_program_by_name(object, name) else {
            throw BPFError(code: ENOENT, operation: "find program \(name) in BPF object \(self.name)")
        }
        return program
    }

    /// A descriptor of its own to a loaded map, typed.
    public func map<Key, Value>(_ name: String, _: Key.Type, _: Value.Type) throws(BPFError) -> Map<Key, Value> {
        try Map(try mapDescriptor(name), name: name)
    }

    public func mapDescriptor(_ name: String) throws(BPFError) -> Descriptor {
        let map = try map(name)
        return Descriptor(try Kernel.call("keep map \(name)") { fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3) })
    }

    /// The names of all maps, in the object's order.
    public var mapNames: [String] {
        var names: [String] = []
        var map = bpf_object__next_map(object, nil)
        while let current = map {
            names.append(String(cString: bpf_map__name(current)))
            map = bpf_object__next_map(object, current)
        }
        return names
    }
}

/// A loaded program.
public final class Program: Sendable {
    public let name: String
    public let descriptor: Descriptor

    init(_ descriptor: consuming Descriptor, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    public func pin(at path: String) throws(BPFError) {
        try Kernel.call("pin program \(name) at \(path)") { bpf_obj_pin(descriptor.raw, path) }
    }

    public func info() throws(BPFError) -> ProgramInfo {
        var info = bpf_prog_info()
        var length = UInt32(MemoryLayout<bpf_prog_info>.size)
        try Kernel.call("read what program \(name) is") { bpf_obj_get_info_by_fd(descriptor.raw, &info, &length) }
        return ProgramInfo(
            id: info.id,
            name: withUnsafeBytes(of: info.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) },
            runs: info.run_cnt, nanoseconds: info.run_time_ns, functions: Int(info.nr_func_info),
            machineBytes: Int(info.jited_prog_len))
    }

    /// One run on a packet that it may change (BPF_PROG_TEST_RUN).
    public func testRun(_ packet: [UInt8], context: TestContext = TestContext(), repeats: Int = 1) throws(BPFError)
        -> TestResult
    {
        var context = context.raw
        var output = [UInt8](repeating: 0, count: packet.count + 256)
        var options = bpf_test_run_opts()
        options.sz = MemoryLayout<bpf_test_run_opts>.size
        options.repeat = Int32(repeats)
        options.data_size_in = UInt32(packet.count)
        options.data_size_out = UInt32(output.count)
        options.ctx_size_in = UInt32(MemoryLayout<__sk_buff>.size)
        options.ctx_size_out = options.ctx_size_in
        try Kernel.call("test-run program \(name)") {
            packet.withUnsafeBytes { input in
                output.withUnsafeMutableBytes { result in
                    withUnsafeMutablePointer(to: &context) { skb in
                        options.data_in = input.baseAddress
                        options.data_out = result.baseAddress
                        options.ctx_in = UnsafeRawPointer(skb)
                        options.ctx_out = UnsafeMutableRawPointer(skb)
                        return bpf_prog_test_run_opts(descriptor.raw, &options)
                    }
                }
            }
        }
        return TestResult(
            verdict: Int32(bitPattern: options.retval), packet: Array(output.prefix(Int(options.data_size_out))),
            mark: context.cb.0, nanoseconds: options.duration)
    }
}

public struct ProgramInfo: Sendable {
    public let id: UInt32
    public let name: String
    /// Counted while kernel.bpf_stats_enabled is 1.
    public let runs: UInt64
    public let nanoseconds: UInt64
    /// That the kernel knows by name and type, the program's own included.
    public let functions: Int
    /// Length of what the just-in-time compiler made of it; 0: it is interpreted.
    public let machineBytes: Int
}

/// What a test run may set in the packet's context.
public struct TestContext: Sendable {
    public var ifindex: UInt32
    public var ingressIfindex: UInt32
    public var callbacks: [UInt32]
    /// Size of a segment: the packet is a segmentation-offload frame.
    public var segmentSize: UInt32

    public init(ifindex: UInt32 = 1, ingressIfindex: UInt32 = 0, callbacks: [UInt32] = [], segmentSize: UInt32 = 0) {
        self.ifindex = ifindex
        self.ingressIfindex = ingressIfindex
        self.callbacks = callbacks
        self.segmentSize = segmentSize
    }

    var raw: __sk_buff {
        var skb = __sk_buff()
        skb.ifindex = ifindex
        skb.ingress_ifindex = ingressIfindex
        skb.gso_size = segmentSize
        skb.gso_segs = segmentSize > 0 ? 2 : 0
        withUnsafeMutableBytes(of: &skb.cb) { bytes in
            let words = bytes.bindMemory(to: UInt32.self)
            for (index, word) in callbacks.prefix(words.count).enumerated() { words[index] = word }
        }
        return skb
    }
}

public struct TestResult: Sendable {
    public let verdict: Int32
    public let packet: [UInt8]
    /// skb->cb[0] afterwards.
    public let mark: UInt32
    public let nanoseconds: UInt32
}

/// While it lives, the kernel counts every program's runs and nanoseconds (kernel 5.8).
public struct RunStatistics: ~Copyable {
    private let descriptor: Descriptor

    public init() throws(BPFError) {
        descriptor = Descriptor(try Kernel.call("count what programs cost") { bpf_enable_stats(BPF_STATS_RUN_TIME) })
    }
}
