internal import BPFRuntime
internal import CRemoraABI
public import Model

/// A connection as the flow table holds it.
public struct Connection: Sendable, Hashable {
    public enum State: String, Sendable, Codable {
        case halfOpen = "half-open"
        case open
        /// One side said its FIN.
        case closing
        /// Both did, and each was told that it was heard: what is late still passes.
        case closed
        case reset
    }

    /// As its client knows it.
    public var flow: FiveTuple
    public var backend: InstanceID
    /// Of the client, as the backend sees it.
    public var sourcePort: UInt16
    public var service: ServiceID?
    /// Where it came in; nil: it was first seen on its way to the guest.
    public var port: PortName?
    public var state: State
    /// Packets of the client, and of the backend. After 2^32 they begin anew.
    public var sent: UInt32
    public var answered: UInt32
    /// Since the client's last packet; nil: not yet known.
    public var idle: Duration?
}

extension Dataplane {
    /// Up to `limit` connections that the flow table holds now, in no order.
    public func connections(limit: Int) throws(DataplaneError) -> [Connection] {
        try during("read the flow table") { () throws(BPFError) in
            let jiffies = try sweep.now()
            var connections: [Connection] = []
            var answers: [SIMD2<UInt64>: Int] = [:]
            var walk = FlowTable.Walk(maps.flows)
            _ = walk.next(limit: .max) { flow, isLive in
                guard flow.isForward, connections.count < limit else { return }
                answers[flow.answers.words] = connections.count
                connections.append(connection(flow, isLive: isLive, at: jiffies))
            }
            walk = FlowTable.Walk(maps.flows)
            _ = walk.next(limit: .max) { flow, _ in
                guard !flow.isForward, let index = answers[flow.key.words] else { return }
                connections[index].answered = flow.packets
            }
            return connections
        }
    }

    private func connection(_ flow: remora_flow, isLive: Bool, at jiffies: UInt32) -> Connection {
        Connection(
            flow: FiveTuple(flow.key), backend: flow.instance, sourcePort: UInt16(bigEndian: flow.source_port),
            service: slots[UInt32(flow.service)], port: portSlots[UInt32(flow.port)],
            state: isLive ? flow.state : .closed,
            sent: flow.packets, answered: 0, idle: sweep.age(of: flow, at: jiffies))
    }
}

extension remora_flow {
    fileprivate var state: Connection.State {
        if has(REMORA_FLOW_RESET) { return .reset }
        if has(REMORA_FLOW_FIN) || has(REMORA_FLOW_OTHER_FIN) { return .closing }
        return has(REMORA_FLOW_ESTABLISHED) ? .open : .halfOpen
    }

    /// Of the forward direction: the key that its answers come by.
    fileprivate var answers: remora_flow_key {
        var answers = key
        answers.source = address
        answers.destination = key.source
        answers.source_port = destination_port
        answers.destination_port = source_port
        return answers
    }
}

extension remora_flow_key {
    fileprivate var words: SIMD2<UInt64> { unsafeBitCast(self, to: SIMD2<UInt64>.self) }
}
