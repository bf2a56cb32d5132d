public import Model

/// What a container platform holds: the addresses, sockets, ranges and service names that are its own.
///
/// Read from text, one entry a line, blank lines and everything from `#` on left out:
///
///     10.244.1.7            # an address
///     fd00::7
///     10.0.0.9:8080         # one port of an address
///     [fd00::9]:8080
///     10.244.0.0/16         # a range
///     fd00:10:244::/56
///     service checkout      # every instance of this service
///
/// An entry holds on every network. Looking an address up takes constant time, whatever the number of entries.
public struct ContainerList: Sendable, Equatable {
    private struct Socket: Hashable, Sendable {
        let address: IPAddress
        let port: UInt16
    }

    /// When what it says was so; nil: it is always so.
    public var asOf: Instant?
    private var addresses: Set<IPAddress> = []
    private var sockets: Set<Socket> = []
    private var services: Set<String> = []
    /// By prefix length, so that a look-up asks at most 33, or 129, small tables.
    private var ranges: [Int: Set<IPv4Prefix>] = [:]
    private var ranges6: [Int: Set<IPv6Prefix>] = [:]

    public init() {}

    public var count: Int {
        addresses.count + sockets.count + services.count + ranges.values.reduce(0) { $0 + $1.count }
            + ranges6.values.reduce(0) { $0 + $1.count }
    }
    public var isEmpty: Bool { count == 0 }
    public var hasAddresses: Bool { !addresses.isEmpty || !sockets.isEmpty }
    public var hasServices: Bool { !services.isEmpty }

    public mutating func insert(_ address: IPAddress) { addresses.insert(address) }
    public mutating func insert(_ address: IPAddress, port: UInt16) {
        sockets.insert(Socket(address: address, port: port))
    }
    public mutating func insert(_ range: IPv4Prefix) { ranges[range.length, default: []].insert(range) }
    public mutating func insert(_ range: IPv6Prefix) { ranges6[range.length, default: []].insert(range) }
    public mutating func insert(_ range: IPPrefix) {
        switch range {
        case .v4(let range): insert(range)
        case .v6(let range): insert(range)
        }
    }
    public mutating func insert(service: String) { services.insert(service) }

    /// Why an instance counts as the platform's.
    public enum Match: Hashable, Sendable {
        case address(IPAddress)
        case socket(IPAddress, UInt16)
        case service(String)
        case range(IPv4Prefix)
        case range6(IPv6Prefix)
    }

    /// The most exact entry that holds this instance; nil: none does.
    public func match(_ instance: InstanceID, services names: some Collection<String> = []) -> Match? {
        entry(of: instance) ?? service(among: names).map(Match.service) ?? range(of: instance.address)
    }

    /// Its own socket, or its address.
    public func entry(of instance: InstanceID) -> Match? {
        if sockets.contains(Socket(address: instance.address, port: instance.port)) {
            return .socket(instance.address, instance.port)
        }
        return addresses.contains(instance.address) ? .address(instance.address) : nil
    }

    public func service(among names: some Collection<String>) -> String? {
        names.first(where: services.contains)
    }

    /// The longest range that holds the address.
    public func range(of address: IPAddress) -> Match? {
        switch address {
        case .v4(let address):
            for length in stride(from: 32, through: 0, by: -1) {
                guard let table = ranges[length] else { continue }
                let range = IPv4Prefix(address, length: length)
                if table.contains(range) { return .range(range) }
            }
        case .v6(let address):
            guard !ranges6.isEmpty else { return nil }
            for length in stride(from: 128, through: 0, by: -1) {
                guard let table = ranges6[length] else { continue }
                let range = IPv6Prefix(address, length: length)
                if table.contains(range) { return .range6(range) }
            }
        }
        return nil
    }
}

/// A container list that could not be read. Line numbers start at 1.
public struct ContainerListError: Error, Hashable, Sendable, CustomStringConvertible {
    public let line: Int
    public let text: String
    public let cause: String

    public var description: String { "line \(line): \"\(text)\": \(cause)" }
}

extension ContainerList {
    /// More entries than this are refused: a list of single addresses that long should be ranges.
    public static let maximum = 1_000_000

    /// - Throws: the first line that cannot be read; nothing of a list half right is used.
    public init(parsing text: String) throws(ContainerListError) {
        self.init()
        var number = 0
        // By bytes: "\r\n" is one Character, and no separator for `Character("\n")`.
        for bytes in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            let content = bytes.prefix { $0 != UInt8(ascii: "#") }
            let words = content.split {
                $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r")
            }
            .map { String(decoding: $0, as: UTF8.self) }
            guard !words.isEmpty else { continue }
            if let cause = read(words) {
                let shown = String(decoding: content.prefix(80).filter { $0 >= 32 }, as: UTF8.self)
                throw ContainerListError(line: number, text: shown, cause: cause)
            }
            guard count <= Self.maximum else {
                throw ContainerListError(line: number, text: "", cause: "more than \(Self.maximum) entries: use ranges")
            }
        }
    }

    /// Takes one entry in; what is wrong with it, if anything is.
    private mutating func read(_ words: [String]) -> String? {
        if words[0] == "service" {
            guard words.count == 2 else { return "write: service NAME" }
            insert(service: words[1])
            return nil
        }
        guard words.count == 1 else { return "one entry a line: an address, address:port, range, or service NAME" }
        let word = words[0]
        if let address = IPAddress(word) {
            insert(address)
        } else if word.utf8.contains(UInt8(ascii: "/")) {
            guard let range = IPPrefix(word) else { return "no range: write ADDRESS/LENGTH with the host bits zero" }
            insert(range)
        } else if let (address, port) = Self.socket(word) {
            insert(address, port: port)
        } else {
            return "neither an address, address:port, range, nor service NAME"
        }
        return nil
    }

    /// "10.0.0.1:80" or "[fd00::1]:80".
    private static func socket(_ word: String) -> (IPAddress, UInt16)? {
        guard let colon = word.lastIndex(of: ":"), let port = UInt16(word[word.index(after: colon)...]), port != 0
        else { return nil }
        let host = word[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            return IPv6Address(String(host.dropFirst().dropLast())).map { (.v6($0), port) }
        }
        return IPv4Address(String(host)).map { (.v4($0), port) }
    }
}
