import Model
import Packets

/// One connection of a guest to a NATS server.
final class NATSReader: StreamReader {
    enum Asked {
        case register(NATS.Instance)
        case deregister(NATS.Instance)
        case discover(Advertisement, reply: String?)
        case ping

        fileprivate var isPing: Bool { if case .ping = self { true } else { false } }
        fileprivate var isDiscovery: Bool { if case .discover = self { true } else { false } }
        fileprivate func registers(_ instance: NATS.Instance) -> Bool {
            if case .register(let one) = self { one == instance } else { false }
        }
    }

    private struct Service {
        /// Its subscriptions by their numbers; none where it was registered before anybody listened.
        var subscriptions: Set<String> = []
        var isTold = false
        /// Its last subscription is gone.
        var isLeaving = false
        var version: String?
        var meta: [String: String]?
        var endpoints: [String]?
        /// What it said of itself.
        var bytes = 0
    }

    private struct Subscription {
        var instance: NATS.Instance
        var subject: String
        var delivered = 0
        /// It ends by itself after so many.
        var most: Int?
    }

    private static let limits = Ear.Limits()
    /// A server says nothing to what it does, unless it is asked: silence is soon consent that was not seen.
    private static let patience = Duration.seconds(1)
    private static let mostServices = 256
    private static let mostSubscriptions = 4 * mostServices
    private static let heartbeatPause = Duration.seconds(1)

    private let connection: FiveTuple
    private let place: RegistryPlace
    private let dialect: NATS
    private var requests = NATSLines(of: NATSLines.Verb.guests, isLost: true)
    private var answers = NATSLines(of: NATSLines.Verb.servers, isLost: true)
    private var services: [NATS.Instance: Service] = [:]
    private var subscriptions: [String: Subscription] = [:]
    private var waiting = Unanswered<Asked>(most: limits.pendingRequests, patience: patience)
    /// Subscriptions may have been made that were not seen.
    private var isPartial = true
    private var lastRequest: Origin?
    private var lastHeartbeat: Instant?
    private var counts = ReaderCounts()
    private var errors = 0

    init(_ connection: FiveTuple, _ dialect: NATS) {
        self.connection = connection
        self.dialect = dialect
        place = RegistryPlace(of: connection)
    }

    var isListening: Bool { errors <= Self.limits.parseErrors }
    var deadline: Instant? { waiting.deadline }
    var footprint: Int {
        requests.heldBytes + answers.heldBytes + 512 * (waiting.entries.count + subscriptions.count)
            + services.values.reduce(0) { $0 + 512 + $1.bytes }
    }

    func takeCounts() -> ReaderCounts {
        defer { counts = ReaderCounts() }
        return counts
    }

    // MARK: - The guest

    func hear(request chunk: TCPStream<Origin>.Chunk) -> [Told] {
        if chunk.startsStream {
            requests = NATSLines(of: NATSLines.Verb.guests, isLost: false)
            isPartial = false
        }
        let origin = chunk.origin
        lastRequest = origin
        let hasServices = isPartial || !services.isEmpty
        let messages = requests.take(chunk.bytes, startsSegment: chunk.startsSegment) { message in
            // Answers to what a service was asked are themselves no requests.
            hasServices && message.verb.hasPayload
        }
        count(requests.takeCounts(), messages: messages.count)
        return messages.flatMap { asked($0, from: origin) }
    }

    func missed(requestBytes: Int, at now: Instant) -> [Told] {
        requests.missed(requestBytes)
        isPartial = true
        count(requests.takeCounts(), messages: 0)
        return []
    }

    private func asked(_ message: NATSLines.Message, from origin: Origin) -> [Told] {
        let words = message.arguments
        switch message.verb {
        case .sub:
            guard (2...3).contains(words.count), let subject = words.first, let number = words.last else { return [] }
            return subscribed(subject, number, from: origin)
        case .unsub:
            guard let number = words.first else { return [] }
            return unsubscribed(number, after: words.count > 1 ? Int(words[1]) : nil, from: origin)
        case .pub, .hpub: return published(message, from: origin)
        case .ping: return wait(.ping, from: origin)
        // The server asked whether it lives.
        case .pong: return heartbeats(accepted: nil, from: origin, at: origin.time)
        default: return []
        }
    }

    private func subscribed(_ subject: String, _ number: String, from origin: Origin) -> [Told] {
        guard let instance = NATSServiceSubject(subject)?.instance, number.utf8.count <= 64,
            subscriptions.count < Self.mostSubscriptions,
            services[instance] != nil || services.count < Self.mostServices
        else { return [] }
        subscriptions[number] = Subscription(instance: instance, subject: subject)
        let isNew = services[instance] == nil
        services[instance, default: Service()].subscriptions.insert(number)
        services[instance]?.isLeaving = false
        return isNew ? wait(.register(instance), from: origin) : []
    }

