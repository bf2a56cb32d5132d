internal import Model

/// The newest flow events, for `remora flows`. Bounded; readers follow by cursor and wait for the next.
struct FlowLog {
    static let capacity = 8192
    private var events: [FlowView] = []
    private var head = 0
    private(set) var next: UInt64 = 0

    var first: UInt64 { next - UInt64(events.count) }

    /// Gives the event its cursor.
    mutating func append(_ event: FlowView) {
        var event = event
        event.cursor = next
        next += 1
        if events.count < Self.capacity {
            events.append(event)
        } else {
            events[head] = event
            head = (head + 1) % Self.capacity
        }
    }

    /// From `cursor` on, at most `limit`; nil: the newest.
    func page(from cursor: UInt64?, limit: Int) -> FlowPage {
        let wanted = UInt64(max(0, min(limit, events.count)))
        // a cursor of an earlier run of the agent may lie ahead of this one's
        let asked = cursor.map { $0 > next ? first : $0 } ?? next - min(wanted, next)
        let start = max(asked, first)
        let end = min(next, start + wanted)
        let page = (start..<max(start, end)).map { self[$0] }
        return FlowPage(flows: page, next: end, missed: start - min(asked, start))
    }

    private subscript(cursor: UInt64) -> FlowView { events[(head + Int(cursor - first)) % events.count] }
}
