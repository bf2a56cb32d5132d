/// A domain name (RFC 1035, 3.1). Names that differ in the case of ASCII letters alone are equal (RFC 4343).
struct DNSName: Hashable, Comparable {
    /// Uncompressed, with the root's empty label: at most 255 bytes.
    private let wire: [UInt8]

    static let longest = 255
    static let longestLabel = 63
    /// More compression pointers than labels could need are a trap, not a name.
    private static let mostJumps = 32

    /// Nil where a label is empty or too long, or all of them are.
    init?(labels: some Sequence<some Collection<UInt8>>) {
        var wire: [UInt8] = []
        for label in labels {
            guard (1...Self.longestLabel).contains(label.count) else { return nil }
            wire.append(UInt8(label.count))
            wire += label
            guard wire.count < Self.longest else { return nil }
        }
        self.wire = wire + [0]
    }

    /// The name at the cursor. Compression pointers lead backwards only, each before where the last one led (RFC 1035,
    /// 4.1.4), so that none is followed twice. Nil: no name.
    init?(at cursor: inout DNSCursor) {
        var wire: [UInt8] = []
        var reading = cursor
        var lowest = cursor.offset
        var jumps = 0
        while true {
            guard let length = reading.number8().map(Int.init) else { return nil }
            switch length {
            case 0:
                if jumps == 0 { cursor = reading }
                self.wire = wire + [0]
                return
            case 1...Self.longestLabel:
                guard wire.count + 1 + length < Self.longest, let label = reading.bytes(length) else { return nil }
                wire.append(UInt8(length))
                wire += label
            case 0xc0...0xff:
                guard let low = reading.number8() else { return nil }
                let target = (length & 0x3f) << 8 | Int(low)
                if jumps == 0 { cursor = reading }
                jumps += 1
                guard target < lowest, jumps <= Self.mostJumps else { return nil }
                (reading.offset, lowest) = (target, target)
            default: return nil
            }
        }
    }

    /// Without the root's.
    var labels: [ArraySlice<UInt8>] {
        var labels: [ArraySlice<UInt8>] = []
        var place = 0
        while place < wire.count, wire[place] > 0 {
            let end = place + 1 + Int(wire[place])
            labels.append(wire[(place + 1)..<end])
            place = end
        }
        return labels
    }

    var isRoot: Bool { wire.count == 1 }

    /// `in-addr.arpa`, `ip6.arpa` and what else serves the Internet's own ends (RFC 3172), the root's own servers, and
    /// the host itself (RFC 6761, 6.3).
    var isInfrastructure: Bool {
        let ends = labels.suffix(2).map { String(decoding: $0.map(Self.folded), as: UTF8.self) }
        return ends.last == "arpa" || ends.last == "localhost" || ends == ["root-servers", "net"]
    }

    // A length byte is at most 63, below the letters: folding the whole is folding its labels.
    static func == (a: Self, b: Self) -> Bool {
        a.wire.count == b.wire.count && zip(a.wire, b.wire).allSatisfy { $0 == $1 || folded($0) == folded($1) }
    }

    /// Some order, always the same.
    static func < (a: Self, b: Self) -> Bool {
        a.wire.lexicographicallyPrecedes(b.wire) { folded($0) < folded($1) }
    }

    func hash(into hasher: inout Hasher) {
        for byte in wire { hasher.combine(Self.folded(byte)) }
    }

    fileprivate static func folded(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}

/// Names as text.
extension DNSName {
    /// As in a zone file (RFC 1035, 5.1), without the last dot: `My\032Web._http._tcp.example`. In lower case where it
    /// is to be one text however it was asked for: resolvers mix the case of their questions on purpose.
    func zoneText(lowercase: Bool = false) -> String {
        var text: [UInt8] = []
        for label in labels {
            if !text.isEmpty { text.append(UInt8(ascii: ".")) }
            for byte in label {
                switch byte {
                case UInt8(ascii: "."), UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: ";"), UInt8(ascii: "@"),
                    UInt8(ascii: "$"), UInt8(ascii: "("), UInt8(ascii: ")"):
                    text += [UInt8(ascii: "\\"), byte]
                case 0x21...0x7e: text.append(lowercase ? Self.folded(byte) : byte)
                default: text += Self.escaped(byte)
                }
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// As people write names of DNS-SD (RFC 6763, 4.3): blanks, dots and UTF-8 as they are, with the last dot.
    var plainText: String { labels.map { Self.plainText($0) + "." }.joined() }

    /// Only what is no text is escaped: control characters and bytes that are not UTF-8.
    static func plainText(_ label: ArraySlice<UInt8>) -> String {
        let isText = String(exactly: Array(label)) != nil
        let bytes = label.flatMap { byte in
            byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !isText) ? escaped(byte) : [byte]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func escaped(_ byte: UInt8) -> [UInt8] {
        [UInt8(ascii: "\\")] + [byte / 100, byte / 10 % 10, byte % 10].map { UInt8(ascii: "0") + $0 }
    }
}

/// A name of DNS-based service discovery (RFC 6763, 4.1, 7.1): `Instance._http._tcp.example`,
/// `_printer._sub._http._tcp.example` or `_http._tcp.example`.
struct ServiceName {
    /// `_http._tcp.example`, its letters in lower case.
    let type: DNSName
    /// Unescaped.
    let instance: String?
    let subtype: String?
    let transport: String

    /// Nil where no two labels name a service and its transport.
    init?(_ name: DNSName) {
        let labels = name.labels
        for start in labels.indices.dropLast() {
            let transport = DNSName.plainText(labels[start + 1]).lowercased()
            guard labels[start].first == UInt8(ascii: "_"), transport == "_tcp" || transport == "_udp" else { continue }
            guard let type = DNSName(labels: labels[start...].map { $0.map(DNSName.folded) }) else { return nil }
            let isSubtype = start == 2 && DNSName.plainText(labels[1]).lowercased() == "_sub"
            self.type = type
            self.transport = String(transport.dropFirst())
            // One label; but there are clients that make two of a name with a dot in it.
            let first = labels[..<start].map { DNSName.plainText($0) }.joined(separator: ".")
            instance = start > 0 && !isSubtype ? first : nil
            subtype = isSubtype ? DNSName.plainText(labels[0]) : nil
            return
        }
        return nil
    }

    /// Domains to browse and types in use are asked for by the same means (RFC 6763, 9, 11): no services.
    var isEnumeration: Bool { isTypeEnumeration || type.labels.first.map(DNSName.plainText) == "_dns-sd" }
    /// `_services._dns-sd._udp`: which types are there?
    var isTypeEnumeration: Bool {
        instance?.lowercased() == "_services" && type.labels.first.map(DNSName.plainText) == "_dns-sd"
    }
}
