internal import Model

/// Deadlines, the earliest first: a binary heap. Entries are not taken out early; a generation tells the stale ones.
struct DeadlineQueue {
    private typealias Entry = (deadline: Instant, number: UInt32, generation: UInt64)
    private var heap: [Entry] = []

    var first: Instant? { heap.first?.deadline }

    mutating func push(_ number: UInt32, _ generation: UInt64, at deadline: Instant) {
        heap.append((deadline, number, generation))
        var index = heap.count - 1
        while index > 0, heap[index].deadline < heap[(index - 1) / 2].deadline {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    mutating func pop(due now: Instant) -> (UInt32, UInt64)? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var index = 0
        while true {
            let left = 2 * index + 1
            guard left < heap.count else { return (first.number, first.generation) }
            let isRight = left + 1 < heap.count && heap[left + 1].deadline < heap[left].deadline
            let least = isRight ? left + 1 : left
            guard heap[least].deadline < heap[index].deadline else { return (first.number, first.generation) }
            heap.swapAt(index, least)
            index = least
        }
    }
}
