#if canImport(Glibc)
    internal import Glibc
#endif

/// An IPv4 address. `bits` is in host order: 10.0.0.1 is 0x0a000001.
public struct IPv4Address: Hashable, Sendable, Comparable, CustomStringConvertible, LosslessStringConvertible {
    public let bits: UInt32

    public init(bits: UInt32) { self.bits = bits }

    /// As it stands in a packet or a BPF map.
    public init(networkOrder: UInt32) { bits = UInt32(bigEndian: networkOrder) }
    public var networkOrder: UInt32 { bits.bigEndian }

    /// Dotted quad only: no octal, no short forms (RFC 6943, 3.1.1).
    public init?(_ text: String) {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0"),
                part.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                let octet = UInt8(String(decoding: part, as: UTF8.self))
            else { return nil }
            bits = bits << 8 | UInt32(octet)
        }
        self.bits = bits
    }

    public var description: String { "\(bits >> 24).\(bits >> 16 & 255).\(bits >> 8 & 255).\(bits & 255)" }

    public static func < (a: Self, b: Self) -> Bool { a.bits < b.bits }

    /// May a unicast service live here? Not 0/8, 127/8, multicast, reserved or broadcast.
    public var isUnicast: Bool {
        let first = bits >> 24
        return first != 0 && first != 127 && first < 224
    }
}

/// An IPv6 address, in network order.
public struct IPv6Address: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public init(bytes: some Collection<UInt8>) {
        precondition(bytes.count == 16, "an IPv6 address has 16 bytes")
        high = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        low = bytes.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    public init?(_ text: String) {
        var raw = in6_addr()
        guard text.utf8.count < 46, inet_pton(AF_INET6, text, &raw) == 1 else { return nil }
        self.init(bytes: withUnsafeBytes(of: raw) { Array($0) })
    }

    public var bytes: [UInt8] {
        [high, low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * UInt64($0))) } }
    }

    /// The canonical form of RFC 5952.
    public var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        _ = bytes.withUnsafeBytes { inet_ntop(AF_INET6, $0.baseAddress, &text, socklen_t(text.count)) }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

public enum IPAddress: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    case v4(IPv4Address)
    case v6(IPv6Address)

    public init?(_ text: String) {
        if let address = IPv4Address(text) {
            self = .v4(address)
        } else if let address = IPv6Address(text) {
            self = .v6(address)
        } else {
            return nil
        }
    }

    public var description: String {
        switch self {
        case .v4(let address): address.description
        case .v6(let address): address.description
        }
    }

    public var v4: IPv4Address? { if case .v4(let address) = self { address } else { nil } }

    /// May it be a host's? Of IPv6 not ::/8 (unspecified, loopback, mapped) and not ff00::/8 (multicast), RFC 4291.
    public var isUnicast: Bool {
        switch self {
        case .v4(let address): address.isUnicast
        case .v6(let address): address.high >> 56 != 0 && address.high >> 56 != 0xff
        }
    }
}

/// An IPv4 prefix, its host bits zero.
public struct IPv4Prefix: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    public let address: IPv4Address
    public let length: Int

    public static let any = IPv4Prefix(IPv4Address(bits: 0), length: 0)

    public init(_ address: IPv4Address, length: Int) {
        precondition((0...32).contains(length), "an IPv4 prefix has 0 to 32 bits")
        self.length = length
        self.address = IPv4Address(bits: address.bits & Self.mask(length))
    }

    /// "10.0.0.0/8", or an address alone as /32. Host bits that are set are an error: the writer meant something else.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPv4Address(String(first)) else { return nil }
        switch parts.count {
        case 1: self.init(address, length: 32)
        case 2:
            guard let length = Int(parts[1]), (0...32).contains(length), String(length) == parts[1],
                address.bits & ~Self.mask(length) == 0
            else { return nil }
            self.init(address, length: length)
        default: return nil
        }
    }

    static func mask(_ length: Int) -> UInt32 { length == 0 ? 0 : ~0 << (32 - UInt32(length)) }

    public func contains(_ other: IPv4Address) -> Bool { other.bits & Self.mask(length) == address.bits }
    public func contains(_ other: IPv4Prefix) -> Bool { other.length >= length && contains(other.address) }
    public var description: String { "\(address)/\(length)" }
}

public struct MACAddress: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    /// The low 48 bits, first octet highest.
    public let bits: UInt64

    public init(bits: UInt64) { self.bits = bits & 0xffff_ffff_ffff }

    public init(bytes: some Collection<UInt8>) {
        precondition(bytes.count == 6, "a MAC address has 6 bytes")
        bits = bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }

    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { $0.count == 2 ? UInt8($0, radix: 16) : nil }
        guard parts.count == 6, bytes.count == 6 else { return nil }
        self.init(bytes: bytes)
    }

    public var bytes: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: bits >> (40 - 8 * UInt64($0))) } }
    public var isMulticast: Bool { bits >> 40 & 1 == 1 }

    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}
