import Model

@testable import Packets
@testable import Registries

/// A DNS message as it goes over the wire, written without compression.
struct DNSWire {
    var id: UInt16 = 7
    /// Standard queries have 0, answers 0x8400.
    var flags: UInt16 = 0
    var sections: [[[UInt8]]] = [[], [], [], []]

    static let query: UInt16 = 0x0100
    static let answer: UInt16 = 0x8400
    static let update: UInt16 = 0x2800
    static let updated: UInt16 = 0xa800

    init(_ flags: UInt16 = 0, id: UInt16 = 7) { (self.flags, self.id) = (flags, id) }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append16(id)
        bytes.append16(flags)
        for section in sections { bytes.append16(UInt16(section.count)) }
        return bytes + sections.joined().joined()
    }

    /// Behind its length, as over TCP.
    var framed: [UInt8] {
        var framed: [UInt8] = []
        framed.append16(UInt16(bytes.count))
        return framed + bytes
    }

    func asking(_ name: String, _ type: DNSType, class number: UInt16 = 1) -> Self {
        var question = Self.name(name)
        question.append16(type.rawValue)
        question.append16(number)
        return adding(question, to: 0)
    }

    enum Section: Int {
        case answer = 1
        case authority, additional
    }

    func with(
        _ name: String, _ type: DNSType, _ data: [UInt8], ttl: UInt32 = 120, class number: UInt16 = 1
    ) -> Self {
        with(.answer, name, type, data, ttl: ttl, class: number)
    }

    func with(
        _ section: Section, _ name: String, _ type: DNSType, _ data: [UInt8], ttl: UInt32 = 120,
        class number: UInt16 = 1
    ) -> Self {
        var record = Self.name(name)
        record.append16(type.rawValue)
        record.append16(number)
        record.append32(ttl)
        record.append16(UInt16(data.count))
        return adding(record + data, to: section.rawValue)
    }

    private func adding(_ bytes: [UInt8], to section: Int) -> Self {
        var copy = self
        copy.sections[section].append(bytes)
        return copy
    }

    /// Labels between dots; a dot within a label is written as a slash.
    static func name(_ text: String) -> [UInt8] {
        text.split(separator: ".").flatMap { label -> [UInt8] in
            let bytes = Array(label.replacing("/", with: ".").utf8)
            return [UInt8(truncatingIfNeeded: bytes.count)] + bytes
        } + [0]
    }

    static func address(_ text: String) -> [UInt8] {
        switch IPAddress(text) {
        case .v4(let address): (0..<4).map { UInt8(truncatingIfNeeded: address.bits >> (24 - 8 * $0)) }
        case .v6(let address): address.bytes
        case nil: []
        }
    }

    static func target(_ host: String, _ port: UInt16, priority: UInt16 = 0, weight: UInt16 = 0) -> [UInt8] {
        var data: [UInt8] = []
        data.append16(priority)
        data.append16(weight)
        data.append16(port)
        return data + name(host)
    }

    static func texts(_ texts: String...) -> [UInt8] {
        texts.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
    }
}

/// A guest that speaks with a name server, heard by the dialect alone.
struct DNSTalk {
    let dns = DNS()
    var guest = "10.77.0.11"
    var guestPort: UInt16 = 40_000
    var time = Instant(milliseconds: 1_000_000)
    let server = RegistryPlace(network: NetworkID(0), address: .v4(IPv4Address(bits: 0x0a4d_0002)), port: 53)

    var origin: Origin { Origin(mac: MACAddress(bits: 0x0200_0000_000b), port: 1, time: time) }
    var address: IPAddress { IPAddress(guest) ?? server.address }

    func told(_ message: DNSWire, fromGuest: Bool = true) -> [Told] { told(message.bytes, fromGuest: fromGuest) }

    func told(_ bytes: [UInt8], fromGuest: Bool = true) -> [Told] {
        dns.hear(
            Datagram(
                bytes: bytes[...], guest: address, guestPort: guestPort, fromGuest: fromGuest, origin: origin),
            of: server)
    }

    func hear(_ message: DNSWire, fromGuest: Bool = true) -> [Advertisement] {
        told(message, fromGuest: fromGuest).map(\.advertisement)
    }

    /// Asked, and answered with this code.
    func exchange(_ message: DNSWire, code: UInt16 = 0) -> [Advertisement] {
        let early = hear(message)
        var answer = message
        answer.flags |= 0x8000 | code
        return early + hear(answer, fromGuest: false)
    }

    mutating func wait(_ time: Duration) -> [Advertisement] {
        self.time = self.time + time
        return dns.tick(at: self.time).map(\.advertisement)
    }
}

/// Hosts that speak multicast DNS on one link.
struct MulticastTalk {
    let mdns = MulticastDNS()
    var time = Instant(milliseconds: 1_000_000)
    static let group = RegistryPlace(network: NetworkID(0), address: .v4(IPv4Address(bits: 0xe000_00fb)), port: 5353)

    func hear(
        _ message: DNSWire, from host: String = "10.77.0.11", mac: UInt64 = 0x0200_0000_000b, port: UInt16 = 5353
    ) -> [Advertisement] {
        guard let address = IPAddress(host) else { return [] }
        return mdns.hear(
            Datagram(
                bytes: message.bytes[...], guest: address, guestPort: port, fromGuest: true,
                origin: Origin(mac: MACAddress(bits: mac), port: 1, time: time)),
            of: Self.group
        ).map(\.advertisement)
    }
}
