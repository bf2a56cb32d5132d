import Model
import Packets

/// DNS (RFC 1035) over UDP and TCP: questions for services are discovery, and dynamic updates (RFC 2136) registration,
/// signed or not.
final class DNS: DatagramDialect, StreamDialect {
    static let name = "dns"
    static let usualPorts: [UInt16] = [53]

    private(set) var unreadable = 0
    private var exchanges = DNSExchanges(messages: Bounds.remembered, bytes: 4 << 20)
    private var zones = DNSZones()

    init() {}

    func hear(_ datagram: Datagram, of registry: RegistryPlace) -> [Told] {
        guard let header = DNSHeader(datagram.bytes) else {
            unreadable += 1
            return []
        }
        var key = DNSExchanges.Key(
            registry: registry, guest: datagram.guest, guestPort: datagram.guestPort, id: header.id)
        // Between two servers' own ports nobody can tell from outside which of them answers.
        let isReversed = header.isAnswer && datagram.fromGuest && datagram.guestPort == registry.port
        if isReversed { key = key.reversed }
        guard header.isAnswer == (isReversed || !datagram.fromGuest) else { return [] }
        return header.isAnswer
            ? answer(datagram.bytes, key, &exchanges, at: datagram.origin.time)
            : ask(datagram.bytes, key, &exchanges, datagram.origin)
    }

    func tick(at now: Instant) -> [Told] { unanswered(exchanges.overdue(at: now), at: now) }

    var deadline: Instant? { exchanges.deadline }

    static func recognizes(_ bytes: ArraySlice<UInt8>, isStart: Bool) -> Recognition { DNSStream.recognizes(bytes) }

    func reader(of connection: FiveTuple) -> any StreamReader { DNSStream(connection, of: self) }

    // MARK: - Exchanges

    /// A guest's message. What it asks for is told with its answer.
    func ask(
        _ bytes: ArraySlice<UInt8>, _ key: DNSExchanges.Key, _ exchanges: inout DNSExchanges, _ origin: Origin
    ) -> [Told] {
        guard let opcode = DNSHeader(bytes)?.opcode else { return [] }
        guard let message = DNSMessage(bytes) else {
            unreadable += 1
            return []
        }
        guard opcode == .update ? !message.authority.isEmpty : !DNSQuestions.discoveries(message).isEmpty else {
            return []
        }
        let asked = DNSExchanges.Asked(
            message: message, size: bytes.count, key: key, origin: origin,
            deadline: origin.time + DNSExchanges.patience)
        return unanswered(exchanges.ask(asked), at: origin.time)
    }

    func answer(
        _ bytes: ArraySlice<UInt8>, _ key: DNSExchanges.Key, _ exchanges: inout DNSExchanges, at now: Instant
    ) -> [Told] {
        guard let header = DNSHeader(bytes), let asked = exchanges.take(key) else { return [] }
        // Whatever else the answer says, its header tells whether the registry agrees.
        let code = DNSMessage(bytes)?.code ?? header.code
        return tell(asked, code: code, at: now)
    }

    func unanswered(_ asked: [DNSExchanges.Asked], at now: Instant) -> [Told] {
        asked.flatMap { tell($0, code: nil, at: now) }
    }

    private func tell(_ asked: DNSExchanges.Asked, code: UInt16?, at now: Instant) -> [Told] {
        var advertisements: [Advertisement]
        if asked.message.header.opcode == .update {
            let accepted = code.map { $0 == 0 }
            advertisements = zones.update(asked.message, accepted: accepted, in: asked.key.registry)
        } else {
            advertisements = DNSQuestions.discoveries(asked.message)
            for index in advertisements.indices { advertisements[index].accepted = code.map(DNSQuestions.isAnswered) }
        }
        return advertisements.map {
            Told(
                advertisement: $0, guest: asked.key.guest, registry: asked.key.registry, origin: asked.origin,
                time: now)
        }
    }
}

/// Which questions ask for a service. Names of hosts count, because in DNS that is how most services are found; what
/// keeps DNS, mail and certificates going does not.
enum DNSQuestions {
    private static let most = 16

    static func discoveries(_ message: DNSMessage) -> [Advertisement] {
        var told: [Advertisement] = []
        for question in message.questions.prefix(most) {
            guard let discovery = discovery(question), !told.contains(discovery) else { continue }
            told.append(discovery)
        }
        return told
    }

    /// A name that is not there is an answer as well: the registry has served the question.
    static func isAnswered(_ code: UInt16) -> Bool { code == 0 || code == 3 }

    private static func discovery(_ question: DNSQuestion) -> Advertisement? {
        guard question.class == .internet, !question.name.isRoot, !question.name.isInfrastructure else { return nil }
        let service = ServiceName(question.name)
        switch question.type {
        case .a, .aaaa, .service, .binding, .https: break
        // Of any other name these belong to DNS itself, to mail or to whoever proves to own a domain.
        case .pointer, .text, .any: if service == nil { return nil }
        default: return nil
        }
        var told = Advertisement(registry: DNS.name, op: .discover)
        told.query = "\(question.name.zoneText(lowercase: true)) \(question.type.name)"
        if let service, service.isEnumeration { return service.isTypeEnumeration ? told : nil }
        // Whoever browses a subtype may call any of the type.
        let name = service.flatMap { $0.subtype == nil ? nil : $0.type } ?? question.name
        told.service = Bounds.name(name.zoneText(lowercase: true))
        told.instance = service?.instance
        told.protocol = service?.transport
        return told.service == nil ? nil : told
    }
}
