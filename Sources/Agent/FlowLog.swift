internal import Dataplane
internal import Model

/// The newest flow events, for `remora flows`. Bounded; readers follow by cursor and wait for the next.
struct FlowLog {
    static let capacity = 8192
    private var events: [FlowEvent] = []
    private var head = 0
    private(set) var next: UInt64 = 0

    var first: UInt64 { next - UInt64(events.count) }

    mutating func append(_ event: FlowEvent) {
        next += 1
        if events.count < Self.capacity {
            events.append(event)
        } else {
            events[head] = event
            head = (head + 1) % Self.capacity
        }
    }

    /// From `cursor` on, at most `limit`; nil: the newest.
    func page(
        from cursor: UInt64?, limit: Int, view: (_ event: FlowEvent, _ cursor: UInt64) -> FlowView?
    ) -> FlowPage {
        let wanted = UInt64(max(0, min(limit, events.count)))
        // a cursor of an earlier run of the agent may lie ahead of this one's
        let asked = cursor.map { $0 > next ? first : $0 } ?? next - min(wanted, next)
        let start = max(asked, first)
        let end = min(next, start + wanted)
        let page = (start..<max(start, end)).compactMap { view(self[$0], $0) }
        return FlowPage(flows: page, next: end, missed: start - min(asked, start))
    }

    private subscript(cursor: UInt64) -> FlowEvent { events[(head + Int(cursor - first)) % events.count] }
}

extension ConnectionView {
    init(_ connection: Connection) {
        let flow = connection.flow
        self.init(
            network: flow.network, client: "\(flow.source):\(flow.sourcePort)",
            frontend: "\(flow.destination):\(flow.destinationPort)",
            backend: "\(connection.backend.address):\(connection.backend.port)", sourcePort: connection.sourcePort,
            service: connection.service?.description, port: connection.port?.description,
            state: connection.state.rawValue, sentPackets: connection.sent, answeredPackets: connection.answered,
            idleSeconds: connection.idle.map { Int($0.components.seconds) })
    }
}

extension FlowView {
    init(_ event: DataplaneEvent, cursor: UInt64, by clock: NodeClock) {
        let kind: Kind =
            switch event.kind {
            case .opened: .opened
            case .closed: .closed
            default: .dropped
            }
        self.init(
            cursor: cursor, time: clock.instant(monotonic: event.time), kind: kind, reason: Reason.name(event.reason),
            network: event.flow.network, source: "\(event.flow.source):\(event.flow.sourcePort)",
            destination: "\(event.flow.destination):\(event.flow.destinationPort)",
            backend: event.kind == .dropped ? nil : "\(event.backend):\(event.backendPort)",
            service: event.service?.description, port: event.port?.description)
    }
}