    private func unsubscribed(_ number: String, after most: Int?, from origin: Origin) -> [Told] {
        guard let known = subscriptions[number] else { return [] }
        if let most, most > known.delivered {
            subscriptions[number]?.most = most
            return []
        }
        return removed(number, from: origin)
    }

    private func removed(_ number: String, from origin: Origin) -> [Told] {
        guard let instance = subscriptions.removeValue(forKey: number)?.instance else { return [] }
        services[instance]?.subscriptions.remove(number)
        guard services[instance]?.subscriptions.isEmpty == true else { return [] }
        services[instance]?.isLeaving = true
        return wait(.deregister(instance), from: origin)
    }

    private func published(_ message: NATSLines.Message, from origin: Origin) -> [Told] {
        guard let subject = message.arguments.first else { return [] }
        if let asked = NATSServiceSubject(subject) {
            var told = Advertisement(registry: NATS.name, op: .discover)
            (told.service, told.id, told.subject) = (asked.service, asked.id, subject)
            let sizes = message.verb == .hpub ? 2 : 1
            let reply = message.arguments.count > 1 + sizes ? message.arguments[1] : nil
            return wait(.discover(told, reply: reply), from: origin)
        }
        guard let payload = message.payload, let answer = NATSServiceAnswer(payload) else { return [] }
        return described(answer, bytes: payload.count, from: origin)
    }

    /// An instance says what it is. Only of those that listen here: others may be passed on.
    private func described(_ answer: NATSServiceAnswer, bytes: Int, from origin: Origin) -> [Told] {
        let isKnown = services[answer.instance] != nil
        guard isKnown || isPartial && services.count < Self.mostServices else { return [] }
        var service = services[answer.instance] ?? Service()
        let before = service
        service.bytes = max(service.bytes, bytes)
        service.version = answer.version ?? service.version
        service.meta = answer.meta ?? service.meta
        service.endpoints = answer.endpoints ?? service.endpoints
        services[answer.instance] = service
        guard isKnown else { return register(answer.instance, accepted: nil, from: origin, at: origin.time) }
        let isSame =
            (before.version, before.endpoints) == (service.version, service.endpoints) && before.meta == service.meta
        guard service.isTold, !isSame else { return [] }
        return register(answer.instance, accepted: true, from: origin, at: origin.time)
    }

    // MARK: - The server

    func hear(answer chunk: TCPStream<Origin>.Chunk) -> [Told] {
        if chunk.startsStream { answers = NATSLines(of: NATSLines.Verb.servers, isLost: false) }
        let messages = answers.take(chunk.bytes, startsSegment: chunk.startsSegment) { _ in false }
        count(answers.takeCounts(), messages: messages.count)
        return messages.flatMap { answered($0, at: chunk.origin.time) }
    }

    func missed(answerBytes: Int, at now: Instant) -> [Told] {
        answers.missed(answerBytes)
        count(answers.takeCounts(), messages: 0)
        return []
    }

    private func answered(_ message: NATSLines.Message, at now: Instant) -> [Told] {
        switch message.verb {
        case .pong: ponged(at: now)
        case .msg, .hmsg: delivered(message.arguments, at: now)
        case .error: refused(message.arguments.first ?? "", at: now)
        default: []
        }
    }

    /// What was sent before the ping was done.
    private func ponged(at now: Instant) -> [Told] {
        let done = waiting.takeAll(through: \.isPing) { !$0.isDiscovery }
        guard let ping = done.last else { return [] }
        let alive = heartbeats(accepted: true, from: ping.origin, at: now)
        return done.flatMap { settle($0, accepted: true, at: now) } + alive
    }

    private func delivered(_ words: [String], at now: Instant) -> [Told] {
        guard words.count > 2, let subject = words.first else { return [] }
        var told: [Told] = []
        let number = words[1]
        if let known = subscriptions[number] {
            subscriptions[number]?.delivered += 1
            if let entry = waiting.take(where: { $0.registers(known.instance) }) {
                told += settle(entry, accepted: true, at: now)
            }
            if let most = known.most, known.delivered + 1 >= most, let origin = lastRequest {
                told += removed(number, from: origin)
            }
        }
        let answered = waiting.take { asked in
            if case .discover(_, let reply) = asked { reply == subject } else { false }
        }
        return told + (answered.map { settle($0, accepted: true, at: now) } ?? [])
    }

