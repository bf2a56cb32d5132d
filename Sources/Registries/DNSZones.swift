import Model
import Packets

/// What dynamic updates made of the zones that guests write to (RFC 2136): deletions name less than what was
/// registered, and services name hosts whose addresses come by themselves. Bounded; what is forgotten is still named by
/// its key.
struct DNSZones {
    struct Owner: Hashable {
        let registry: RegistryPlace
        let name: DNSName
    }

    /// A record, and what it is registered as.
    struct Held {
        var record: DNSRecord
        var key: String
    }

    struct Entry {
        var held: [Held] = []
        /// Owners of the service records that lead here.
        var leadsHere: Set<DNSName> = []
    }

    private static let mostRecords = 64
    private static let mostLeading = 64
    private var entries = SharedMemory<Owner, RegistryPlace.Holder, Entry>(capacity: 8192)
    /// What is not settled yet: a registry may refuse it, and copying all entries for that would cost too much.
    private(set) var draft: [Owner: Entry] = [:]

    private func entry(_ owner: Owner) -> Entry { draft[owner] ?? entries.peek(owner) ?? Entry() }

    func held(_ owner: Owner) -> [Held] { entry(owner).held }

    func addresses(_ owner: Owner) -> [String] {
        held(owner).compactMap { if case .address(let address) = $0.record.data { address.description } else { nil } }
    }

    func attributes(_ owner: Owner) -> [String: String]? {
        held(owner).lazy.compactMap { $0.record.data.attributes }.first
    }

    /// Owners of service records that lead to this host.
    func leading(to host: Owner) -> [DNSName] {
        entry(host).leadsHere.sorted()
    }

    /// A record is added, or takes the place of the one of the same data.
    mutating func add(_ one: Held, of owner: Owner) {
        change(owner) { entry in
            entry.held.removeAll { $0.record.isSame(as: one.record) }
            if entry.held.count < Self.mostRecords { entry.held.append(one) }
        }
        guard let host = one.record.host else { return }
        change(Owner(registry: owner.registry, name: host)) { entry in
            if entry.leadsHere.count < Self.mostLeading { entry.leadsHere.insert(owner.name) }
        }
    }

    mutating func remove(of owner: Owner, where matches: (DNSRecord) -> Bool) -> [Held] {
        let removed = held(owner).filter { matches($0.record) }
        guard !removed.isEmpty else { return [] }
        change(owner) { entry in entry.held.removeAll { matches($0.record) } }
        let hosts = Set(removed.compactMap(\.record.host)).subtracting(held(owner).compactMap(\.record.host))
        for host in hosts {
            change(Owner(registry: owner.registry, name: host)) { $0.leadsHere.remove(owner.name) }
        }
        return removed
    }

    private mutating func change(_ owner: Owner, _ body: (inout Entry) -> Void) {
        var entry = entry(owner)
        body(&entry)
        draft[owner] = entry
    }

    /// The registry has agreed, or nobody saw that it did not.
    mutating func settle(_ draft: [Owner: Entry]) {
        for (owner, entry) in draft {
            if entry.held.isEmpty && entry.leadsHere.isEmpty {
                entries.remove(owner)
            } else {
                _ = entries.set(owner, entry, of: owner.registry.holder)
            }
        }
    }
}

extension DNSRecord {
    /// Of one name and type, do both say the same? Life times aside.
    func isSame(as other: DNSRecord) -> Bool { type == other.type && data == other.data }

    /// Where a service's record leads. A binding to "." leads to its own name (RFC 9460, 2.5.2).
    var host: DNSName? {
        switch data {
        case .service(let target) where target.isOffered: target.host
        case .binding(let binding) where binding.priority > 0: binding.host.isRoot ? name : binding.host
        default: nil
        }
    }

    /// Says where something is; the others only say more of it.
    var isPlace: Bool {
        if case .address = data { true } else { host != nil }
    }
}
