import Model
import Packets
import Registries

/// A guest's connection to a registry, written as the frames that a copy of it would hold.
struct Wire {
    var guest = IPAddress.v4(IPv4Address(bits: 0x0a4d_000b))
    var registry = IPAddress.v4(IPv4Address(bits: 0x0a4d_0002))
    var guestPort: UInt16 = 40_000
    var registryPort: UInt16 = 8500
    var vlan: UInt16?
    /// Bytes a segment; a frame may so be far above any MTU.
    var segment = 1460
    private(set) var frames: [[UInt8]] = []
    private var sent: UInt32
    private var answered: UInt32

    static let guestMAC = MACAddress(bits: 0x0200_0000_000b)
    static let registryMAC = MACAddress(bits: 0x0200_0000_0002)

    init(registryPort: UInt16 = 8500, isV6: Bool = false, initial: UInt32 = 0xffff_ff00) {
        self.registryPort = registryPort
        sent = initial
        answered = initial &+ 5000
        if isV6 {
            guest = .v6(IPv6Address(high: 0xfd77 << 48, low: 0x11))
            registry = .v6(IPv6Address(high: 0xfd77 << 48, low: 2))
        }
    }

    mutating func open() {
        add(fromGuest: true, [.syn], [])
        sent &+= 1
        add(fromGuest: false, [.syn, .ack], [])
        answered &+= 1
        add(fromGuest: true, [.ack], [])
    }

    mutating func ask(_ text: String) { ask(Array(text.utf8)) }

    mutating func ask(_ bytes: [UInt8]) {
        for start in stride(from: 0, to: bytes.count, by: segment) {
            let part = Array(bytes[start..<min(bytes.count, start + segment)])
            add(fromGuest: true, [.ack, .psh], part)
            sent &+= UInt32(part.count)
        }
    }

    mutating func answer(_ text: String) { answer(bytes: Array(text.utf8)) }

    mutating func answer(bytes: [UInt8]) {
        for start in stride(from: 0, to: bytes.count, by: segment) {
            let part = Array(bytes[start..<min(bytes.count, start + segment)])
            add(fromGuest: false, [.ack, .psh], part)
            answered &+= UInt32(part.count)
        }
    }

    mutating func acknowledge() { add(fromGuest: true, [.ack], []) }

    mutating func close() {
        add(fromGuest: true, [.ack, .fin], [])
        sent &+= 1
        add(fromGuest: false, [.ack, .fin], [])
        answered &+= 1
        add(fromGuest: true, [.ack], [])
    }

    mutating func reset(fromGuest: Bool = false) { add(fromGuest: fromGuest, [.rst, .ack], []) }
    mutating func registryCloses() {
        add(fromGuest: false, [.ack, .fin], [])
        answered &+= 1
    }

    mutating func send(datagram text: String, fromGuest: Bool = true) {
        let datagram = UDPDatagram(
            sourceMAC: fromGuest ? Self.guestMAC : Self.registryMAC,
            destinationMAC: fromGuest ? Self.registryMAC : Self.guestMAC, vlan: vlan,
            source: fromGuest ? guest : registry, destination: fromGuest ? registry : guest,
            sourcePort: fromGuest ? guestPort : registryPort, destinationPort: fromGuest ? registryPort : guestPort,
            payload: Array(text.utf8))
        if let frame = datagram.frame() { frames.append(frame) }
    }

    /// Frames since the last time.
    mutating func take() -> [[UInt8]] {
        defer { frames = [] }
        return frames
    }

    private mutating func add(fromGuest: Bool, _ flags: TCPHeader.Flags, _ payload: [UInt8]) {
        var segment = TCPSegment(
            sourceMAC: fromGuest ? Self.guestMAC : Self.registryMAC,
            destinationMAC: fromGuest ? Self.registryMAC : Self.guestMAC, source: fromGuest ? guest : registry,
            destination: fromGuest ? registry : guest, sourcePort: fromGuest ? guestPort : registryPort,
            destinationPort: fromGuest ? registryPort : guestPort, sequence: fromGuest ? sent : answered, flags: flags)
        segment.acknowledged = flags.contains(.ack) ? (fromGuest ? answered : sent) : 0
        segment.vlan = vlan
        segment.payload = payload
        if let frame = segment.frame() { frames.append(frame) }
    }
}

