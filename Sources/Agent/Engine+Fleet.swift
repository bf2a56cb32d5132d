internal import Classifier
internal import Dataplane
internal import Fleet
internal import Model
internal import Registries

/// What the fleet decides, done: probes, records, loads, unloads, purges.
extension Engine {
    /// Records are on disk before anything is loaded by them; those by which nothing is loaded wait for a few
    /// milliseconds, so that the answer to a probe is not kept waiting for the disk.
    func perform(_ actions: [Fleet.Action]) {
        var touchesPlane = false
        for action in actions {
            switch action {
            case .record(let record): unwritten.append(record)
            case .load, .unload, .purge: touchesPlane = true
            case .probe: break
            }
        }
        if !unwritten.isEmpty { writeDue = writeDue ?? clock.now + Self.writeDelay }
        for action in actions { if case .probe(let request) = action { probe(request) } }
        if touchesPlane { writeRecords() }
        for action in actions {
            switch action {
            case .load(let spec): load(spec)
            case .unload(let id): unload(id)
            case .purge(let instance): purge(instance)
            case .probe, .record: break
            }
        }
    }
    private static let writeDelay: Duration = .milliseconds(5)

    func writeRecords() {
        writeDue = nil
        guard !unwritten.isEmpty else { return }
        let records = unwritten
        unwritten = []
        do {
            try journal.append(records)
            alarms.clear("journal")
        } catch {
            raise("journal", "\(error)", remedy: "what changes now is not remembered over a restart")
        }
    }

    func load(_ spec: ProxySpec) {
        guard !isDetached else { return }
        let now = clock.now
        do {
            let applied = try plane.apply(spec)
            noteAddresses(of: spec)
            alarms.clear("proxy \(spec.id)")
            fleet.loaded(spec.id, at: now)
            if applied == .unchanged { return }
            let waited = readiness.carries(spec, at: NodeClock.monotonic)
            log.info(
                "proxy \(spec.id) \(applied.words)",
                metadata: waited.map { ["registrationToProxyMilliseconds": "\($0)"] } ?? [:])
        } catch {
            fleet.loadFailed(spec.id, "\(error)", at: now)
            raise("proxy \(spec.id)", "\(error)", remedy: "it is tried again every 10 s")
            if !error.log.isEmpty { log.error("\(error.log)") }
        }
    }

    private func unload(_ id: ProxyID) {
        do {
            try plane.remove(id)
            readiness.forget(id)
            alarms.clear("proxy \(id)")
            log.info("proxy \(id) unloaded")
        } catch { raise("proxy \(id)", "\(error)", remedy: "it is tried again every 10 s") }
    }

    private func purge(_ instance: InstanceID) {
        do {
            try plane.purge(instance)
            log.info("\(instance) is dead: its flows are purged, \(plane.purgedConnections) open ones so far")
        } catch { raise("flows of \(instance)", "\(error)") }
    }

    func raise(_ subject: String, _ message: String, remedy: String? = nil) {
        if alarms.raise(subject, message, remedy: remedy) {
            log.error("\(message)", metadata: ["subject": "\(subject)"])
        }
    }

    /// What is wanted against what is loaded: loads what is missing or different, unloads what nothing wants. What an
    /// earlier run loaded and the journal does not know is left its grace. All of it at once.
    func compareAll() {
        beginComparison()
        compareSome(for: .max)
    }

    private func beginComparison() {
        toCompare = fleet.wantedIDs.union(plane.loadedProxies).sorted(by: >)
    }

    /// Of a comparison: reading a thousand proxies back from the kernel would keep frames waiting.
    private static let compareSlice: UInt64 = 750_000

    /// A slice of the comparison under way, of about this many nanoseconds.
    private func compareSome(for nanoseconds: UInt64) {
        guard !isDetached else { return }
        let start = NodeClock.monotonic
        while NodeClock.monotonic - start < nanoseconds, let id = toCompare.popLast() {
            if let spec = fleet.wanted(id) {
                load(spec)
            } else if plane.loadedProxies.contains(id), clock.now - started >= fleet.settings.restoreGrace {
                unload(id)
            }
        }
    }

    /// Which guests' frames a bridge's news may be about.
    private func noteAddresses(of spec: ProxySpec) {
        for backend in spec.services.flatMap(\.backends) {
            addresses[backend.mac, default: []].insert(.init(network: spec.id.network, address: .v4(backend.address)))
        }
    }

    // MARK: hearing

    func consumeAdverts() { plane.consumeAdverts() }

    func hear(_ frame: CopiedFrame) {
        if frame.isProbes { return probeSpokenTo(frame) }
        let now = clock.instant(monotonic: frame.time)
        let heard = ear.hear(
            frame.bytes, vlan: frame.vlan, network: frame.network, source: portTags.tag(frame.port), at: now)
        take(heard, frameTime: frame.time)
        noteEncrypted()
        for stream in ear.takeIgnored() { plane.ignore(stream) }
    }

