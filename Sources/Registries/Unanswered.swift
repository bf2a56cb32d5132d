import Model

/// Requests whose answer has not passed yet, in their order. Bounded: the oldest has waited for longest.
struct Unanswered<Request> {
    struct Entry {
        var request: Request
        var origin: Origin
        fileprivate var deadline: Instant
    }

    let most: Int
    let patience: Duration
    private(set) var entries: [Entry] = []

    init(most: Int, patience: Duration) {
        self.most = max(1, most)
        self.patience = patience
    }

    /// When the first has waited for long enough.
    var deadline: Instant? { entries.first?.deadline }

    /// - Returns: what had to go for it.
    mutating func add(_ request: Request, from origin: Origin) -> Entry? {
        let evicted = entries.count >= most ? entries.removeFirst() : nil
        entries.append(Entry(request: request, origin: origin, deadline: origin.time + patience))
        return evicted
    }

    /// The first that fits.
    mutating func take(where fits: (Request) -> Bool) -> Entry? {
        entries.firstIndex { fits($0.request) }.map { entries.remove(at: $0) }
    }

    /// All that fit.
    mutating func takeAll(where fits: (Request) -> Bool = { _ in true }) -> [Entry] {
        let fitting = entries.filter { fits($0.request) }
        entries.removeAll { fits($0.request) }
        return fitting
    }

    /// Up to the first that is the last of them, those that fit; none where there is no such.
    mutating func takeAll(through isLast: (Request) -> Bool, where fits: (Request) -> Bool) -> [Entry] {
        guard let last = entries.firstIndex(where: { isLast($0.request) }) else { return [] }
        let fitting = entries[...last].filter { fits($0.request) }
        entries = entries[...last].filter { !fits($0.request) } + entries[(last + 1)...]
        return fitting
    }

    /// What has waited for long enough.
    mutating func overdue(at now: Instant) -> [Entry] {
        let late = Array(entries.prefix { $0.deadline <= now })
        entries.removeFirst(late.count)
        return late
    }
}
