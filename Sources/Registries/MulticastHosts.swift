import Model
import Packets

/// What hosts announced by multicast DNS: the records of an instance come in any order and in several messages, and its
/// address under another name. Hosts are told apart by their MAC addresses, because they say the same over IPv4 and
/// IPv6 and none is to speak for another. Bounded; what is forgotten comes again with the next announcement.
struct MulticastHosts {
    struct Sender: Hashable {
        let network: NetworkID
        let mac: MACAddress
    }
    private struct Key: Hashable {
        let sender: Sender
        let name: DNSName
    }
    private struct Host {
        var addresses: [(address: IPAddress, since: Instant)] = []
        var instances: Set<DNSName> = []
    }
    private struct Instance {
        let service: ServiceName
        var target: DNSData.Target?
        var ttl = 0
        var text: DNSData?
        var subtypes: Set<String> = []
        /// It was told, and not that it is gone.
        var isTold = false
        /// And by a host that speaks IPv4 as well.
        var isToldOverIPv4 = false
        /// It has said goodbye from these addresses: the rest of that may come in another message.
        var goodbyes: Set<IPAddress> = []
    }

    private static let mostAddresses = 16
    private static let mostInstances = 64
    /// In one message, more than any host has.
    private static let mostChanged = 512
    private static let mostSubtypes = 16
    /// Of its texts (RFC 6763, 6.2: "under 1300").
    private static let longestText = 2048
    /// A record that says "flush" leaves standing what came this shortly before (RFC 6762, 10.2).
    private static let flushDelay = Duration.seconds(1)

    private var hosts = SharedMemory<Key, Sender, Host>(capacity: 8192)
    private var instances = SharedMemory<Key, Sender, Instance>(capacity: 8192)

    /// Records of one message that says what is.
    ///
    /// - Parameter speaker: where it came from; among several addresses of a host this is the one to be told.
    mutating func hear(
        _ records: [DNSRecord], from sender: Sender, at speaker: IPAddress, now: Instant
    ) -> [Advertisement] {
        var news = News(speaker: speaker)
        for record in records where record.class == .internet {
            take(record, from: sender, now: now, into: &news)
        }
        for host in news.moved.values {
            for name in hosts.peek(Key(sender: sender, name: host))?.instances.sorted() ?? [] {
                if news.changed.values.count < Self.mostChanged { news.changed.insert(name) }
            }
        }
        var told: [Advertisement] = []
        for name in news.gone.values { told += forget(Key(sender: sender, name: name), speaker) }
        for name in news.changed.values where !news.gone.contains(name) {
            told += tell(Key(sender: sender, name: name), speaker, isNew: news.announced.contains(name))
        }
        return told
    }

    /// Instances that a message is about, in its order.
    private struct News {
        struct Names {
            private(set) var values: [DNSName] = []
            private var known: Set<DNSName> = []
            func contains(_ name: DNSName) -> Bool { known.contains(name) }
            mutating func insert(_ name: DNSName) { if known.insert(name).inserted { values.append(name) } }
        }
        let speaker: IPAddress
        var gone = Names()
        var changed = Names()
        /// Hosts whose addresses have changed.
        var moved = Names()
        var announced = Names()
    }

    // MARK: - Records

    private mutating func take(_ record: DNSRecord, from sender: Sender, now: Instant, into news: inout News) {
        switch record.data {
        case .service(let target): take(target, of: record, sender, &news)
        case .text: takeText(of: record, sender, &news)
        case .name(let target) where record.type == .pointer: take(pointerTo: target, of: record, sender, &news)
        case .address(let address): take(address, of: record, sender, now, &news)
        default: break
        }
    }

