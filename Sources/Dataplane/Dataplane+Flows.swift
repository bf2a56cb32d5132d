internal import BPFRuntime
internal import CRemoraABI
public import Model

extension Dataplane {
    /// One slice of the flow table's ageing, a larger one where the table fills up; what a finished pass found, or nil.
    public func sweepFlows(limit: Int = 2048, now: ContinuousClock.Instant = .now) throws(DataplaneError)
        -> FlowSweep.Pass?
    {
        try during("age the flow table") { () throws(BPFError) in
            try sweep.step(limit: sweep.isPressed ? 8 * limit : limit, now: now)
        }
    }

    public func setFlowLimits(_ limits: FlowSweep.Limits) { sweep.limits = limits }
    public func restartSweep() { sweep.restart() }

    /// Deletes every flow to an instance that is dead or carried no longer, both directions: a claim that outlived its
    /// proxy would translate the guest's answers to somebody else. The number of connections that were open.
    @discardableResult
    public func purge(_ instance: InstanceID) throws(DataplaneError) -> Int {
        try during("purge the flows of \(instance)") { () throws(BPFError) in try purge([instance]) }
    }

    @discardableResult
    func purge(_ instances: Set<InstanceID>, sparing isSpared: (remora_flow) -> Bool = { _ in false })
        throws(BPFError) -> Int
    {
        guard !instances.isEmpty else { return 0 }
        var doomed: [remora_flow_key] = []
        var open = 0
        var walk = FlowTable.Walk(maps.flows)
        _ = walk.next(limit: .max) { flow, _ in
            guard instances.contains(flow.instance), !isSpared(flow) else { return }
            if flow.isForward, flow.isOpen { open += 1 }
            doomed.append(flow.key)
        }
        try maps.flows.remove(doomed)
        purgedConnections += open
        return open
    }
}
