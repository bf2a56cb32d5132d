import FoundationEssentials
import Glibc
import Model
import Packets
public import Registries

/// What the registry dialects make of a capture: one JSON object a line, with the field names of `Advertisement`.
///
/// - Parameters:
///   - path: a pcap or pcapng file, or "-" for standard input. Each VLAN in it counts as a network of its own.
///   - write: is given each line, without its line feed.
/// - Throws: `SniffError` where the file cannot be opened, read or understood; what came before was written. What
///   `write` throws.
/// - Returns: what was counted.
@discardableResult
public func sniff(
    pcap path: String, registries: [RegistryEndpoint] = RegistryEndpoint.defaults, limits: Ear.Limits = Ear.Limits(),
    write: (String) throws -> Void
) throws -> Ear.Counters {
    let file = try CaptureFile(path)
    var capture = CaptureListener(ear: Ear(registries: registries, limits: limits))
    var reader = PcapReader()
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    do {
        while case let count = try file.read(&buffer), count > 0 {
            reader.append(buffer.prefix(count))
            while let record = try reader.next() {
                try record.frame.withUnsafeBytes { try capture.hear($0, at: record.time).forEach(write) }
            }
        }
        try capture.finish().forEach(write)
        try reader.finish()
    } catch let error as PcapError {
        try capture.finish().forEach(write)
        throw SniffError(path: path, cause: error.description)
    }
    return capture.counters
}

/// A file, or what a pipe brings as it comes.
private struct CaptureFile: ~Copyable {
    private let path: String
    private let fd: Int32
    private let isOurs: Bool

    init(_ path: String) throws {
        self.path = path
        isOurs = path != "-"
        fd = isOurs ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO
        guard fd >= 0 else { throw SniffError(path: path, cause: String(cString: strerror(errno))) }
    }

    deinit { if isOurs { close(fd) } }

    /// How many bytes came; 0: no more.
    func read(_ buffer: inout [UInt8]) throws -> Int {
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(fd, $0.baseAddress, $0.count) }
            if count >= 0 { return count }
            guard errno == EINTR else { throw SniffError(path: path, cause: String(cString: strerror(errno))) }
        }
    }
}

/// Why a capture could not be read.
public struct SniffError: Error, CustomStringConvertible {
    public let path: String
    public let cause: String
    public var description: String { "read capture \(path == "-" ? "from standard input" : path): \(cause)" }
}

/// An ear that is led through the time of a capture, or of a clock that may be set back.
struct CaptureListener: ~Copyable {
    private var ear: Ear
    private var latest = Instant(milliseconds: 0)
    private let encoder: JSONEncoder

    init(ear: consuming Ear) {
        self.ear = ear
        encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    }

    var counters: Ear.Counters { ear.counters }

    /// - Parameter vlan: of a tag that is not in the bytes. The outermost one names the network.
    mutating func hear(_ bytes: UnsafeRawBufferPointer, vlan: UInt16? = nil, at time: Instant) throws -> [String] {
        let overdue = try tick(at: time)
        let network = NetworkID(Frame(bytes, vlan: vlan)?.vlan ?? 0)
        let heard = ear.hear(bytes, vlan: vlan, network: network, source: 0, at: latest)
        return try overdue + lines(heard)
    }

    /// What no answer came for in time.
    mutating func tick(at time: Instant) throws -> [String] {
        // Stamps may go back a little; the ear's time may not.
        latest = max(latest, time)
        return try lines(ear.tick(at: latest))
    }

    /// No answer comes any more.
    mutating func finish() throws -> [String] {
        latest = latest + .seconds(3600)
        // Giving up on what is missing may bring up requests that are then to be settled.
        let heard = ear.tick(at: latest) + ear.tick(at: latest + .seconds(3600))
        return try lines(heard)
    }

    private func lines(_ heard: [Heard]) throws -> [String] {
        try heard.map { String(decoding: try encoder.encode($0.advertisement), as: UTF8.self) }
    }
}
