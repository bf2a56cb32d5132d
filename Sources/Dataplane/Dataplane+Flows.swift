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
    func purge(_ instances: Set<InstanceID>) throws(BPFError) -> Int {
        guard !instances.isEmpty else { return 0 }
        var doomed: [remora_flow_key] = []
        var open = 0
        var walk = MapWalk(maps.flows)
        var more = true
        while more {
            more = try walk.next(limit: 8192) { keys, flows in
                for (key, flow) in zip(keys, flows) {
                    let instance = flow.isForward ? flow.backendInstance(network: key.network) : key.sourceInstance
                    guard instances.contains(instance) else { continue }
                    if flow.isForward, flow.isOpen { open += 1 }
                    doomed.append(key)
                }
            }
        }
        for key in doomed { try maps.flows.remove(key) }
        purgedConnections += open
        return open
    }
}

extension remora_flow_key {
    fileprivate var sourceInstance: InstanceID {
        InstanceID(
            network: NetworkID(network), address: .v4(IPv4Address(networkOrder: source)),
            port: UInt16(bigEndian: source_port))
    }
}
