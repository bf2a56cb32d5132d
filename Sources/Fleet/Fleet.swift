internal import Classifier
public import Model

/// Which services there are, which of them run in VMs here, and what proxies they should have. Pure: every input is a
/// value, takes the time as one, and returns what is to be done; nothing here asks a clock, a kernel or a socket.
///
/// The work of one input is bounded by what it is about: a heartbeat is one look-up whatever the number of instances.
/// After `init` call `tick` once: it returns the loads and probes that what was restored asks for.
public struct Fleet: Sendable {
    public let settings: Settings

    var instances: [InstanceID: Instance] = [:]
    var leases: [LeaseKey: Lease] = [:]
    var policies: [ServiceID: PolicyRules] = [:]
    var declarations: [InstanceID: Declaration] = [:]
    var containers: ContainerKnowledge
    /// Judged by a container list that was too old: a newer one may tell.
    var awaitingList: Set<InstanceID> = []
    var ports: [PortName: Port] = [:]
    var vips: VIPs
    var vipProblems: [ServiceID: String] = [:]
    /// Set by the operator at run time; nil: as the configuration says.
    var nodeMode: Mode?
    var portModes: [PortName: Mode] = [:]
    var serviceModes: [ServiceID: Mode] = [:]

    // Indexes, so that no input walks all instances.
    var byHost: [HostID: Set<InstanceID>] = [:]
    /// Where an address was bound by its own registrations: port and MAC agree with it from then on.
    var bindings: [HostID: Place] = [:]
    var byPort: [PortName: Set<InstanceID>] = [:]
    var servicesByPort: [PortName: [ServiceID: Int]] = [:]
    /// Every instance that carries or names the service.
    var byService: [ServiceID: Set<InstanceID>] = [:]
    var byRegistration: [RegistrationKey: [IPAddress: InstanceID]] = [:]
    /// Consul: leases by further checks that renew them.
    var checks: [LeaseKey: LeaseKey] = [:]
    var draining: Set<InstanceID> = []
    /// How often each verdict was reached.
    public internal(set) var verdictsReached: [Verdict: UInt64] = [:]
    /// How many instances each machine has at each of its addresses.
    var machines: [MachineID: [IPAddress: Int]] = [:]
    /// Which machine last had an address; outlives its instances.
    var lastMachines = BoundedTable<HostID, MACAddress>(capacity: Settings.remembered)

    var timers = Timers<Timer>()
    var workloadTable: SharedTable<HostID, Asker>
    var refusalTable: SharedTable<RefusalKey, Refusal>
    /// When an instance lately went away, for damping; outlives it.
    var departures = BoundedTable<InstanceID, [Instant]>(capacity: Settings.remembered)
    /// What an address said from elsewhere, until a probe has told whether it moved there.
    var waiting = BoundedTable<HostID, Hearing>(capacity: Settings.waiting)
    var allowances: [PortName: Allowance] = [:]

    // What the data plane was told.
    var groupOf: [ServiceID: Group] = [:]
    var groups: [Group: Set<ServiceID>] = [:]
    var emittedOf: [Group: Set<ProxyID>] = [:]
    var emitted: [ProxyID: ProxySpec] = [:]
    var statuses: [ProxyID: ProxyStatus] = [:]

    // The input at hand: what it touched, and what comes of it. Empty between inputs.
    var touched: Set<InstanceID> = []
    /// Their evidence changed by what became of another instance.
    var doubtful: Set<InstanceID> = []
    var dirty: Set<ServiceID> = []
    var probes: [ProbeRequest] = []
    var records: [Record] = []
    var purges: [InstanceID] = []

    struct Port: Sendable {
        var role: PortRole
        var network: NetworkID
        var up: Bool
        var mode: Mode?
    }

    enum Timer: Hashable, Sendable {
        case instance(InstanceID)
        case lease(LeaseKey)
    }

    /// - Parameters:
    ///   - restoring: the journal's records, oldest first.
    ///   - now: from here the grace of what is restored is counted.
    public init(settings: Settings, restoring: [Record] = [], at now: Instant) {
        self.settings = settings
        containers = ContainerKnowledge()
        containers.hasNetwork = settings.containerNetworkKnown
        containers.maxAge = settings.containerListMaxAge
        containers.mustConfirm = settings.containerListConfirms
        vips = VIPs(ranges: settings.vipRanges, idleLimit: settings.idleVIPs, share: settings.servicesPerPort)
        workloadTable = SharedTable(share: settings.workloadsPerPort)
        refusalTable = SharedTable(share: settings.refusalsPerPort)
        restore(restoring, at: now)
    }

    /// What became due. The cost is that of what is due.
    public mutating func tick(at now: Instant) -> [Action] {
        while let timer = timers.next(due: now) {
            switch timer {
            case .instance(let id): due(id, at: now)
            case .lease(let key): lapse(key, at: now)
            }
        }
        return finish(at: now)
    }

    /// When `tick` has something to do next; nil: not before another input.
    public var nextDeadline: Instant? { timers.first?.deadline }

    /// Brings every touched instance to rest, its service's proxies with it, and hands over what is to be done.
    mutating func finish(at now: Instant) -> [Action] {
        while !touched.isEmpty {
            let ids = touched
            touched.removeAll(keepingCapacity: true)
            for id in ids { settle(id, at: now) }
            // What became of one may be evidence on others: once each, for nothing of these changes an index again.
            let others = doubtful
            doubtful.removeAll(keepingCapacity: true)
            for id in others { judge(id, at: now) }
        }
        let (loads, unloads) = emit(at: now)
        defer {
            probes.removeAll(keepingCapacity: true)
            records.removeAll(keepingCapacity: true)
            purges.removeAll(keepingCapacity: true)
        }
        return probes.map(Action.probe) + records.map(Action.record) + loads.map(Action.load)
            + unloads.map(Action.unload) + purges.map(Action.purge)
    }

    mutating func update(_ id: InstanceID, _ change: (inout Instance) -> Void) {
        guard var instance = instances[id] else { return }
        change(&instance)
        instances[id] = instance
        touched.insert(id)
    }
}
