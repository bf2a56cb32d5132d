internal import CLibBPF

#if canImport(Glibc)
    internal import Glibc
#endif

/// A BPF map whose keys and values are structs of the ABI header.
public final class Map<Key: BitwiseCopyable, Value: BitwiseCopyable>: Sendable {
    public let name: String
    public let descriptor: Descriptor
    /// Values of a per-CPU map come as one for each possible CPU.
    public let capacity: Int

    /// Takes the descriptor over. The kernel's sizes must be the structs': another version's map is refused.
    public init(_ descriptor: consuming Descriptor, name: String) throws(BPFError) {
        var info = bpf_map_info()
        var length = UInt32(MemoryLayout<bpf_map_info>.size)
        let fd = descriptor.raw
        try Kernel.call("read what map \(name) is") { bpf_obj_get_info_by_fd(fd, &info, &length) }
        guard info.key_size == MemoryLayout<Key>.size, info.value_size == MemoryLayout<Value>.stride else {
            throw BPFError(
                code: EINVAL,
                operation: "use map \(name): it has \(info.key_size)+\(info.value_size) bytes an entry and this"
                    + " version needs \(MemoryLayout<Key>.size)+\(MemoryLayout<Value>.stride); detach the old one first"
            )
        }
        self.name = name
        self.descriptor = descriptor
        capacity = Int(info.max_entries)
    }

    public subscript(key: Key) -> Value? {
        get throws(BPFError) {
            var key = key
            return try withUnsafeTemporaryAllocation(of: Value.self, capacity: 1) { buffer throws(BPFError) in
                let found = try Kernel.find("look up in map \(name)") {
                    bpf_map_lookup_elem(descriptor.raw, &key, buffer.baseAddress)
                }
                return found ? buffer[0] : nil
            }
        }
    }

    public func set(_ key: Key, _ value: Value) throws(BPFError) {
        var key = key
        var value = value
        try Kernel.call("write to map \(name)") {
            bpf_map_update_elem(descriptor.raw, &key, &value, UInt64(BPF_ANY))
        }
    }

    /// False where there was none.
    @discardableResult
    public func remove(_ key: Key) throws(BPFError) -> Bool {
        var key = key
        return try Kernel.find("delete from map \(name)") { bpf_map_delete_elem(descriptor.raw, &key) }
    }

    /// Every key, in no order. Entries that come or go meanwhile may be missed or seen twice.
    public func keys() throws(BPFError) -> [Key] {
        var keys: [Key] = []
        let next = UnsafeMutablePointer<Key>.allocate(capacity: 1)
        defer { next.deallocate() }
        var current: Key?
        while keys.count <= capacity {
            let found = try Kernel.find("walk map \(name)") {
                guard var key = current else { return bpf_map_get_next_key(descriptor.raw, nil, next) }
                return bpf_map_get_next_key(descriptor.raw, &key, next)
            }
            guard found else { break }
            current = next.pointee
            keys.append(next.pointee)
        }
        return keys
    }

    /// One value for each possible CPU.
    public func perCPU(_ key: Key) throws(BPFError) -> [Value] {
        let count = Int(libbpf_num_possible_cpus())
        var key = key
        return try withUnsafeTemporaryAllocation(of: Value.self, capacity: count) { buffer throws(BPFError) in
            let found = try Kernel.find("look up in map \(name)") {
                bpf_map_lookup_elem(descriptor.raw, &key, buffer.baseAddress)
            }
            return found ? Array(buffer) : []
        }
    }

    /// The same value on every CPU.
    public func setPerCPU(_ key: Key, _ value: Value) throws(BPFError) {
        var key = key
        let values = [Value](repeating: value, count: Int(libbpf_num_possible_cpus()))
        try Kernel.call("write to map \(name)") {
            values.withUnsafeBytes { bpf_map_update_elem(descriptor.raw, &key, $0.baseAddress, UInt64(BPF_ANY)) }
        }
    }

    /// Nothing may be written any more, from user space or a program: the verifier takes the values for constants.
    public func freeze() throws(BPFError) {
        try Kernel.call("freeze map \(name)") { bpf_map_freeze(descriptor.raw) }
    }

    public func pin(at path: String) throws(BPFError) {
        try Kernel.call("pin map \(name) at \(path)") { bpf_obj_pin(descriptor.raw, path) }
    }
}

/// A map, whatever its entries are.
public func pin(_ map: borrowing Descriptor, at path: String) throws(BPFError) {
    let fd = map.raw
    try Kernel.call("pin map at \(path)") { bpf_obj_pin(fd, path) }
}

/// CPUs that per-CPU values have room for.
public func possibleProcessors() -> Int { max(1, Int(libbpf_num_possible_cpus())) }
