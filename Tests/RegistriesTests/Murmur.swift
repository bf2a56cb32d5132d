import Model
import Packets

@testable import Registries

/// A language for tests, over TCP and UDP: a stream begins with "MURMUR", then each line is an instance. The registry
/// speaks first, and says "ok" or "no" to each line.
final class Murmur: StreamDialect, DatagramDialect {
    static let name = "murmur"
    static let usualPorts: [UInt16] = [7777]
    let unreadable = 0
    var deadline: Instant?
    private(set) var datagrams: [Datagram] = []

    static func recognizes(_ bytes: ArraySlice<UInt8>, isStart: Bool) -> Recognition {
        let word = Array("MURMUR".utf8)
        if bytes.starts(with: word) { return .yes }
        return word.starts(with: bytes) ? .tooShort : .no
    }

    func reader(of connection: FiveTuple) -> any StreamReader { MurmurReader(connection) }

    func hear(_ datagram: Datagram, of registry: RegistryPlace) -> [Told] {
        datagrams.append(datagram)
        deadline = datagram.origin.time + .seconds(1)
        return datagram.fromGuest ? [told(String(decoding: datagram.bytes, as: UTF8.self), datagram, registry)] : []
    }

    func tick(at now: Instant) -> [Told] {
        guard let due = deadline, due <= now, let last = datagrams.last else { return [] }
        deadline = nil
        return [told("late", last, .lab)]
    }

    private func told(_ service: String, _ datagram: Datagram, _ registry: RegistryPlace) -> Told {
        var advertisement = Advertisement(registry: Self.name, op: .register)
        advertisement.service = service
        return Told(
            advertisement: advertisement, guest: datagram.guest, registry: registry, origin: datagram.origin,
            time: datagram.origin.time)
    }
}

/// Tells all that it is told, one service each.
final class MurmurReader: StreamReader {
    let deadline: Instant? = nil
    private(set) var isListening = true
    private let connection: FiveTuple
    private var line: [UInt8] = []

    init(_ connection: FiveTuple) { self.connection = connection }

    var footprint: Int { line.count }
    func takeCounts() -> ReaderCounts { ReaderCounts() }
    func tick(at now: Instant) -> [Told] { [] }

    func hear(request chunk: TCPStream<Origin>.Chunk) -> [Told] {
        var all: [Told] = []
        for byte in chunk.bytes {
            if byte != UInt8(ascii: "\n") {
                line.append(byte)
                continue
            }
            let text = String(decoding: line, as: UTF8.self)
            line = []
            if text == "SECRET" { isListening = false }
            all.append(told(text, chunk.origin))
        }
        return all
    }

    func hear(answer chunk: TCPStream<Origin>.Chunk) -> [Told] {
        [told("< " + String(decoding: chunk.bytes, as: UTF8.self), chunk.origin)]
    }

    func missed(requestBytes: Int, at now: Instant) -> [Told] { [told("missed \(requestBytes)", at: now)] }
    func missed(answerBytes: Int, at now: Instant) -> [Told] { [told("< missed \(answerBytes)", at: now)] }
    func ended(_ end: StreamEnd, at now: Instant) -> [Told] { [told("ended: \(end)", at: now)] }

    private func told(_ service: String, _ origin: Origin? = nil, at now: Instant? = nil) -> Told {
        var advertisement = Advertisement(registry: Murmur.name, op: .register)
        advertisement.service = service
        let time = origin?.time ?? now ?? Instant(milliseconds: 0)
        return Told(
            advertisement: advertisement, guest: connection.source, registry: RegistryPlace(of: connection),
            origin: origin ?? Origin(mac: Wire.guestMAC, port: 0, time: time), time: time)
    }
}
