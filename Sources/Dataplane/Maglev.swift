internal import CRemoraABI
internal import Model

/// Maglev's look-up table (Eisenbud et al., NSDI 2016, 3.4): each backend fills slots in an order of its own, in turns,
/// so that all get an equal share and a change of one moves few connections of the others.
struct Maglev {
    static let size = Int(REMORA_MAGLEV_SIZE)

    /// `backends`: their index in the proxy's map, and where they are.
    static func table(_ backends: [(index: UInt16, address: IPv4Address, port: UInt16)]) -> remora_maglev {
        var table = remora_maglev()
        table.backends = UInt16(backends.count)
        guard !backends.isEmpty else { return table }
        let slots = fill(backends)
        withUnsafeMutableBytes(of: &table.slots) { raw in
            let target = raw.bindMemory(to: UInt16.self)
            for (index, slot) in slots.enumerated() { target[index] = slot }
        }
        withUnsafeMutableBytes(of: &table.live) { raw in
            let target = raw.bindMemory(to: UInt16.self)
            for (position, backend) in backends.enumerated() { target[position] = backend.index }
        }
        return table
    }

    private static func fill(_ backends: [(index: UInt16, address: IPv4Address, port: UInt16)]) -> [UInt16] {
        var walks = backends.map { backend -> (at: Int, skip: Int) in
            let name = "\(backend.address):\(backend.port)".utf8
            let first = mixed(fnv1a(name))
            let second = mixed(fnv1a(name, seed: first))
            return (Int(first % UInt64(size)), Int(second % UInt64(size - 1)) + 1)
        }
        var slots = [UInt16?](repeating: nil, count: size)
        var filled = 0
        while true {
            for turn in walks.indices {
                while slots[walks[turn].at] != nil { walks[turn].at = (walks[turn].at + walks[turn].skip) % size }
                slots[walks[turn].at] = backends[turn].index
                filled += 1
                if filled == size { return slots.map { $0 ?? 0 } }
            }
        }
    }

    /// FNV's high bits are weak for short names; this is MurmurHash3's finalizer.
    private static func mixed(_ hash: UInt64) -> UInt64 {
        var hash = (hash ^ hash >> 33) &* 0xff51_afd7_ed55_8ccd
        hash = (hash ^ hash >> 33) &* 0xc4ce_b9fe_1a85_ec53
        return hash ^ hash >> 33
    }
}