    private func refused(_ text: String, at now: Instant) -> [Told] {
        var told: [Told] = []
        if let quote = text.firstIndex(of: "\"") {
            let subject = text[text.index(after: quote)...].prefix { $0 != "\"" }
            for (number, one) in subscriptions where one.subject == subject {
                subscriptions[number] = nil
                services[one.instance]?.subscriptions.remove(number)
                guard services[one.instance]?.subscriptions.isEmpty == true,
                    let entry = waiting.take(where: { $0.registers(one.instance) })
                else { continue }
                told += settle(entry, accepted: false, at: now)
            }
            let looks = waiting.takeAll { asked in
                if case .discover(let look, _) = asked { look.subject == String(subject) } else { false }
            }
            return told + looks.flatMap { settle($0, accepted: false, at: now) }
        }
        // The connection is not let in.
        guard text.lowercased().contains("authoriz") || text.lowercased().contains("authentic") else { return [] }
        return waiting.takeAll().flatMap { settle($0, accepted: false, at: now) }
    }

    // MARK: - Waiting

    func ended(_ end: StreamEnd, at now: Instant) -> [Told] {
        guard end != .forgotten else { return waiting.takeAll().flatMap { settle($0, accepted: nil, at: now) } }
        // Subscriptions end with their connection.
        var told = waiting.takeAll().flatMap { settle($0, accepted: nil, at: now) }
        guard let origin = lastRequest else { return told }
        for instance in services.keys.sorted(by: { ($0.service, $0.id) < ($1.service, $1.id) }) {
            told += deregister(instance, accepted: true, from: origin, at: now)
        }
        subscriptions = [:]
        return told
    }

    func tick(at now: Instant) -> [Told] {
        waiting.overdue(at: now).flatMap { settle($0, accepted: nil, at: now) }
    }

    private func wait(_ asked: Asked, from origin: Origin) -> [Told] {
        guard let evicted = waiting.add(asked, from: origin) else { return [] }
        return settle(evicted, accepted: nil, at: origin.time)
    }

    private func settle(_ entry: Unanswered<Asked>.Entry, accepted: Bool?, at now: Instant) -> [Told] {
        switch entry.request {
        case .ping: return []
        case .discover(var told, _):
            told.accepted = accepted
            return [tell(told, from: entry.origin, at: now)]
        case .register(let instance):
            return services[instance] == nil
                ? [] : register(instance, accepted: accepted, from: entry.origin, at: now)
        case .deregister(let instance):
            // It may have come back since.
            guard services[instance]?.isLeaving == true else { return [] }
            return deregister(instance, accepted: accepted, from: entry.origin, at: now)
        }
    }

    // MARK: - Telling

    private func register(_ instance: NATS.Instance, accepted: Bool?, from origin: Origin, at now: Instant) -> [Told] {
        guard let service = services[instance] else { return [] }
        var told = advertisement(.register, instance)
        told.accepted = accepted
        told.addressDefault = "sender"
        told.ephemeral = true
        told.update = service.isTold ? true : nil
        (told.version, told.meta, told.endpoints) = (service.version, service.meta, service.endpoints)
        if accepted == false {
            services[instance] = nil
        } else {
            services[instance]?.isTold = true
            dialect.registered(instance, by: connection)
        }
        return [tell(told, from: origin, at: now)]
    }

    private func deregister(
        _ instance: NATS.Instance, accepted: Bool?, from origin: Origin, at now: Instant
    ) -> [Told] {
        services[instance] = nil
        guard dialect.withdrew(instance, connection) else { return [] }
        var told = advertisement(.deregister, instance)
        told.accepted = accepted
        return [tell(told, from: origin, at: now)]
    }

    /// One for each service of the connection.
    private func heartbeats(accepted: Bool?, from origin: Origin, at now: Instant) -> [Told] {
        if let last = lastHeartbeat, now - last < Self.heartbeatPause { return [] }
        let living = services.filter { $0.value.isTold && !$0.value.isLeaving }.keys
        guard !living.isEmpty else { return [] }
        lastHeartbeat = now
        return living.sorted { ($0.service, $0.id) < ($1.service, $1.id) }.map { instance in
            var told = advertisement(.heartbeat, instance)
            told.accepted = accepted
            return tell(told, from: origin, at: now)
        }
    }

    private func advertisement(_ op: Advertisement.Operation, _ instance: NATS.Instance) -> Advertisement {
        var told = Advertisement(registry: NATS.name, op: op)
        (told.service, told.id) = (instance.service, instance.id)
        return told
    }

    private func tell(_ advertisement: Advertisement, from origin: Origin, at now: Instant) -> Told {
        Told(advertisement: advertisement, guest: connection.source, registry: place, origin: origin, time: now)
    }

    private func count(_ new: (skippedBytes: Int, errors: Int), messages: Int) {
        counts.messages += messages
        counts.skippedBytes += new.skippedBytes
        counts.parseErrors += new.errors
        errors += new.errors
    }
}
