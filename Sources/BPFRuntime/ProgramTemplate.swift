internal import CLibBPF

#if canImport(Glibc)
    internal import Glibc
#endif

/// One program, opened, relocated and verified once by libbpf, from which many are loaded with maps of their own.
/// Raw loads share the object's BTF and cost no second ELF parse (docs/decisions/0003-one-template-many-loads.md).
public final class ProgramTemplate {
    private let object: ObjectFile
    private let instructions: [bpf_insn]
    /// Map descriptor in the template's instructions -> name of the map, for those that each load replaces.
    private let own: [Int32: String]
    private let types: Int32
    private let functions: FunctionInfo?
    private let program: String
    private static let logBytes = 1 << 20

    /// `object` is loaded; `own` names the maps that every instance has for itself.
    public init(_ object: ObjectFile, program: String, own names: [String]) throws(BPFError) {
        let loaded = try object.find(program: program)
        let count = Int(bpf_program__insn_cnt(loaded))
        instructions = Array(UnsafeBufferPointer(start: bpf_program__insns(loaded), count: count))
        var own: [Int32: String] = [:]
        for name in names {
            guard let map = bpf_object__find_map_by_name(object.object, name) else {
                throw BPFError(code: ENOENT, operation: "find map \(name) in BPF object \(object.name)")
            }
            own[bpf_map__fd(map)] = name
        }
        self.own = own
        self.object = object
        self.program = program
        types = bpf_object__btf_fd(object.object)
        functions = object.functions(of: loaded)
    }

    /// A new map like the template's, with that many entries (nil: as many as the template's).
    public func makeMap<Key, Value>(_ name: String, _: Key.Type, _: Value.Type, entries: Int? = nil) throws(BPFError)
        -> Map<Key, Value>
    {
        guard let model = bpf_object__find_map_by_name(object.object, name) else {
            throw BPFError(code: ENOENT, operation: "find map \(name) in BPF object \(object.name)")
        }
        let fd = try create(name, like: model, entries: entries.map(UInt32.init) ?? bpf_map__max_entries(model))
        return try Map(Descriptor(fd), name: name)
    }

    private func create(_ name: String, like model: OpaquePointer, entries: UInt32) throws(BPFError) -> Int32 {
        var options = bpf_map_create_opts()
        options.sz = MemoryLayout<bpf_map_create_opts>.size
        options.btf_fd = UInt32(types)
        options.btf_key_type_id = bpf_map__btf_key_type_id(model)
        options.btf_value_type_id = bpf_map__btf_value_type_id(model)
        // libbpf makes global data mappable, which costs a page each: these are written once, then frozen
        options.map_flags = bpf_map__map_flags(model) & ~UInt32(BPF_F_MMAPABLE)
        let kernelName = name == ".rodata" ? "settings" : name
        return try Kernel.call("create map \(kernelName)") {
            bpf_map_create(
                bpf_map__type(model), kernelName, bpf_map__key_size(model), bpf_map__value_size(model), entries,
                &options)
        }
    }

    /// The constants of one load, frozen: the verifier takes them for what they are. `values` holds each variable's
    /// bytes; what is not named is zero.
    public func makeConstants(_ values: [String: [UInt8]]) throws(BPFError) -> Descriptor {
        guard let model = bpf_object__find_map_by_name(object.object, ".rodata") else {
            throw BPFError(code: ENOENT, operation: "find .rodata in BPF object \(object.name)")
        }
        var section = [UInt8](repeating: 0, count: Int(bpf_map__value_size(model)))
        for (variable, bytes) in values {
            let offset = try object.offset(ofConstant: variable)
            guard offset + bytes.count <= section.count else {
                throw BPFError(code: EINVAL, operation: "set constant \(variable): it is too long")
            }
            section.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        }
        let fd = try create(".rodata", like: model, entries: 1)
        let map = Descriptor(fd)
        var key: UInt32 = 0
        try Kernel.call("write settings") { bpf_map_update_elem(fd, &key, section, UInt64(BPF_ANY)) }
        try Kernel.call("freeze settings") { bpf_map_freeze(fd) }
        return map
    }

    /// Loads the program with `maps` (by name, all of `own`) in place of the template's.
    public func load(name: String, maps: [String: Int32]) throws(BPFError) -> Program {
        var copy = instructions
        var index = 0
        while index < copy.count {
            let insn = copy[index]
            if insn.code == UInt8(BPF_LD | BPF_IMM | BPF_DW) {
                if insn.src_reg == UInt8(BPF_PSEUDO_MAP_FD) || insn.src_reg == UInt8(BPF_PSEUDO_MAP_VALUE),
                    let mapName = own[insn.imm]
                {
                    guard let fd = maps[mapName] else {
                        throw BPFError(code: ENOENT, operation: "load program \(name): no map \(mapName) was given")
                    }
                    copy[index].imm = fd
                }
                index += 1  // a 64-bit immediate takes two instructions
            }
            index += 1
        }
        return try verify(copy, name: name)
    }

    private func verify(_ instructions: [bpf_insn], name: String) throws(BPFError) -> Program {
        var options = bpf_prog_load_opts()
        options.sz = MemoryLayout<bpf_prog_load_opts>.size
        options.expected_attach_type = remora_tcx_ingress()
        options.prog_btf_fd = UInt32(types)
        options.func_info_rec_size = functions?.recordSize ?? 0
        options.func_info_cnt = functions?.count ?? 0
        func attempt() throws(BPFError) -> Int32 {
            try Kernel.call("load program \(name)") {
                (functions?.records ?? []).withUnsafeBytes {
                    options.func_info = $0.baseAddress
                    return bpf_prog_load(
                        BPF_PROG_TYPE_SCHED_CLS, name, "GPL", instructions, instructions.count, &options)
                }
            }
        }
        do throws(BPFError) { return Program(Descriptor(try attempt()), name: name) } catch {
            // once more with the verifier's words, which are too slow to ask for every time
            let log = UnsafeMutableBufferPointer<CChar>.allocate(capacity: Self.logBytes)
            log.initialize(repeating: 0)
            defer { log.deallocate() }
            options.log_buf = log.baseAddress
            options.log_size = UInt32(log.count)
            options.log_level = 1
            do throws(BPFError) { return Program(Descriptor(try attempt()), name: name) } catch {
                let words = String(decoding: log.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                throw BPFError(code: error.code, operation: error.operation, log: error.log + words)
            }
        }
    }
}
