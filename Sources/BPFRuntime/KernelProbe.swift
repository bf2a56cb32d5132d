internal import CLibBPF

#if canImport(Glibc)
    internal import Glibc
#endif

/// Asks the kernel by trying; nothing stays.
public enum KernelProbe {
    /// Makes the smallest ring buffer (kernel 5.8) and lets it go.
    public static func makeRing() throws(BPFError) {
        let page = UInt32(sysconf(Int32(_SC_PAGESIZE)))
        _ = Descriptor(
            try Kernel.call("make a BPF map") { bpf_map_create(BPF_MAP_TYPE_RINGBUF, "remora_probe", 0, 0, page, nil) })
    }

    /// Whether the kernel's type information knows this name: without, no program may call such a function.
    public static func knows(_ name: String) throws(BPFError) -> Bool {
        let types = try Kernel.pointer("read the kernel's BTF") { btf__load_vmlinux_btf() }
        defer { btf__free(types) }
        return btf__find_by_name(types, name) > 0
    }
}

/// Of the calling thread's network namespace (SO_NETNS_COOKIE of socket(7), kernel 5.14): no other ever had it, or will.
public func namespaceCookie() throws(BPFError) -> UInt64 {
    let operation = "read the network namespace's cookie"
    let any = Descriptor(
        try Kernel.call(operation) {
            socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        })
    var cookie: UInt64 = 0
    var length = socklen_t(MemoryLayout<UInt64>.size)
    let fd = any.raw
    try Kernel.call(operation) { getsockopt(fd, SOL_SOCKET, remora_netns_cookie(), &cookie, &length) }
    return cookie
}
