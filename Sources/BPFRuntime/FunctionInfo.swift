internal import CLibBPF
internal import Synchronization

/// Which functions a program consists of, as libbpf tells the kernel: with it global ones are verified once, and not once
/// for each call and state of its caller. libbpf 1.1 hands it out to the handler of a section alone, as it loads.
struct FunctionInfo: Sendable {
    /// Of struct bpf_func_info.
    let records: [UInt8]
    let recordSize: UInt32
    let count: UInt32

    /// The library's struct may be shorter than the header's: no more of it is read than these.
    private init(_ options: UnsafePointer<bpf_prog_load_opts>) {
        recordSize = options.pointee.func_info_rec_size
        count = options.pointee.func_info_cnt
        let start = options.pointee.func_info
        records = Array(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(count * recordSize)))
    }

    /// By the program's address, between its load and `take`.
    private static let heard = Mutex<[UInt: FunctionInfo]>([:])

    /// Zero, or why nothing is heard, as a negative error number. Once for the process, before any object is opened:
    /// registering is not safe for threads.
    static let listening: Int32 = {
        var options = libbpf_prog_handler_opts()
        options.sz = MemoryLayout<libbpf_prog_handler_opts>.size
        options.prog_prepare_load_fn = { program, options, _ in
            guard let program, let options else { return 0 }
            let info = FunctionInfo(options)
            heard.withLock { $0[UInt(bitPattern: program)] = info }
            return 0
        }
        // one program array takes one attach type: all are loaded with the same
        return min(0, libbpf_register_prog_handler("tc", BPF_PROG_TYPE_SCHED_CLS, remora_tcx_ingress(), &options))
    }()

    static func take(_ program: OpaquePointer) -> FunctionInfo? {
        heard.withLock { $0.removeValue(forKey: UInt(bitPattern: program)) }
    }
}
