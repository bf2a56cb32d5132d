/// Numbers given out from 0 on; a freed one is used again last, so that what still names it has time to go.
struct Slots {
    private let limit: UInt32
    private var next: UInt32 = 0
    private var freed: [UInt32] = []
    private var taken: Set<UInt32> = []

    init(limit: UInt32) { self.limit = limit }

    mutating func take() -> UInt32? {
        while next < limit {
            defer { next += 1 }
            if taken.insert(next).inserted { return next }
        }
        guard !freed.isEmpty else { return nil }
        let slot = freed.removeFirst()
        taken.insert(slot)
        return slot
    }

    /// Read back from the kernel. False where it is taken.
    mutating func adopt(_ slot: UInt32) -> Bool { slot < limit && taken.insert(slot).inserted }

    mutating func free(_ slot: UInt32) {
        if taken.remove(slot) != nil, slot < next { freed.append(slot) }
    }
}
