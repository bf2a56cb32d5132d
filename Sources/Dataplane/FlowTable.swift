internal import BPFRuntime
internal import CRemoraABI

/// The node's flow table (BPF/lib/table.h). The programs write it; the agent reads it in its own memory, and has
/// programs delete from it.
final class FlowTable {
    private let sets: Map<UInt32, remora_flow_set>
    private let entries: MappedArray<remora_flow>
    let tags: MappedArray<remora_flow_tags>
    private let forgetting: Program
    let purging: Program

    static let ways = Int(REMORA_FLOW_WAYS)

    /// How many sets a table has, each number a power of two. Behind are twice the slots of what must fit: no two sets of
    /// a key are full before seven tenths of all are taken (two choices: Azar et al., SIAM J. Comput. 29, 1999).
    struct Shape: Equatable {
        let front: Int
        let back: Int

        init(capacity: Int) {
            var back = 2
            while back * FlowTable.ways < 2 * capacity { back *= 2 }
            self.init(back: back)
        }

        /// Nil: no table of ours has that many.
        init?(sets: Int) {
            guard sets > 2 else { return nil }
            self.init(back: 1 << (sets.bitWidth - 1 - sets.leadingZeroBitCount))
            guard self.sets == sets else { return nil }
        }

        private init(back: Int) {
            self.back = back
            front = min(max(1, back / 16), Self.mostAtFront)
        }

        var sets: Int { front + back }
        /// 4,096 entries: 256 KiB, which a processor's own cache holds.
        private static let mostAtFront = 512
    }

    let shape: Shape

    init(_ object: ObjectFile) throws(BPFError) {
        sets = try object.map("flows", UInt32.self, remora_flow_set.self)
        let tagMap = try object.map("flow_tags", UInt32.self, remora_flow_tags.self)
        guard let shape = Shape(sets: sets.capacity), tagMap.capacity == shape.sets else {
            throw BPFError.wrongVersion(
                "use the pinned flow table: it has \(sets.capacity) sets and tags for \(tagMap.capacity);"
                    + " run `remora detach --all` first")
        }
        self.shape = shape
        entries = try MappedArray(sets, of: remora_flow.self)
        tags = try MappedArray(tagMap, of: remora_flow_tags.self)
        forgetting = try object.program("forget")
        purging = try object.program("purge")
    }

    var name: String { sets.name }
    /// Entries that fit for certain.
    var capacity: Int { shape.back * Self.ways / 2 }

    /// What is over, but for what a packet has touched since it was looked at: its port may be in use again.
    /// - Returns: connections that went.
    func forget(_ stale: [remora_stale_flow]) throws(BPFError) -> Int { try run(forgetting, on: stale) }

    /// - Returns: entries that went.
    @discardableResult
    func remove(_ keys: [remora_flow_key]) throws(BPFError) -> Int { try run(purging, on: keys) }

    private func run<Item: BitwiseCopyable>(_ program: Program, on items: [Item]) throws(BPFError) -> Int {
        let most = Int(REMORA_STALE_FLOWS)
        var gone = 0
        for start in stride(from: 0, to: items.count, by: most) {
            let slice = items[start..<min(start + most, items.count)]
            gone += Int(try program.testRun(slice.withUnsafeBytes { Array($0) }).verdict)
        }
        return gone
    }

    /// Every entry, in no order.
    var all: [remora_flow] {
        var found: [remora_flow] = []
        var walk = Walk(self)
        _ = walk.next(limit: .max) { flow, _ in found.append(flow) }
        return found
    }

    /// Goes over the table, a bounded number of entries at a time and as many free slots as lie between: these cost next
    /// to nothing. Entries that come or go meanwhile may be missed.
    struct Walk {
        private let table: FlowTable
        private var set = 0

        init(_ table: FlowTable) { self.table = table }

        /// Shows `visit` about `limit` entries, and whether each is live: a new flow may take the slot of one that is over.
        /// False when the table's end was reached.
        mutating func next(limit: Int, _ visit: (_ flow: remora_flow, _ isLive: Bool) -> Void) -> Bool {
            var left = limit
            while set < table.tags.count, left > 0 {
                var tags = table.tags[set].ways
                var slot = set * FlowTable.ways
                while tags != 0 {
                    let free = tags.trailingZeroBitCount / 8
                    tags >>= UInt64(8 * free)
                    slot += free
                    let flow = table.entries[slot]
                    let tag = tags & 0xff
                    if tag != UInt64(REMORA_FLOW_LIVE), flow.key.protocol != 0 {  // nobody was writing there
                        visit(flow, tag & UInt64(REMORA_FLOW_LIVE) != 0)
                        left -= 1
                    }
                    tags >>= 8
                    slot += 1
                }
                set += 1
            }
            return set < table.tags.count
        }
    }
}
