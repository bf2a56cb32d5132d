import Model

/// Dynamic updates (RFC 2136, 3.4.2) as registrations: each address or service record is one of its own.
extension DNSZones {
    static let registry = "dns-update"

    /// What an update does, told; and remembered unless it was refused.
    ///
    /// - Parameter accepted: what its answer says; nil where none was seen.
    mutating func update(_ message: DNSMessage, accepted: Bool?, in registry: RegistryPlace) -> [Advertisement] {
        let (told, draft) = effect(of: message, isRefused: accepted == false, in: registry)
        // A refusal changes nothing, whatever it was about.
        if accepted != false { settle(draft) }
        return told.map { advertisement in
            var told = advertisement
            told.accepted = accepted
            return told
        }
    }

    private func effect(
        of message: DNSMessage, isRefused: Bool, in registry: RegistryPlace
    ) -> (told: [Advertisement], draft: [Owner: Entry]) {
        var after = self
        var change = Change(message: message, registry: registry)
        for record in message.authority { change.apply(record, to: &after) }
        return (change.tell(before: self, after: after, isRefused: isRefused), after.draft)
    }
}

/// Records by their keys, in the order of their coming.
private struct Additions {
    private var held: [DNSZones.Held?] = []
    private var places: [String: Int] = [:]

    var values: [DNSZones.Held] { held.compactMap { $0 } }

    mutating func set(_ one: DNSZones.Held) {
        remove(one.key)
        places[one.key] = held.count
        held.append(one)
    }

    mutating func remove(_ key: String) {
        if let place = places.removeValue(forKey: key) { held[place] = nil }
    }
}

/// One update's effect, gathered record by record.
private struct Change {
    let message: DNSMessage
    let registry: RegistryPlace
    private var removed: [DNSZones.Held] = []
    private var added = Additions()
    /// Deleted whole without being known.
    private var unknown: [(owner: DNSName, type: DNSType)] = []
    /// Hosts and services of which something else may have changed.
    private var touched: Set<DNSName> = []
    /// Services looked at because their hosts changed.
    private static let mostMoved = 1024

    init(message: DNSMessage, registry: RegistryPlace) {
        self.message = message
        self.registry = registry
    }

    private func owner(_ name: DNSName) -> DNSZones.Owner { DNSZones.Owner(registry: registry, name: name) }

    mutating func apply(_ record: DNSRecord, to zones: inout DNSZones) {
        switch record.class {
        case .internet: add(record, to: &zones)
        case .any: removeAll(record.name, record.type, from: &zones)
        case .none: remove(record, from: &zones)
        case .other: break
        }
    }

    private mutating func add(_ record: DNSRecord, to zones: inout DNSZones) {
        guard record.isPlace || record.type == .text else { return }
        touched.insert(record.name)
        let held = zones.held(owner(record.name))
        // What takes another's place takes its key too, so that the change is one.
        let freed = removed.filter { gone in
            gone.record.name == record.name && gone.record.type == record.type && !held.contains { $0.key == gone.key }
        }
        let known = (held + freed).first { $0.record.isSame(as: record) } ?? freed.first
        let one = DNSZones.Held(record: record, key: known?.key ?? Self.key(record, beside: held))
        zones.add(one, of: owner(record.name))
        added.set(one)
    }

    private mutating func removeAll(_ name: DNSName, _ type: DNSType, from zones: inout DNSZones) {
        let gone = zones.remove(of: owner(name)) { type == .any || $0.type == type }
        forget(gone)
        let tells = type == .any || [.a, .aaaa, .service, .binding, .https].contains(type)
        // Reverse zones hold no services.
        if gone.isEmpty && tells && !name.isInfrastructure { unknown.append((name, type)) }
    }

    private mutating func remove(_ record: DNSRecord, from zones: inout DNSZones) {
        let gone = zones.remove(of: owner(record.name)) { $0.isSame(as: record) }
        forget(gone)
        // The record itself says what it was.
        if gone.isEmpty && record.isPlace {
            removed.append(DNSZones.Held(record: record, key: Self.key(record, beside: [])))
        }
    }

    private mutating func forget(_ gone: [DNSZones.Held]) {
        for one in gone { added.remove(one.key) }
        removed += gone
        touched.formUnion(gone.map(\.record.name))
    }

