/// An IPv6 prefix, its host bits zero.
public struct IPv6Prefix: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    public let address: IPv6Address
    public let length: Int

    public init(_ address: IPv6Address, length: Int) {
        precondition((0...128).contains(length), "an IPv6 prefix has 0 to 128 bits")
        self.length = length
        self.address = IPv6Address(
            high: address.high & Self.mask(length), low: address.low & Self.mask(length - 64))
    }

    /// "fd00::/8", or an address alone as /128. Host bits that are set are an error: the writer meant something else.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPv6Address(String(first)), parts.count <= 2 else { return nil }
        guard parts.count == 2 else {
            self.init(address, length: 128)
            return
        }
        guard let length = Int(parts[1]), (0...128).contains(length), String(length) == parts[1] else { return nil }
        self.init(address, length: length)
        if self.address != address { return nil }
    }

    /// Of one half of an address, of which this many leading bits count.
    private static func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? ~0 : ~0 << (64 - UInt64(bits)) }

    public func contains(_ other: IPv6Address) -> Bool { IPv6Prefix(other, length: length).address == address }
    public var description: String { "\(address)/\(length)" }
}

/// A prefix of either family.
public enum IPPrefix: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    case v4(IPv4Prefix)
    case v6(IPv6Prefix)

    public init?(_ text: String) {
        if let prefix = IPv4Prefix(text) {
            self = .v4(prefix)
        } else if let prefix = IPv6Prefix(text) {
            self = .v6(prefix)
        } else {
            return nil
        }
    }

    public func contains(_ address: IPAddress) -> Bool {
        switch (self, address) {
        case (.v4(let prefix), .v4(let address)): prefix.contains(address)
        case (.v6(let prefix), .v6(let address)): prefix.contains(address)
        default: false
        }
    }

    public var description: String {
        switch self {
        case .v4(let prefix): prefix.description
        case .v6(let prefix): prefix.description
        }
    }
}
