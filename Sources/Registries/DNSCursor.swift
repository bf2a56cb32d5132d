import Model

/// Reads a DNS message from `offset` on. Numbers are in network order; nil past the end.
struct DNSCursor {
    private let message: ArraySlice<UInt8>
    /// From the message's first byte.
    var offset = 0

    init(_ message: ArraySlice<UInt8>) { self.message = message }

    mutating func number8() -> UInt8? {
        guard offset >= 0, offset < message.count else { return nil }
        defer { offset += 1 }
        return message[message.startIndex + offset]
    }

    mutating func number16() -> UInt16? {
        bytes(2).map { $0.reduce(0) { $0 << 8 | UInt16($1) } }
    }

    mutating func number32() -> UInt32? {
        bytes(4).map { $0.reduce(0) { $0 << 8 | UInt32($1) } }
    }

    mutating func bytes(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, offset >= 0, offset <= message.count - count else { return nil }
        defer { offset += count }
        return message[(message.startIndex + offset)..<(message.startIndex + offset + count)]
    }

    mutating func address4() -> IPAddress? { number32().map { .v4(IPv4Address(bits: $0)) } }
    mutating func address6() -> IPAddress? { bytes(16).map { .v6(IPv6Address(bytes: $0)) } }
}