    private mutating func take(_ target: DNSData.Target, of record: DNSRecord, _ sender: Sender, _ news: inout News) {
        if record.ttl == 0 { return news.gone.insert(record.name) }
        let key = Key(sender: sender, name: record.name)
        guard var instance = instances.find(key) ?? Self.instance(record.name) else { return }
        if let old = instance.target, old.host != target.host { unlink(key, from: old.host) }
        instance.target = target
        instance.goodbyes = []
        instance.ttl = Int(record.ttl)
        keep(instance, key)
        link(key, to: target.host)
        news.announced.insert(record.name)
        news.changed.insert(record.name)
    }

    private mutating func takeText(of record: DNSRecord, _ sender: Sender, _ news: inout News) {
        let key = Key(sender: sender, name: record.name)
        guard record.ttl > 0, record.data.textBytes <= Self.longestText,
            var instance = instances.find(key) ?? Self.instance(record.name), instance.text != record.data
        else { return }
        instance.text = record.data
        keep(instance, key)
        news.announced.insert(record.name)
        news.changed.insert(record.name)
    }

    private mutating func take(
        pointerTo target: DNSName, of record: DNSRecord, _ sender: Sender, _ news: inout News
    ) {
        guard let type = ServiceName(record.name), !type.isEnumeration, type.instance == nil else { return }
        guard let subtype = type.subtype else {
            if record.ttl == 0 { news.gone.insert(target) }
            return
        }
        let key = Key(sender: sender, name: target)
        guard var instance = instances.find(key) ?? Self.instance(target) else { return }
        let before = instance.subtypes
        if record.ttl == 0 {
            instance.subtypes.remove(subtype)
        } else if before.count < Self.mostSubtypes {
            instance.subtypes.insert(subtype)
        }
        guard instance.subtypes != before else { return }
        keep(instance, key)
        news.announced.insert(target)
        news.changed.insert(target)
    }

    private mutating func take(
        _ address: IPAddress, of record: DNSRecord, _ sender: Sender, _ now: Instant, _ news: inout News
    ) {
        let key = Key(sender: sender, name: record.name)
        var host = hosts.find(key) ?? Host()
        // Who said so over IPv4 takes it back there.
        let isOther = address.v4 != nil && news.speaker.v4 == nil
        if isOther, record.ttl == 0, host.instances.contains(where: { isToldOverIPv4($0, sender) }) { return }
        let before = host.addresses.map(\.address)
        host.addresses.removeAll { known in
            if known.address == address { return record.ttl == 0 }
            let isReplaceable = record.flushes && record.ttl > 0 && (known.address.v4 == nil) == (address.v4 == nil)
            return isReplaceable && now - known.since > Self.flushDelay
        }
        if record.ttl > 0 {
            if let place = host.addresses.firstIndex(where: { $0.address == address }) {
                host.addresses[place].since = now
            } else if host.addresses.count < Self.mostAddresses {
                host.addresses.append((address, now))
            }
        }
        if before != host.addresses.map(\.address) { news.moved.insert(record.name) }
        keep(host, key)
    }

    private func isToldOverIPv4(_ name: DNSName, _ sender: Sender) -> Bool {
        instances.peek(Key(sender: sender, name: name))?.isToldOverIPv4 == true
    }

    // MARK: - Keeping

    /// Nil where the name is none that an instance can have.
    private static func instance(_ name: DNSName) -> Instance? {
        guard let service = ServiceName(name), service.instance != nil, !service.isEnumeration else { return nil }
        return Instance(service: service)
    }

    private mutating func keep(_ instance: Instance, _ key: Key) {
        guard let evicted = instances.set(key, instance, of: key.sender), let target = evicted.value.target else {
            return
        }
        unlink(evicted.key, from: target.host)
    }

    private mutating func keep(_ host: Host, _ key: Key) {
        if host.addresses.isEmpty && host.instances.isEmpty {
            hosts.remove(key)
        } else {
            _ = hosts.set(key, host, of: key.sender)
        }
    }

    private mutating func link(_ key: Key, to host: DNSName) {
        let place = Key(sender: key.sender, name: host)
        var known = hosts.find(place) ?? Host()
        if known.instances.count < Self.mostInstances { known.instances.insert(key.name) }
        keep(known, place)
    }

