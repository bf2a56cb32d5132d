internal import Classifier
internal import Dataplane
internal import Fleet
internal import Glibc
internal import Logging
internal import Model
internal import Netlink
internal import Packets
internal import Prober
internal import Registries

/// The agent's engine: owns the data plane, the ear, the fleet and the prober, all on one thread. What the pure rooms
/// decide, this does.
actor Engine {
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    let config: Config
    let log: Logger
    let clock = NodeClock()
    let started: Instant
    var fleet: Fleet
    var plane: Dataplane
    var ear: Ear
    var prober: Prober
    let probes: ProbeSocket?
    var journal: Journal
    /// Not on disk yet, and when they have to be.
    var unwritten: [Fleet.Record] = []
    var writeDue: Instant?
    var netlink: NetlinkSocket
    var random = SystemRandomNumberGenerator()

    /// Devices that match a configured port, by name; and by index, for what the kernel says of them later.
    var links: [PortName: Link] = [:]
    var portTags = PortTags()
    var detached: Set<PortName> = []
    var portProblems: [PortName: String] = [:]
    var alarms = Alarms()
    var flowLog = FlowLog()
    /// Proxies that the pass under way has still to compare with the kernel's.
    var toCompare: [ProxyID] = []
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextWaiter: UInt64 = 0
    var readiness = Readiness()
    var listening = Listening()
    var searches = Search()
    var asked = AskedNeighbours()
    var manners = ProbeManners()
    var overlays: OverlayWatch
    var overlaySocket: OverlaySocket?
    /// Probed from an address that they may have no route to.
    var unroutable: Set<InstanceID> = []
    /// Whose frames a bridge may tell of.
    var addresses: [MACAddress: Set<Search.Host>] = [:]
    var passStarted: Instant
    var flowEntries = 0
    /// Why what the kernel drops after a redirect is not counted; nil: it is.
    var uncounted: String?
    var catalog: (any ContainerCatalog)?
    var rangesTold = false
    var schedule: Schedule
    /// Resumed when the node is to end by itself: everything was detached.
    var ending: CheckedContinuation<Void, Never>?
    var isDetached = false

    /// Opens the journal and the data path: after this the node owns its pins, and has touched no port yet.
    init(_ config: Config, log: Logger) throws(OperationError) {
        self.config = config
        self.log = log
        loop = EventLoop()
        started = clock.now
        schedule = Schedule(at: started)
        passStarted = started
        let opened = try Self.openJournal(config, log)
        fleet = Fleet(settings: config.fleetSettings, restoring: opened.records, at: started)
        journal = opened.journal
        do {
            plane = try Dataplane(config.dataplaneSettings)
            netlink = try NetlinkSocket()
        } catch {
            throw OperationError(.failed, "\(error)", remedy: "`remora doctor` tells what this machine lacks")
        }
        plane.setFlowLimits(
            .init(idle: config.flows.idle, halfOpen: config.flows.halfOpen, closed: config.flows.closed))
        ear = Ear(registries: config.endpoints)
        prober = Prober(settings: config.proberSettings, at: started)
        catalog = config.containers.file.map { ContainersFile($0) }
        overlays = OverlayWatch(config.containers.overlays)
        (manners.never, manners.only) = (config.probe.never, config.probe.only)
        do { probes = config.probe.enabled ? try ProbeSocket() : nil } catch {
            throw OperationError(.failed, "\(error)", remedy: "probing needs CAP_NET_RAW; or set probe.enabled: false")
        }
    }

    private struct Journaled: ~Copyable {
        var journal: Journal
        let records: [Fleet.Record]
    }

    private static func openJournal(_ config: Config, _ log: Logger) throws(OperationError) -> Journaled {
        do {
            try makeDirectory(config.state)
            let opened = try Journal.open(at: config.state + "/journal")
            for notice in opened.notices { log.warning("\(notice)") }
            let records = opened.records
            return Journaled(journal: opened.journal, records: records)
        } catch {
            throw OperationError(
                .failed, "\(error)", remedy: "look at \(config.state): is it writable, is the disk full?")
        }
    }

    private static func makeDirectory(_ path: String) throws {
        var made = ""
        for part in path.split(separator: "/") {
            made += "/" + part
            guard mkdir(made, 0o700) == 0 || errno == EEXIST else {
                throw OperationError(.failed, "make directory \(made): \(String(cString: strerror(errno)))")
            }
        }
    }

    /// Begins to hear, attach and serve; returns when all that was loaded before has been compared with what is wanted.
    func begin() throws(OperationError) {
        do {
            let rings = try plane.openRings(
                frame: { frame in self.hear(frame) },
                flow: { flow in self.flowLog.append(flow) },
                event: { event in self.told(event) })
            loop.watch(rings.adverts) { self.consumeAdverts() }
            loop.watch(rings.events) { self.consumeEvents() }
        } catch { throw OperationError(.failed, "\(error)") }
        countLosses()
        loop.watch(netlink.fd) { self.readNetlink() }
        readOwnAddresses()
        readContainers()
        readAllLinks()
        plane.sweepPorts()
        perform(fleet.portsRead(at: clock.now) + fleet.tick(at: clock.now))
        compareAll()
        loop.setTimer { self.onTimer() }
        log.info(
            "node \(config.node) is up: \(fleet.mode.rawValue), \(plane.attachedPorts.count) ports, \(plane.loadedProxies.count) proxies"
        )
    }

    /// A kernel that refuses is no reason not to carry packets.
    private func countLosses() {
        do { try plane.countLosses() } catch {
            uncounted = "what the kernel drops after a redirect is not counted: \(error.cause)"
            log.warning("\(uncounted ?? "")\(error.log.isEmpty ? "" : "\n\(error.log)")")
        }
    }

    /// Until the node was detached from everything.
    func untilDetached() async {
        if isDetached { return }
        await withCheckedContinuation { ending = $0 }
    }

    func end() {
        run(prober.abandonAll())
        writeRecords()
        ending?.resume()
        ending = nil
        for waiter in waiters.values { waiter.resume() }
        waiters = [:]
    }
}