enum HTTP {
    static func request(_ method: String, _ path: String, _ body: String = "", headers: [String] = []) -> String {
        let length = body.isEmpty ? [] : ["Content-Length: \(body.utf8.count)"]
        return (["\(method) \(path) HTTP/1.1", "Host: registry"] + headers + length).joined(separator: "\r\n")
            + "\r\n\r\n" + body
    }

    static func answer(_ status: Int = 200, _ body: String = "") -> String {
        "HTTP/1.1 \(status) Whatever\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    static func chunked(_ method: String, _ path: String, _ body: String, size: Int) -> String {
        var text = "\(method) \(path) HTTP/1.1\r\nHost: registry\r\nTransfer-Encoding: chunked\r\n\r\n"
        let bytes = Array(body.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            let part = bytes[start..<min(bytes.count, start + size)]
            text += "\(String(part.count, radix: 16))\r\n\(String(decoding: part, as: UTF8.self))\r\n"
        }
        return text + "0\r\n\r\n"
    }
}

/// An ear whose time goes on by a millisecond a frame.
struct Listening: ~Copyable {
    var ear: Ear
    var now = Instant(milliseconds: 1_000_000)

    init(_ registries: [RegistryEndpoint] = RegistryEndpoint.defaults, limits: Ear.Limits = Ear.Limits()) {
        ear = Ear(registries: registries, limits: limits)
    }

    init(_ ear: consuming Ear) { self.ear = ear }

    mutating func hear(_ frames: [[UInt8]], network: UInt16 = 0, port: UInt32 = 1) -> [Advertisement] {
        whole(frames, network: network, port: port).map(\.advertisement)
    }

    mutating func whole(_ frames: [[UInt8]], network: UInt16 = 0, port: UInt32 = 1) -> [Heard] {
        var heard: [Heard] = []
        for frame in frames {
            now = now + .milliseconds(1)
            heard += ear.tick(at: now)
            let time = now
            heard += frame.withUnsafeBytes {
                ear.hear($0, network: NetworkID(network), source: port, at: time)
            }
        }
        return heard
    }

    mutating func wait(_ time: Duration) -> [Advertisement] {
        now = now + time
        return ear.tick(at: now).map(\.advertisement)
    }
}

extension Advertisement {
    /// "register web web-1 10.0.0.1:80 true": what matters, to compare at a glance.
    var summary: String {
        let verdict = accepted.map(String.init) ?? "unseen"
        let place = address.map { "\($0):\(port.map(String.init) ?? "-")" }
        return ([op.rawValue, service, id, place, leaseId] + [verdict]).compactMap { $0 }.joined(separator: " ")
    }
}

/// A UDP packet to be written out as an Ethernet frame; its checksums are left open, as under offload.
struct UDPDatagram {
    var sourceMAC: MACAddress
    var destinationMAC: MACAddress
    var vlan: UInt16?
    var source: IPAddress
    var destination: IPAddress
    var sourcePort: UInt16
    var destinationPort: UInt16
    var payload: [UInt8]

    /// Nil where the families differ.
    func frame() -> [UInt8]? {
        let length = payload.count + 8
        let tag = vlan.map { number(EtherType.vlan) + number($0) } ?? []
        let link = destinationMAC.bytes + sourceMAC.bytes + tag
        let transport = number(sourcePort) + number(destinationPort) + number(UInt16(length)) + [0, 0] + payload
        switch (source, destination) {
        case (.v4(let from), .v4(let to)):
            let header = [0x45, 0] + number(UInt16(length + 20)) + [0, 0, 0, 0, 64, 17, 0, 0]
            return link + number(EtherType.ipv4) + header + word(from.bits) + word(to.bits) + transport
        case (.v6(let from), .v6(let to)):
            let header = [0x60, 0, 0, 0] + number(UInt16(length)) + [17, 64]
            return link + number(EtherType.ipv6) + header + from.bytes + to.bytes + transport
        default: return nil
        }
    }

    private func number(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }
    private func word(_ value: UInt32) -> [UInt8] { number(UInt16(value >> 16)) + number(UInt16(value & 0xffff)) }
}

extension RegistryEndpoint.Kind {
    static let consul = named("consul")
    static let etcd = named("etcd")

    static func named(_ name: String) -> Self {
        guard let kind = Self(rawValue: name) else { preconditionFailure("no dialect is called \(name)") }
        return kind
    }
}