    private mutating func unlink(_ key: Key, from host: DNSName) {
        let place = Key(sender: key.sender, name: host)
        guard var known = hosts.peek(place) else { return }
        known.instances.remove(key.name)
        keep(known, place)
    }

    // MARK: - Telling

    /// An instance whose host's address is not known is nowhere yet; it is told once that is.
    private mutating func tell(_ key: Key, _ speaker: IPAddress, isNew: Bool) -> [Advertisement] {
        guard let instance = instances.find(key), let target = instance.target else { return [] }
        let known = hosts.find(Key(sender: key.sender, name: target.host))?.addresses.map(\.address) ?? []
        guard target.isOffered, let address = Self.first(of: known, speaker) else {
            guard instance.isTold else { return [] }
            _ = instances.change(key) {
                $0.isTold = false
                $0.isToldOverIPv4 = false
            }
            return withdrawal(instance)
        }
        // It said so, or will, from the address that it is about.
        if instance.isToldOverIPv4 && address.v4 != nil && speaker.v4 == nil { return [] }
        guard var told = advertisement(.register, instance.service) else { return [] }
        _ = instances.change(key) {
            $0.isTold = true
            $0.isToldOverIPv4 = speaker.v4 != nil
        }
        told.update = instance.isTold && !isNew ? true : nil
        told.address = address.description
        told.addresses = known.map(\.description)
        told.port = Int(target.port)
        told.priority = Int(target.priority)
        told.weight = Double(target.weight)
        told.host = target.host.plainText
        told.ttlSeconds = instance.ttl
        told.meta = instance.text?.attributes
        told.tags = instance.subtypes.isEmpty ? nil : instance.subtypes.sorted()
        return [told]
    }

    private mutating func forget(_ key: Key, _ speaker: IPAddress) -> [Advertisement] {
        guard let instance = instances.peek(key) ?? Self.instance(key.name), !instance.goodbyes.contains(speaker) else {
            return []
        }
        if let target = instance.target { unlink(key, from: target.host) }
        var gone = Instance(service: instance.service)
        gone.goodbyes = instance.goodbyes.count < Self.mostAddresses ? instance.goodbyes : []
        gone.goodbyes.insert(speaker)
        keep(gone, key)
        return withdrawal(instance)
    }

    private func withdrawal(_ instance: Instance) -> [Advertisement] {
        guard var told = advertisement(.deregister, instance.service) else { return [] }
        told.port = instance.target.map { Int($0.port) }
        told.host = instance.target?.host.plainText
        return [told]
    }

    private func advertisement(
        _ operation: Advertisement.Operation, _ service: ServiceName
    ) -> Advertisement? {
        var told = Advertisement(registry: MulticastDNS.name, op: operation)
        told.service = Bounds.name(service.type.plainText)
        told.instance = service.instance
        told.id = Bounds.name("\(service.instance ?? "").\(service.type.plainText)")
        told.protocol = service.transport
        return told.service == nil || told.id == nil ? nil : told
    }

    /// One address whatever the announcement came over: of IPv4 if there is one, the speaker's own if it is among them,
    /// else one that can be routed.
    private static func first(of addresses: [IPAddress], _ speaker: IPAddress) -> IPAddress? {
        let four = addresses.filter { $0.v4 != nil }
        let candidates = four.isEmpty ? addresses : four
        return candidates.first { $0 == speaker } ?? candidates.first { !$0.isLinkLocal } ?? candidates.first
    }
}

extension IPAddress {
    /// fe80::/10 (RFC 4291, 2.4).
    fileprivate var isLinkLocal: Bool {
        if case .v6(let address) = self { address.high >> 54 == 0x3fa } else { false }
    }
}

extension DNSData {
    /// Of a TXT record, on the wire.
    fileprivate var textBytes: Int {
        if case .text(let texts) = self { texts.reduce(0) { $0 + 1 + $1.count } } else { 0 }
    }
}
