import Model

/// One deadline a key, earliest first: a binary heap that knows where each key stands, so that a key set again takes
/// no second place. Setting, removing and taking one cost O(log n).
struct Timers<Key: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        let key: Key
        let deadline: Instant
    }
    private var heap: [Entry] = []
    private var places: [Key: Int] = [:]

    var count: Int { heap.count }
    /// The earliest deadline and whose it is.
    var first: (key: Key, deadline: Instant)? { heap.first.map { ($0.key, $0.deadline) } }
    func deadline(of key: Key) -> Instant? { places[key].map { heap[$0].deadline } }

    /// Nil: no deadline.
    mutating func set(_ key: Key, _ deadline: Instant?) {
        guard let deadline else { return remove(key) }
        let entry = Entry(key: key, deadline: deadline)
        if let place = places[key] {
            guard heap[place].deadline != deadline else { return }
            heap[place] = entry
            settle(place)
        } else {
            places[key] = heap.count
            heap.append(entry)
            settle(heap.count - 1)
        }
    }

    mutating func remove(_ key: Key) {
        guard let place = places.removeValue(forKey: key) else { return }
        let last = heap.removeLast()
        guard place < heap.count else { return }
        heap[place] = last
        places[last.key] = place
        settle(place)
    }

    /// Takes the earliest one out if its deadline has come.
    mutating func next(due now: Instant) -> Key? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        remove(first.key)
        return first.key
    }

    private mutating func settle(_ start: Int) {
        var place = start
        while place > 0, heap[place].deadline < heap[(place - 1) / 2].deadline {
            swap(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2] where child < heap.count {
                if heap[child].deadline < heap[least].deadline { least = child }
            }
            guard least != place else { return }
            swap(place, least)
            place = least
        }
    }

    private mutating func swap(_ a: Int, _ b: Int) {
        heap.swapAt(a, b)
        places[heap[a].key] = a
        places[heap[b].key] = b
    }
}
