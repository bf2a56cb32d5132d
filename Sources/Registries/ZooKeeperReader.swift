import Model
import Packets

/// One connection of a guest to ZooKeeper: requests, each with its answer by number.
final class ZooKeeperReader: StreamReader {
    /// What one operation says if the server agrees.
    enum Step {
        case register(Advertisement, isSequential: Bool)
        case update(Advertisement)
        case delete(path: String, Advertisement?)
        case discover(Advertisement)
        /// A node that is no service.
        case create(path: String)
        case ping, close, nothing

        var isCreation: Bool {
            switch self {
            case .register, .create: true
            default: false
            }
        }
    }

    private struct Asked {
        var xid: Int32
        /// Of a transaction: one for each of its operations. Else all that the one answer is about.
        var steps: [Step]
        var isTransaction = false
        /// What it takes, roughly.
        var bytes: Int
    }

    let place: RegistryPlace
    let guest: IPAddress
    let dialect: ZooKeeper
    var session: ZooKeeper.Session?
    /// Ephemeral nodes of a session whose number is not known.
    var unbound: [String] = []

    private static let limits = Ear.Limits()
    /// Of a message; longer ones are no registrations, and of answers only the beginning matters.
    private static let kept = Bounds.longestValue + 2 * JuteReader.longestText
    private static let mostUnbound = 256

    private var requests = LengthFrames(longest: ZooKeeperFrames.longest, kept: kept, isLost: true)
    private var answers = LengthFrames(longest: ZooKeeperFrames.longest, kept: kept, isLost: true)
    private var waiting = Unanswered<Asked>(most: limits.pendingRequests, patience: limits.answerTimeout)
    /// Asked for, and not answered yet.
    private var connecting: ZooKeeperConnect?
    private var latest: Int32?
    /// The guest's last frame since the session was last said to live.
    private var lastRequest: Origin?
    private var lastHeartbeat: Instant?
    private var counts = ReaderCounts()
    private var errors = 0

    init(_ connection: FiveTuple, _ dialect: ZooKeeper) {
        place = RegistryPlace(of: connection)
        guest = connection.source
        self.dialect = dialect
    }

    var isListening: Bool { errors <= Self.limits.parseErrors }
    var deadline: Instant? { waiting.deadline }
    var footprint: Int {
        requests.heldBytes + answers.heldBytes + waiting.entries.reduce(0) { $0 + $1.request.bytes }
    }

    func takeCounts() -> ReaderCounts {
        defer { counts = ReaderCounts() }
        return counts
    }

    // MARK: - Requests

    func hear(request chunk: TCPStream<Origin>.Chunk) -> [Told] {
        if chunk.startsStream { requests = Self.frames(isLost: false) }
        let frames = requests.take(chunk.bytes, begins: ZooKeeperFrames.requestBegins)
        count(requests.takeCounts())
        return frames.flatMap { asked($0, from: chunk.origin) }
    }

    func missed(requestBytes: Int, at now: Instant) -> [Told] {
        // Of a request that was not seen whole nothing can be said.
        if requests.missed(requestBytes) != nil { dialect.unreadable += 1 }
        count(requests.takeCounts())
        return []
    }

    private func asked(_ frame: LengthFrames.Frame, from origin: Origin) -> [Told] {
        counts.messages += 1
        lastRequest = origin
        var reader = JuteReader(frame.bytes)
        guard let xid = reader.int(), let opcode = reader.int() else { return [] }
        // Only a connection's first request has no number.
        if xid == 0, let connect = ZooKeeperConnect(frame.bytes) {
            connecting = connect
            return []
        }
        if xid > 0 { latest = xid }
        guard let request = ZooKeeperRequest(ZooKeeperRequest.Opcode(rawValue: opcode), reader.rest) else {
            dialect.unreadable += 1
            return []
        }
        var asked = Asked(xid: xid, steps: [], bytes: frame.bytes.count)
        if case .multi(let all) = request {
            asked.isTransaction = true
            asked.steps = all.map { one in one.flatMap { steps($0).first } ?? .nothing }
            guard asked.steps.contains(where: { if case .nothing = $0 { false } else { true } }) else { return [] }
        } else {
            asked.steps = steps(request)
        }
        asked.bytes += 512 * asked.steps.count
        guard !asked.steps.isEmpty, let evicted = waiting.add(asked, from: origin) else { return [] }
        return settle(evicted, by: nil, at: origin.time)
    }