    /// The first of a name and type is known by these alone, so that its replacement is the same registration. No name
    /// holds a blank, no type a colon.
    private static func key(_ record: DNSRecord, beside held: [DNSZones.Held]) -> String {
        let key = key(record.name, record.type)
        guard held.contains(where: { $0.key == key }) else { return key }
        return switch record.data {
        case .address(let address): "\(key) \(address)"
        case .service(let to): "\(key) \(to.priority) \(to.weight) \(to.port) \(to.host.zoneText(lowercase: true))"
        case .binding(let to): "\(key) \(to.priority) \(to.host.zoneText(lowercase: true)) \(to.port ?? 0)"
        default: key
        }
    }

    private static func key(_ name: DNSName, _ type: DNSType) -> String {
        "\(name.zoneText(lowercase: true)) \(type == .any ? "" : "\(type.name):")"
    }
}

extension Change {
    /// Deletions, then registrations, then the services whose hosts have moved.
    fileprivate func tell(before: DNSZones, after: DNSZones, isRefused: Bool) -> [Advertisement] {
        let added = added.values
        let kept = Set(added.map(\.key))
        var told = removed.filter { !kept.contains($0.key) && $0.record.isPlace }
            .map { advertisement(.deregister, $0, before) }
        told += unknown.filter { gone in
            !added.contains { $0.record.name == gone.owner && (gone.type == .any || $0.record.type == gone.type) }
        }.map(deletion)
        told += added.filter(\.record.isPlace).map { one in
            var registration = advertisement(.register, one, after)
            let replaces =
                removed.contains { $0.key == one.key && !$0.record.isSame(as: one.record) }
                || unknown.contains { $0.owner == one.record.name && ($0.type == .any || $0.type == one.record.type) }
            if replaces { registration.update = true }
            return registration
        }
        // Nobody asked for these: where the registry refuses nothing has moved.
        return isRefused ? told : told + moved(except: kept, before, after)
    }

    /// Services that stand as they were, but lead to other addresses or say more of themselves.
    private func moved(except kept: Set<String>, _ before: DNSZones, _ after: DNSZones) -> [Advertisement] {
        var told: [Advertisement] = []
        var seen = kept
        for name in touched.sorted() {
            for leading in [name] + after.leading(to: owner(name)) where seen.count < kept.count + Self.mostMoved {
                for one in after.held(owner(leading)) where one.record.host != nil && seen.insert(one.key).inserted {
                    let now = advertisement(.register, one, after)
                    let was = advertisement(.register, one, before)
                    if now != was && (now.addresses != nil || now.meta != was.meta) { told.append(now) }
                }
            }
        }
        return told
    }

    /// Of a whole name or one of its types; the key is the beginning of all that were registered there.
    private func deletion(_ owner: DNSName, _ type: DNSType) -> Advertisement {
        var told = plain(.deregister, owner)
        told.key = Self.key(owner, type)
        told.id = nil
        return told
    }

    private func plain(_ operation: Advertisement.Operation, _ owner: DNSName) -> Advertisement {
        var told = Advertisement(registry: DNSZones.registry, op: operation)
        let service = ServiceName(owner)
        let name = service?.instance == nil ? owner : service?.type ?? owner
        told.service = Bounds.name(name.zoneText(lowercase: true))
        if let instance = service?.instance {
            told.id = owner.zoneText()
            told.instance = instance
        }
        told.protocol = service?.transport
        told.zone = message.questions.first?.name.zoneText(lowercase: true)
        return told
    }

    private func advertisement(
        _ operation: Advertisement.Operation, _ held: DNSZones.Held, _ zones: DNSZones
    ) -> Advertisement {
        let record = held.record
        var told = plain(operation, record.name)
        told.key = held.key
        if operation == .register {
            told.ttlSeconds = message.leaseSeconds ?? Int(record.ttl)
            if record.host != nil { told.meta = zones.attributes(owner(record.name)) }
        }
        switch record.data {
        case .address(let address): told.address = address.description
        case .service(let target):
            told.port = Int(target.port)
            told.priority = Int(target.priority)
            told.weight = Double(target.weight)
        case .binding(let binding):
            told.port = binding.port.map(Int.init)
            told.priority = Int(binding.priority)
            told.addresses = binding.hints.isEmpty ? nil : binding.hints.map(\.description)
        default: break
        }
        if let host = record.host {
            told.host = host.zoneText(lowercase: true)
            told.address = told.host
            let addresses = zones.addresses(owner(host))
            if !addresses.isEmpty { told.addresses = addresses }
        }
        return told
    }
}