    /// `frameTime`: of the frame that settled it, on the monotonic clock; nil for a time-out.
    func take(_ heard: [Heard], frameTime: UInt64?) {
        for one in heard {
            guard let port = portTags.name(one.port), let rule = config.port(matching: port) else { continue }
            let hearing = Hearing(
                advertisement: one.advertisement, network: one.network, port: port, role: rule.role,
                sourceMAC: one.sourceMAC, source: one.source, vlan: vlan(of: one.network, on: port),
                hopLimit: one.hopLimit, time: one.time)
            let registered = frameTime.flatMap { noteRegistration(hearing, at: $0) }
            listening.heard(one.advertisement, in: one.network, at: one.time)
            if one.advertisement.op == .register { readContainers() }
            log.debug("heard \(one.advertisement.op.rawValue) from \(one.source) on \(port)")
            perform(fleet.heard(hearing, at: clock.now))
            if let registered { noteVerdict(on: registered) }
        }
    }

    /// What was registered.
    private func noteRegistration(_ hearing: Hearing, at time: UInt64) -> InstanceID? {
        let said = hearing.advertisement
        guard said.op == .register, said.accepted == true, let port = said.port.flatMap(UInt16.init(exactly:)), port > 0
        else { return nil }
        let address = said.address.flatMap { IPAddress($0) } ?? hearing.source
        let instance = InstanceID(network: hearing.network, address: address, port: port)
        readiness.registered(instance, at: time, isNew: fleet.verdict(of: instance) == nil)
        return instance
    }

    /// Settled now, if it was not before.
    func noteVerdict(on instance: InstanceID) {
        guard let verdict = fleet.verdict(of: instance), verdict != .unknown else { return }
        readiness.judged(instance, at: NodeClock.monotonic)
    }

    // MARK: time

    /// Does what is due; how long the loop may wait for the next.
    func onTimer() -> Duration? {
        let now = clock.now
        for task in schedule.take(at: now) { run(task, at: now) }
        if let deadline = prober.nextDeadline, deadline <= now { run(prober.advance(at: now)) }
        if let deadline = fleet.nextDeadline, deadline <= now {
            consumeAdverts()  // a keep-alive that waits in the ring came before its lease's end
            perform(fleet.tick(at: now))
        }
        giveUpSearches(at: now)
        if let writeDue, writeDue <= now { writeRecords() }
        let next = [schedule.next, prober.nextDeadline, fleet.nextDeadline, overlays.until, writeDue].compactMap { $0 }
            .min()
        return next.map { max(.milliseconds(1), $0 - clock.now) }
    }

    private func run(_ task: Schedule.Task, at now: Instant) {
        switch task {
        case .listen: take(ear.tick(at: now), frameTime: nil)
        case .events: consumeEvents()
        case .flows: ageFlows(at: now)
        case .containers: readContainers()
        case .reconcile:
            readOwnAddresses()
            readAllLinks()
            if toCompare.isEmpty { beginComparison() }
            compactJournal()
        case .compare: compareSome(for: Self.compareSlice)
        }
    }

    private func ageFlows(at now: Instant) {
        do {
            // a draining instance is asked for at every pass: nothing counted before it began to drain may count
            guard let pass = try plane.sweepFlows() else { return }
            flowEntries = pass.entries
            alarms.clear("flows")
            perform(fleet.openFlows(pass.open, at: passStarted))
            passStarted = now
        } catch { raise("flows", "\(error)") }
        warnOfPressure()
    }

    private func warnOfPressure() {
        for map in plane.pressure(flows: flowEntries) {
            if map.entries * 10 >= map.capacity * 9 {
                raise(
                    "map \(map.name)", "map \(map.name) holds \(map.entries) of \(map.capacity) entries",
                    remedy: map.name == "flows" ? "raise flows.max, or find who opens so many" : "split the node")
            } else {
                alarms.clear("map \(map.name)")
            }
        }
    }

    private func compactJournal() {
        writeRecords()
        guard journal.needsCompaction(live: fleet.liveRecordCount) else { return }
        do { try journal.compact(to: fleet.liveRecords) } catch { raise("journal", "\(error)") }
    }

    func readContainers() {
        let now = clock.now
        do {
            var list: ContainerList?
            if catalog == nil {
                list = rangesTold ? nil : ContainerList()
            } else {
                list = try catalog?.changed(at: now)
            }
            guard var list else { return }
            rangesTold = true
            for range in config.containers.ranges { list.insert(range) }
            alarms.clear("containers")
            log.info("\(list.count) container addresses, ranges and services known")
            perform(fleet.containers(list, at: now))
        } catch {
            raise(
                "containers", "\(catalog?.name ?? "containers"): \(error)",
                remedy: "mend it; the list read last stays in force")
        }
    }
}

extension Dataplane.Applied {
    var words: String {
        switch self {
        case .unchanged: "unchanged"
        case .updated: "updated in place"
        case .loaded(let microseconds): "loaded in \(Double(microseconds) / 1000) ms"
        case .replaced(let microseconds): "replaced in \(Double(microseconds) / 1000) ms"
        }
    }
}