    private func steps(_ request: ZooKeeperRequest) -> [Step] {
        switch request {
        case .create(let creation): [step(creation)]
        case .delete(let path): [.delete(path: path, dialect.withdrawn(path, in: home))]
        case .setData(let path, let data): update(path, data).map { [.update($0)] } ?? []
        case .look(let looks): discoveries(looks)
        case .ping: [.ping]
        case .closeSession: [.close]
        case .multi, .other: []
        }
    }

    private func step(_ creation: ZooKeeperRequest.Creation) -> Step {
        let isEphemeral = creation.mode.isEphemeral
        if let service = ZooKeeperNodes.consumed(path: creation.path) {
            var told = Advertisement(registry: ZooKeeper.name, op: .discover)
            (told.service, told.path) = (service, creation.path)
            return .discover(told)
        }
        guard
            var told = ZooKeeperNodes.registration(
                path: creation.path, data: creation.data, isEphemeral: isEphemeral)
        else { return .create(path: creation.path) }
        told.path = creation.path
        told.ephemeral = isEphemeral
        told.sequential = creation.mode.isSequential
        if let ttl = creation.ttlMilliseconds, ttl > 0 {
            told.ttlSeconds = Int(clamping: ttl / 1000 + (ttl % 1000 > 0 ? 1 : 0))
        }
        return .register(told, isSequential: creation.mode.isSequential)
    }

    private func update(_ path: String, _ data: [UInt8]) -> Advertisement? {
        let known = dialect.known(path, in: home)
        guard
            var told = ZooKeeperNodes.registration(path: path, data: data, isEphemeral: known?.ephemeral ?? false)
        else { return nil }
        told.path = path
        if let known {
            told.update = true
            (told.ephemeral, told.sequential, told.leaseId) = (known.ephemeral, known.sequential, known.leaseId)
            (told.ttlSeconds, told.sessionTimeoutMs) = (known.ttlSeconds, known.sessionTimeoutMs)
        }
        return told
    }

    private func discoveries(_ looks: [ZooKeeperRequest.Look]) -> [Step] {
        var services: Set<String?> = []
        return looks.compactMap { dialect.look($0, in: home) }.filter { services.insert($0.service).inserted }
            .map { .discover($0) }
    }

    // MARK: - Answers

    func hear(answer chunk: TCPStream<Origin>.Chunk) -> [Told] {
        if chunk.startsStream { answers = Self.frames(isLost: false) }
        let now = chunk.origin.time
        let (latest, isConnecting) = (latest, connecting != nil)
        let frames = answers.take(chunk.bytes) {
            ZooKeeperFrames.answerBegins($0, latest: latest, connecting: isConnecting)
        }
        count(answers.takeCounts())
        return frames.flatMap { answered($0, at: now) }
    }

    func missed(answerBytes: Int, at now: Instant) -> [Told] {
        var told: [Told] = []
        if let frame = answers.missed(answerBytes) { told = answered(frame, at: now) }
        count(answers.takeCounts())
        assumeSession()
        return told
    }

    private func answered(_ frame: LengthFrames.Frame, at now: Instant) -> [Told] {
        counts.messages += 1
        if let connect = connecting, let connected = ZooKeeperConnected(frame.bytes) {
            connecting = nil
            return opened(connect, by: connected, at: now)
        }
        assumeSession()
        guard let reply = ZooKeeperReply(frame.bytes), reply.xid != ZooKeeperFrames.XID.notification else { return [] }
        var told: [Told] = []
        if let entry = waiting.take(where: { $0.xid == reply.xid }) { told = settle(entry, by: reply, at: now) }
        if reply.error == ZooKeeperReply.Code.sessionExpired, let session { told += ended(session, at: now) }
        return told + impliedHeartbeat(at: now)
    }

    /// The answer to a connect request was missed. A guest that goes on was given the session that it asked for; that it
    /// had it before must be known.
    private func assumeSession() {
        guard let connect = connecting else { return }
        connecting = nil
        session = dialect.session(connect.session, of: guest, network: place.network)
    }

    // MARK: - Waiting

