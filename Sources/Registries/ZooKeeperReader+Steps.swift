import Model

/// What came of each operation, once its answer was seen or will not be.
extension ZooKeeperReader {
    /// Where what this connection knows is kept.
    var home: RegistryPlace { session?.place ?? place }

    func settle(_ step: Step, by outcome: ZooKeeperReply.Outcome?) -> [Advertisement] {
        let accepted = outcome.map { $0.error == 0 }
        switch step {
        case .register(let told, let isSequential):
            return [registered(told, isSequential: isSequential, by: outcome)]
        case .update(let told): return [updated(told, by: outcome)]
        case .delete(let path, let told):
            if accepted != false { dialect.deleted(path, in: home) }
            guard var told else { return [] }
            told.path = path
            told.accepted = accepted
            return [told]
        case .discover(var told):
            // What is not there yet was looked for all the same.
            told.accepted = outcome.map { $0.error == 0 || $0.error == ZooKeeperReply.Code.noNode }
            return [told]
        case .create(let path):
            if accepted != false { dialect.createdOther(outcome?.path ?? path, in: home) }
            return []
        case .ping: return [heartbeat(accepted: accepted)]
        case .close: return accepted == false ? [] : close(accepted: accepted)
        case .nothing: return []
        }
    }

    private func registered(
        _ asked: Advertisement, isSequential: Bool, by outcome: ZooKeeperReply.Outcome?
    ) -> Advertisement {
        var told = asked
        told.accepted = outcome.map { $0.error == 0 }
        if isSequential {
            // The server appends the number.
            if let path = outcome?.path { told.path = path }
            told.id = outcome?.path.flatMap { KeyedEndpoints.name($0).id }
        }
        if told.ephemeral == true {
            if session == nil, let owner = outcome?.owner, owner != 0 {
                session = dialect.joined(owner, timeout: nil, guest: guest, at: place, isNew: false)
            }
            told.bind(to: session)
        }
        guard told.accepted != false, let path = told.path else { return told }
        dialect.created(told, at: path, in: home)
        if told.ephemeral == true, session == nil { remember(unbound: path) }
        return told
    }

    private func updated(_ asked: Advertisement, by outcome: ZooKeeperReply.Outcome?) -> Advertisement {
        var told = asked
        told.accepted = outcome.map { $0.error == 0 }
        if let owner = outcome?.owner {
            told.ephemeral = owner != 0
            if owner != 0, owner != session?.number, told.leaseId == nil {
                told.leaseId = ZooKeeper.Session.id(owner)
            } else if owner != 0, owner == session?.number {
                told.bind(to: session)
            }
        }
        if told.accepted != false, let path = told.path { dialect.created(told, at: path, in: home) }
        return told
    }

    /// The session's end takes its nodes along.
    func close(accepted: Bool?) -> [Advertisement] {
        var ended = session.map { dialect.ended($0.number, guest: guest, network: place.network) } ?? []
        for path in unbound {
            if let known = dialect.known(path, in: place) { ended.append(known.withdrawn) }
            dialect.deleted(path, in: place)
        }
        unbound = []
        session = nil
        return ended.map { one in
            var told = one
            told.accepted = accepted
            return told
        }
    }
}

extension Advertisement {
    /// It lives as long as the session, and is renewed with it.
    mutating func bind(to session: ZooKeeper.Session?) {
        guard let session else { return }
        leaseId = session.id
        sessionTimeoutMs = session.timeoutMilliseconds
        ttlSeconds = session.ttlSeconds
    }
}
