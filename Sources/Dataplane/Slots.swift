/// Numbers given out from 0 on, each to a holder; a freed one is used again last, so that what still names it has time
/// to go.
struct Slots<Holder> {
    private let limit: UInt32
    private var next: UInt32 = 0
    private var freed: [UInt32] = []
    private var holders: [Holder?] = []

    init(limit: UInt32) { self.limit = limit }

    /// Who holds it; nil: nobody.
    subscript(slot: UInt32) -> Holder? { slot < holders.count ? holders[Int(slot)] : nil }

    mutating func take(for holder: Holder) -> UInt32? {
        while next < limit {
            defer { next += 1 }
            if adopt(next, for: holder) { return next }
        }
        guard !freed.isEmpty else { return nil }
        let slot = freed.removeFirst()
        holders[Int(slot)] = holder
        return slot
    }

    /// Read back from the kernel. False where it is taken.
    mutating func adopt(_ slot: UInt32, for holder: Holder) -> Bool {
        guard slot < limit, self[slot] == nil else { return false }
        if holders.count <= slot { holders += Array(repeating: nil, count: Int(slot) + 1 - holders.count) }
        holders[Int(slot)] = holder
        return true
    }

    mutating func free(_ slot: UInt32) {
        guard self[slot] != nil else { return }
        holders[Int(slot)] = nil
        if slot < next { freed.append(slot) }
    }
}
