internal import BPFRuntime
internal import CRemoraABI
public import Model

extension Dataplane {
    /// One slice of the flow table's ageing; what a finished pass found, or nil.
    public func sweepFlows(limit: Int = 8192, now: ContinuousClock.Instant = .now) throws(DataplaneError)
        -> FlowSweep.Pass?
    {
        try during("age the flow table") { () throws(BPFError) in try sweep.step(limit: limit, now: now) }
    }

    public func setFlowLimits(_ limits: FlowSweep.Limits) { sweep.limits = limits }
    public func restartSweep() { sweep.restart() }

    /// Deletes every flow to a dead instance, both directions; the number of connections.
    @discardableResult
    public func purge(_ instance: InstanceID) throws(DataplaneError) -> Int {
        guard let address = instance.address.v4?.networkOrder else { return 0 }
        let port = instance.port.bigEndian
        var doomed: [remora_flow_key] = []
        var connections = 0
        return try during("purge the flows of \(instance)") { () throws(BPFError) in
            var walk = MapWalk(maps.flows)
            var more = true
            while more {
                more = try walk.next(limit: 8192) { key, flow in
                    guard key.network == instance.network.number else { return }
                    if flow.direction == UInt8(REMORA_FORWARD.rawValue) {
                        guard flow.destination == address, flow.destination_port == port else { return }
                        connections += 1
                    } else {
                        guard key.source == address, key.source_port == port else { return }
                    }
                    doomed.append(key)
                }
            }
            for key in doomed { try maps.flows.remove(key) }
            return connections
        }
    }
}