    func ended(_ end: StreamEnd, at now: Instant) -> [Told] {
        switch end {
        // Answers may still come.
        case .guest: []
        // A session lives on without its connection.
        case .registry, .reset, .forgotten: waiting.takeAll().flatMap { settle($0, by: nil, at: now) }
        }
    }

    func tick(at now: Instant) -> [Told] {
        waiting.overdue(at: now).flatMap { settle($0, by: nil, at: now) }
    }

    private func settle(
        _ entry: Unanswered<Asked>.Entry, by reply: ZooKeeperReply?, at now: Instant
    ) -> [Told] {
        let steps = entry.request.steps
        let outcomes: [ZooKeeperReply.Outcome?]
        if let reply, entry.request.isTransaction {
            outcomes = Self.transaction(reply, operations: steps.count)
        } else {
            let one = reply?.outcome(creates: steps.first?.isCreation ?? false)
            outcomes = Array(repeating: one, count: steps.count)
        }
        return zip(steps, outcomes).flatMap { step, outcome in
            settle(step, by: outcome).map { tell($0, from: entry.origin, at: now) }
        }
    }

    /// All were done, or none: the refused ones among them say why.
    private static func transaction(_ reply: ZooKeeperReply, operations: Int) -> [ZooKeeperReply.Outcome?] {
        let refused = ZooKeeperReply.Outcome(error: reply.error)
        guard reply.error == 0 else { return Array(repeating: refused, count: operations) }
        guard let outcomes = reply.outcomes(), outcomes.count == operations else {
            return Array(repeating: nil, count: operations)
        }
        guard let failure = outcomes.first(where: { $0.error != 0 }) else { return outcomes }
        return Array(repeating: failure, count: operations)
    }

    private func impliedHeartbeat(at now: Instant) -> [Told] {
        guard let session, let origin = lastRequest else { return [] }
        // Every request renews the session; a busy client does not ping.
        let pause = Duration.milliseconds(max(1000, (session.timeoutMilliseconds ?? 0) / 4))
        if let last = lastHeartbeat, now - last < pause { return [] }
        guard dialect.holdsNodes(session) else { return [] }
        return [tell(heartbeat(accepted: true), from: origin, at: now)]
    }

    /// What says that the session lives.
    func heartbeat(accepted: Bool?) -> Advertisement {
        var told = Advertisement(registry: ZooKeeper.name, op: .heartbeat)
        told.accepted = accepted
        told.bind(to: session)
        return told
    }

    private func opened(
        _ connect: ZooKeeperConnect, by connected: ZooKeeperConnected, at now: Instant
    ) -> [Told] {
        guard let origin = lastRequest else { return [] }
        guard connected.session != 0, connected.timeoutMilliseconds > 0 else {
            // It asked to go on with a session that is no more.
            return dialect.ended(connect.session, guest: guest, network: place.network).map { told in
                var told = told
                told.accepted = true
                return tell(told, from: origin, at: now)
            }
        }
        let isNew = connect.session != connected.session
        lastHeartbeat = now
        session = dialect.joined(
            connected.session, timeout: connected.timeoutMilliseconds, guest: guest, at: place, isNew: isNew)
        return isNew ? [] : [tell(heartbeat(accepted: true), from: origin, at: now)]
    }

    private func ended(_ session: ZooKeeper.Session, at now: Instant) -> [Told] {
        guard let origin = lastRequest else { return [] }
        return close(accepted: true).map { tell($0, from: origin, at: now) }
    }

    private func tell(_ advertisement: Advertisement, from origin: Origin, at now: Instant) -> Told {
        if advertisement.op == .heartbeat {
            lastHeartbeat = now
            lastRequest = nil
        }
        return Told(advertisement: advertisement, guest: guest, registry: place, origin: origin, time: now)
    }

    func remember(unbound path: String) {
        if unbound.count < Self.mostUnbound { unbound.append(path) }
    }

    private static func frames(isLost: Bool) -> LengthFrames {
        LengthFrames(longest: ZooKeeperFrames.longest, kept: kept, isLost: isLost)
    }

    private func count(_ new: (skippedBytes: Int, errors: Int)) {
        counts.skippedBytes += new.skippedBytes
        counts.parseErrors += new.errors
        errors += new.errors
    }
}
