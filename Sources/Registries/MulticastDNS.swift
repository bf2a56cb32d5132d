import Model
import Packets

/// DNS-based service discovery over multicast DNS (RFC 6762, 6763). There is no registry: an announcement is a
/// registration, a goodbye its end, and whoever browses discovers. Nobody agrees to an announcement, so that `accepted`
/// stays nil and a probe has to. Questions that carry records are probes for a name: if another host defends it, it is
/// that host's answer that counts.
final class MulticastDNS: DatagramDialect {
    static let name = "mdns"
    static let usualPorts: [UInt16] = [5353]

    private(set) var unreadable = 0
    private var hosts = MulticastHosts()
    private static let mostQuestions = 64

    init() {}

    func hear(_ datagram: Datagram, of registry: RegistryPlace) -> [Told] {
        guard let message = DNSMessage(datagram.bytes) else {
            unreadable += 1
            return []
        }
        // Other operations and refusals are to be ignored (RFC 6762, 18.3, 18.11).
        guard message.header.opcode == .query, message.header.code == 0 else { return [] }
        let speaker = datagram.fromGuest ? datagram.guest : registry.address
        let port = datagram.fromGuest ? datagram.guestPort : registry.port
        let advertisements: [Advertisement]
        if !message.header.isAnswer {
            advertisements = message.authority.isEmpty ? discoveries(message) : []
        } else if port == registry.port {
            let sender = MulticastHosts.Sender(network: registry.network, mac: datagram.origin.mac)
            advertisements = hosts.hear(
                message.answers + message.additional, from: sender, at: speaker, now: datagram.origin.time)
        } else {
            // Answers come from the protocol's own port or are none (RFC 6762, 6).
            advertisements = []
        }
        return advertisements.map {
            Told(
                advertisement: $0, guest: speaker, registry: registry, origin: datagram.origin,
                time: datagram.origin.time)
        }
    }

    /// Nothing waits for an answer.
    func tick(at now: Instant) -> [Told] { [] }
    var deadline: Instant? { nil }

    // MARK: - Browsing

    private func discoveries(_ message: DNSMessage) -> [Advertisement] {
        var told: [Advertisement] = []
        for question in message.questions.prefix(Self.mostQuestions) {
            guard let discovery = discovery(question) else { continue }
            // One look at an instance asks for several of its records.
            if !told.contains(where: { $0.isSameRequest(as: discovery) }) { told.append(discovery) }
        }
        return told
    }

    private func discovery(_ question: DNSQuestion) -> Advertisement? {
        guard question.class == .internet || question.class == .any, !question.name.isInfrastructure else { return nil }
        var told = Advertisement(registry: Self.name, op: .discover)
        told.query = "\(question.name.plainText) \(question.type.name)"
        guard let service = ServiceName(question.name) else {
            // A host's address: whose service it is about is in no name here.
            guard question.type == .a || question.type == .aaaa, !question.name.isRoot else { return nil }
            told.host = question.name.plainText
            return told
        }
        if service.isEnumeration { return service.isTypeEnumeration ? told : nil }
        told.service = Bounds.name(service.type.plainText)
        told.protocol = service.transport
        if let instance = service.instance {
            told.instance = instance
            told.id = Bounds.name("\(instance).\(service.type.plainText)")
        }
        return told.service == nil ? nil : told
    }
}

extension Advertisement {
    fileprivate func isSameRequest(as other: Advertisement) -> Bool {
        service == other.service && id == other.id && host == other.host
    }
}
