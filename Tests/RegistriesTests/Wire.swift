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

    mutating func answer(_ text: String) {
        let bytes = Array(text.utf8)
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

extension RegistryEndpoint.Kind {
    static let consul = named("consul")
    static let etcd = named("etcd")

    static func named(_ name: String) -> Self {
        guard let kind = Self(rawValue: name) else { preconditionFailure("no dialect is called \(name)") }
        return kind
    }
}
