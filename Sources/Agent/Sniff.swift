import FoundationEssentials
import Model
import Packets
public import Registries

#if canImport(Glibc)
    import Glibc
#endif

/// What the registry dialects make of a capture: one JSON object a line, with the field names of `Advertisement`.
///
/// - Parameters:
///   - path: a classic pcap file with Ethernet frames. Each VLAN in it counts as a network of its own.
///   - write: is given each line, without its line feed.
/// - Throws: `SniffError` where the file cannot be opened, read or understood; what came before was written. What
///   `write` throws.
/// - Returns: what was counted.
@discardableResult
public func sniff(
    pcap path: String, registries: [RegistryEndpoint] = RegistryEndpoint.defaults, limits: Ear.Limits = Ear.Limits(),
    write: (String) throws -> Void
) throws -> Ear.Counters {
    guard let file = fopen(path, "rb") else { throw SniffError(path: path, cause: String(cString: strerror(errno))) }
    defer { fclose(file) }
    var capture = CaptureListener(ear: Ear(registries: registries, limits: limits))
    var reader = PcapReader()
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    do {
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            reader.append(buffer.prefix(count))
            while let record = try reader.next() { try capture.hear(record).forEach(write) }
            if count < buffer.count { break }
        }
        if ferror(file) != 0 { throw SniffError(path: path, cause: String(cString: strerror(errno))) }
        try capture.finish().forEach(write)
        try reader.finish()
    } catch let error as PcapError {
        try capture.finish().forEach(write)
        throw SniffError(path: path, cause: error.description)
    }
    return capture.counters
}

/// Why a capture could not be read.
public struct SniffError: Error, CustomStringConvertible {
    public let path: String
    public let cause: String
    public var description: String { "read capture \(path): \(cause)" }
}

/// An ear that is led through a capture's time.
private struct CaptureListener: ~Copyable {
    private var ear: Ear
    private var latest = Instant(milliseconds: 0)
    private let encoder: JSONEncoder

    init(ear: consuming Ear) {
        self.ear = ear
        encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    }

    var counters: Ear.Counters { ear.counters }

    mutating func hear(_ record: PcapReader.Record) throws -> [String] {
        // Stamps of a capture may go back a little; the ear's time may not.
        latest = max(latest, record.time)
        var heard = ear.tick(at: latest)
        heard += record.frame.withUnsafeBytes { bytes in
            let network = NetworkID(Frame(bytes)?.vlan ?? 0)
            return ear.hear(bytes, network: network, source: 0, at: latest)
        }
        return try heard.map { try Self.line($0, encoder) }
    }

    /// No answer comes any more.
    mutating func finish() throws -> [String] {
        latest = latest + .seconds(3600)
        // Giving up on what is missing may bring up requests that are then to be settled.
        let heard = ear.tick(at: latest) + ear.tick(at: latest + .seconds(3600))
        return try heard.map { try Self.line($0, encoder) }
    }

    private static func line(_ heard: Heard, _ encoder: JSONEncoder) throws -> String {
        String(decoding: try encoder.encode(heard.advertisement), as: UTF8.self)
    }
}
