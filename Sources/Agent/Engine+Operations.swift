internal import Dataplane
internal import Fleet
internal import Model
internal import Policy

/// What people and programs ask of the node.
extension Engine: NodeOperations {
    func status() throws(OperationError) -> StatusView {
        StatusView(
            node: config.node, version: Version.text, mode: fleet.mode, started: started, ports: try portViews(),
            services: fleet.counts.services, proxies: plane.loadedProxies.count, instances: verdicts(),
            maps: mapViews(), drops: try drops(), uncounted: uncounted, alarms: alarms.list, heard: earCounters,
            encryptedRegistries: listening.encrypted.count, purgedFlows: plane.purgedConnections,
            registrationToProxyMilliseconds: median(readiness.recent),
            registrationToVerdictMilliseconds: median(readiness.recentVerdicts))
    }

    func services() throws(OperationError) -> [ServiceView] { try serviceViews() }
    func proxies() -> [ProxyView] { proxyViews() }
    func ports() throws(OperationError) -> [PortView] { try portViews() }
    func instances() -> [InstanceView] { instanceViews() }
    func workloads() -> [WorkloadView] { workloadViews() }
    func registries() -> [RegistryView] { registryViews() }

    func explain(_ subject: String) throws(OperationError) -> [ExplanationView] {
        let explanations = explanationViews(subject)
        guard !explanations.isEmpty else {
            throw OperationError(
                .notFound, "nothing is known of '\(subject)'",
                remedy: encryptionRemedy
                    ?? "a service's name, namespace/name, an address, address:port or a VIP; `remora get services` lists them"
            )
        }
        return explanations
    }

    func connections(limit: Int) throws(OperationError) -> [ConnectionView] {
        do { return try plane.connections(limit: limit).map(ConnectionView.init) } catch {
            throw OperationError(.failed, "\(error)")
        }
    }

    func flows(from cursor: UInt64?, limit: Int, wait: Duration) async -> FlowPage {
        consumeEvents()
        if wait > .zero, let cursor, cursor == flowLog.next { await nextEvents(within: wait) }
        return flowLog.page(from: cursor, limit: limit) { [plane, clock] event, cursor in
            plane.described(event).map { FlowView($0, cursor: cursor, by: clock) }
        }
    }

    /// Until events come in, or the time is up.
    private func nextEvents(within wait: Duration) async {
        let id = nextWaiter
        nextWaiter += 1
        let timer = Task {
            try? await Task.sleep(for: wait)
            release(waiter: id)
        }
        await withCheckedContinuation { waiters[id] = $0 }
        timer.cancel()
    }

    private func release(waiter id: UInt64) { waiters.removeValue(forKey: id)?.resume() }

    // MARK: changes

    func apply(_ text: String, file: String) throws(OperationError) -> ChangeView {
        let documents = try parse(text, file: file)
        for document in documents {
            if case .policy(let service, let rules) = document { try check(rules, of: service) }
        }
        var changes: [String] = []
        for document in documents {
            switch document {
            case .service(let declared):
                let dropped = fleet.declarationsInForce.filter {
                    $0.service == declared.id && !declared.instances.contains($0.instance)
                }
                for old in dropped { perform(fleet.undeclared(old.instance, at: clock.now)) }
                for instance in declared.instances {
                    perform(
                        fleet.declared(
                            Declaration(service: declared.id, instance: instance, verdict: declared.runsIn ?? .unknown),
                            at: clock.now))
                }
                changes.append("service \(declared.id) declared with \(declared.instances.count) instances")
            case .policy(let service, let rules):
                perform(fleet.policy(service, rules, at: clock.now))
                changes.append("policy of \(service) set: \(rules.rules.count) rules")
            }
        }
        return ChangeView(changes: changes)
    }

    /// What the data path cannot hold is refused before anything changes.
    private func check(_ rules: PolicyRules, of service: ServiceID) throws(OperationError) {
        do { try Dataplane.check(rules) } catch {
            throw OperationError(
                .badInput, "policy of \(service): \(error.cause)", remedy: "nothing was changed: fewer or broader rules"
            )
        }
    }

    func delete(_ text: String, file: String) throws(OperationError) -> ChangeView {
        var changes: [String] = []
        for document in try parse(text, file: file) {
            switch document {
            case .service(let declared):
                let known = Set(fleet.declarationsInForce.map(\.instance))
                for instance in declared.instances where known.contains(instance) {
                    perform(fleet.undeclared(instance, at: clock.now))
                    changes.append("instance \(instance) of \(declared.id) is no longer declared")
                }
            case .policy(let service, _):
                if let change = removePolicy(service) { changes.append(change) }
            }
        }
        return ChangeView(changes: changes)
    }

    func delete(_ kind: Document.Kind, _ service: ServiceID) throws(OperationError) -> ChangeView {
        switch kind {
        case .policy:
            guard let change = removePolicy(service) else {
                throw OperationError(.notFound, "service \(service) has no policy")
            }
            return ChangeView(changes: [change])
        case .service:
            let declared = fleet.declarationsInForce.filter { $0.service == service }
            guard !declared.isEmpty else { throw OperationError(.notFound, "service \(service) is not declared") }
            for one in declared { perform(fleet.undeclared(one.instance, at: clock.now)) }
            return ChangeView(changes: ["service \(service) is no longer declared"])
        }
    }

    private func removePolicy(_ service: ServiceID) -> String? {
        guard fleet.policy(of: service) != nil else { return nil }
        perform(fleet.policy(service, nil, at: clock.now))
        return "policy of \(service) removed"
    }

    private func parse(_ text: String, file: String) throws(OperationError) -> [Document] {
        do { return try Documents.parse(text, file: file, networks: config.networks).list } catch {
            throw OperationError(error)
        }
    }

    func setMode(_ mode: Mode, for scope: ModeScope) throws(OperationError) -> ChangeView {
        let words: String
        switch scope {
        case .all: words = "node \(config.node)"
        case .port(let port):
            guard links[port] != nil else {
                throw OperationError(.notFound, "no port \(port)", remedy: "`remora get ports` lists them")
            }
            words = "port \(port)"
        case .service(let service): words = "service \(service)"
        }
        let actions = fleet.mode(mode, for: scope, at: clock.now)
        if mode == .observe {
            perform(actions)  // proxies go before the ports let go of the flows that they carry
            attachAll()
        } else {
            attachAll()
            perform(actions)
        }
        return ChangeView(changes: ["\(words): \(mode.rawValue)"])
    }

    func detach(port: PortName?) throws(OperationError) -> ChangeView {
        do {
            if let port {
                guard links[port] != nil else {
                    throw OperationError(.notFound, "no port \(port)", remedy: "`remora get ports` lists them")
                }
                detached.insert(port)
                try plane.detach(port)
                perform(fleet.portVanished(port, at: clock.now))
                return ChangeView(changes: ["port \(port) detached, until the agent starts again"])
            }
            isDetached = true
            try plane.detachAll()
            end()
            return ChangeView(changes: ["everything of node \(config.node) detached; the agent ends"])
        } catch let error as OperationError {
            throw error
        } catch { throw OperationError(.failed, "\(error)") }
    }
}
