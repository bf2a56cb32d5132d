/// Numbers given out from 0 on, each to a holder; a freed one is used again last, so that what still names it has time
/// to go.
struct Slots<Holder> {
    private struct Tenure {
        let holder: Holder
        /// How many held the slot, this one included.
        let number: UInt32
        var isOver = false
    }
    private let limit: UInt32
    private var next: UInt32 = 0
    private var freed: [UInt32] = []
    /// Of each slot the last one.
    private var tenures: [Tenure?] = []

    init(limit: UInt32) { self.limit = limit }

    /// Who holds it; nil: nobody.
    subscript(slot: UInt32) -> Holder? { last(slot).flatMap { $0.isOver ? nil : $0.holder } }

    /// Remembers the slot's holder: `holder(of:tenure:)` tells who that was. 0: nobody holds it.
    func tenure(of slot: UInt32) -> UInt32 { last(slot).map { $0.isOver ? 0 : $0.number } ?? 0 }

    /// Nil: another one has taken the slot since, or nobody had it.
    func holder(of slot: UInt32, tenure: UInt32) -> Holder? {
        last(slot).flatMap { $0.number == tenure ? $0.holder : nil }
    }

    private func last(_ slot: UInt32) -> Tenure? { slot < tenures.count ? tenures[Int(slot)] : nil }

    mutating func take(for holder: Holder) -> UInt32? {
        while next < limit {
            defer { next += 1 }
            if adopt(next, for: holder) { return next }
        }
        guard !freed.isEmpty else { return nil }
        let slot = freed.removeFirst()
        begin(slot, holder)
        return slot
    }

    /// Read back from the kernel. False where it is taken.
    mutating func adopt(_ slot: UInt32, for holder: Holder) -> Bool {
        guard slot < limit, self[slot] == nil else { return false }
        if tenures.count <= slot { tenures += Array(repeating: nil, count: Int(slot) + 1 - tenures.count) }
        freed.removeAll { $0 == slot }
        begin(slot, holder)
        return true
    }

    private mutating func begin(_ slot: UInt32, _ holder: Holder) {
        tenures[Int(slot)] = Tenure(holder: holder, number: (last(slot)?.number ?? 0) &+ 1)
    }

    mutating func free(_ slot: UInt32) {
        guard self[slot] != nil else { return }
        tenures[Int(slot)]?.isOver = true
        if slot < next { freed.append(slot) }
    }
}
