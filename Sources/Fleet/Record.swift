public import Model

extension Fleet {
    /// What the journal keeps: each record says how something is from now on.
    public enum Record: Hashable, Sendable, Codable {
        case instance(put: InstanceRecord)
        case instanceGone(id: InstanceID)
        case vip(service: ServiceID, frontend: ServiceSpec.Frontend)
        case vipReleased(service: ServiceID)
        case policy(service: ServiceID, rules: PolicyRules)
        case policyRemoved(service: ServiceID)
        case declared(declaration: Declaration)
        case undeclared(id: InstanceID)
        /// Nil: back to what the configuration says.
        case mode(scope: ModeScope, mode: Mode?)
    }

    public struct InstanceRecord: Hashable, Sendable, Codable {
        public var id: InstanceID
        public var service: ServiceID
        public var holders: [Holder]
        public var judgement: Judgement
        public var heard: Place?
        public var place: Place?
        public var probe: ProbeResult?
        public var registry: IPAddress?
        public var phase: Phase
        public var carried: Bool
        public var live: Bool
        public var open: Bool
        /// Nil in journals of older agents.
        public var traces: Traces?
    }
}

/// An instance that the operator declares: one that could not be heard, or whose verdict he settles.
public struct Declaration: Hashable, Sendable, Codable {
    public var service: ServiceID
    public var instance: InstanceID
    /// Unknown: the evidence decides.
    public var verdict: Verdict
    /// Where it lives, if the operator says so; otherwise a probe finds out.
    public var place: Place?

    public init(service: ServiceID, instance: InstanceID, verdict: Verdict = .vm, place: Place? = nil) {
        self.service = service
        self.instance = instance
        self.verdict = verdict
        self.place = place
    }
}

/// What a mode is set for. The narrowest holds: service, then port, then all.
public enum ModeScope: Hashable, Sendable, Codable {
    case all
    case port(PortName)
    case service(ServiceID)
}

extension Instance {
    init(restoring record: Fleet.InstanceRecord, at now: Instant) {
        self.init(id: record.id, service: record.service, since: now)
        traces = record.traces ?? traces
        holders = record.holders
        judgement = record.judgement
        heard = record.heard
        place = record.place
        probe = record.probe
        registry = record.registry
        phase = record.phase
        carried = record.carried
        live = record.live
        open = record.open
        recorded = record
    }

    var record: Fleet.InstanceRecord {
        Fleet.InstanceRecord(
            id: id, service: service, holders: holders, judgement: judgement, heard: heard, place: place, probe: probe,
            registry: registry, phase: phase, carried: carried, live: live, open: open,
            traces: traces)
    }
}
