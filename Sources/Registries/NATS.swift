internal import Model
internal import Packets

/// NATS, as far as micro services go (https://github.com/nats-io/nats-architecture-and-design, ADR-32): an instance
/// listens on `$SRV.PING.NAME.ID` and its like, and says more of itself when it is asked. It is reached through the
/// server: it has no port, and its address is its connection's.
final class NATS: StreamDialect {
    static let name = "nats"
    static let usualPorts: [UInt16] = [4222]

    var unreadable = 0
    /// A client that comes back may be heard before the end of its former connection is.
    private var owners = SharedMemory<Owned, RegistryPlace.Holder, FiveTuple>(capacity: Bounds.remembered)

    struct Instance: Hashable {
        var service: String
        var id: String
    }

    private struct Owned: Hashable {
        var network: NetworkID
        var instance: Instance
    }

    static func recognizes(_ bytes: ArraySlice<UInt8>, isStart: Bool) -> Recognition {
        let recognition = NATSLines.begins(bytes, with: NATSLines.Verb.guests)
        guard recognition == .yes, bytes.first.map({ $0 | 0x20 }) == UInt8(ascii: "c") else { return recognition }
        // HTTP knows the verb as well.
        let options = bytes.dropFirst(NATSLines.Verb.connect.rawValue.utf8.count).first { $0 > UInt8(ascii: " ") }
        return options.map { $0 == UInt8(ascii: "{") ? .yes : .no } ?? .tooShort
    }

    func reader(of connection: FiveTuple) -> any StreamReader { NATSReader(connection, self) }

    func registered(_ instance: Instance, by connection: FiveTuple) {
        let owned = Owned(network: connection.network, instance: instance)
        _ = owners.set(owned, connection, of: RegistryPlace(of: connection).holder)
    }

    /// - Returns: false where another connection has registered it since.
    func withdrew(_ instance: Instance, _ connection: FiveTuple) -> Bool {
        let owned = Owned(network: connection.network, instance: instance)
        guard let owner = owners.peek(owned) else { return true }
        guard owner == connection else { return false }
        owners.remove(owned)
        return true
    }
}

/// A subject of the service API: `$SRV.VERB`, `$SRV.VERB.NAME`, `$SRV.VERB.NAME.ID`.
struct NATSServiceSubject {
    let service: String?
    let id: String?

    private static let verbs: Set<Substring> = ["PING", "INFO", "STATS", "SCHEMA"]

    /// Nil where it is none. A part that is a wildcard counts as left out.
    init?(_ subject: String) {
        guard subject.hasPrefix("$SRV.") else { return nil }
        let parts = subject.split(separator: ".", omittingEmptySubsequences: false)
        guard (2...4).contains(parts.count), Self.verbs.contains(parts[1]) else { return nil }
        let names = parts.dropFirst(2).map { $0 == "*" || $0 == ">" ? nil : Bounds.name(String($0)) }
        service = names.first ?? nil
        id = names.count > 1 ? names[1] : nil
    }

    /// The one that this subject stands for.
    var instance: NATS.Instance? {
        guard let service, let id else { return nil }
        return NATS.Instance(service: service, id: id)
    }
}

/// What an instance says of itself.
struct NATSServiceAnswer {
    let instance: NATS.Instance
    let version: String?
    let meta: [String: String]?
    let endpoints: [String]?

    private static let marker = Array("io.nats.micro.v1.".utf8)
    private static let mostEndpoints = 256

    /// Nil where the message is none.
    init?(_ payload: [UInt8]) {
        guard payload.first == UInt8(ascii: "{"), payload.firstRange(of: Self.marker) != nil,
            let fields = Fields(payload), let type = fields.text("type"), type.hasPrefix("io.nats.micro.v1."),
            type.hasSuffix("_response"), let service = Bounds.name(fields.text("name")),
            let id = Bounds.name(fields.text("id"))
        else { return nil }
        instance = NATS.Instance(service: service, id: id)
        version = Bounds.name(fields.text("version"))
        meta = fields.map("metadata")
        let subjects = fields.objects("endpoints").prefix(Self.mostEndpoints).compactMap {
            Bounds.name($0.text("subject"))
        }
        endpoints = subjects.isEmpty ? nil : subjects
    }
}
