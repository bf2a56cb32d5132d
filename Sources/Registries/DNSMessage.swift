/// A message's first twelve bytes (RFC 1035, 4.1.1).
struct DNSHeader {
    static let size = 12

    let id: UInt16
    let isAnswer: Bool
    let opcode: Opcode?
    /// More was to be said than fitted the datagram.
    let isTruncated: Bool
    /// The four bits of the header alone; `DNSMessage.code` has them all.
    let code: UInt16
    /// Of questions, answers, authority and additional records.
    let counts: [Int]

    enum Opcode: UInt8 {
        case query = 0
        case update = 5
    }

    init?(_ bytes: ArraySlice<UInt8>) {
        var cursor = DNSCursor(bytes)
        guard let id = cursor.number16(), let flags = cursor.number16() else { return nil }
        let counts = (0..<4).compactMap { _ in cursor.number16().map(Int.init) }
        guard counts.count == 4 else { return nil }
        self.id = id
        self.counts = counts
        isAnswer = flags & 0x8000 != 0
        opcode = Opcode(rawValue: UInt8(flags >> 11 & 0xf))
        isTruncated = flags & 0x0200 != 0
        code = flags & 0xf
    }
}

/// A DNS message (RFC 1035, 4), read whole: a framing that does not hold makes it none, while a record whose own data
/// cannot be read is told as `other`. Of an UPDATE (RFC 2136, 2) the sections are zone, prerequisites, updates and
/// additional.
struct DNSMessage {
    static let mostRecords = 1024

    let header: DNSHeader
    let questions: [DNSQuestion]
    let answers: [DNSRecord]
    let authority: [DNSRecord]
    let additional: [DNSRecord]

    init?(_ bytes: ArraySlice<UInt8>) {
        guard let header = DNSHeader(bytes), header.counts.reduce(0, +) <= Self.mostRecords else { return nil }
        self.header = header
        var cursor = DNSCursor(bytes)
        cursor.offset = DNSHeader.size
        guard let questions: [DNSQuestion] = Self.read(header.counts[0], { DNSQuestion(at: &cursor) }),
            let answers: [DNSRecord] = Self.read(header.counts[1], { DNSRecord(at: &cursor) }),
            let authority: [DNSRecord] = Self.read(header.counts[2], { DNSRecord(at: &cursor) }),
            let additional: [DNSRecord] = Self.read(header.counts[3], { DNSRecord(at: &cursor) })
        else { return nil }
        (self.questions, self.answers, self.authority, self.additional) = (questions, answers, authority, additional)
    }

    /// The answer's code with the upper bits that EDNS keeps elsewhere (RFC 6891, 6.1.3).
    var code: UInt16 {
        let extended = additional.first { $0.type == .options }.map { UInt16($0.ttl >> 24) } ?? 0
        return extended << 4 | header.code
    }

    /// For how many seconds an UPDATE asks its records to stand (RFC 9664, 4).
    var leaseSeconds: Int? {
        for case .options(let options) in additional.map(\.data) {
            guard let option = options.first(where: { $0.code == 2 }) else { continue }
            var cursor = DNSCursor(option.data[...])
            return cursor.number32().map(Int.init)
        }
        return nil
    }

    private static func read<Item>(_ count: Int, _ next: () -> Item?) -> [Item]? {
        var items: [Item] = []
        for _ in 0..<count {
            guard let item = next() else { return nil }
            items.append(item)
        }
        return items
    }
}

/// What is asked (RFC 1035, 4.1.2); of an UPDATE, its zone.
struct DNSQuestion: Hashable {
    let name: DNSName
    let type: DNSType
    let `class`: DNSClass

    init?(at cursor: inout DNSCursor) {
        guard let name = DNSName(at: &cursor), let type = cursor.number16(), let `class` = cursor.number16() else {
            return nil
        }
        self.name = name
        self.type = DNSType(rawValue: type)
        self.class = DNSClass(`class`)
    }
}

/// RFC 1035, 3.2.4; RFC 2136, 2.4.
enum DNSClass: Hashable {
    case internet, none, any, other

    /// The top bit says "answer me alone" or "flush your cache" in multicast DNS (RFC 6762, 18.12, 18.13), and nothing
    /// elsewhere.
    init(_ number: UInt16) {
        switch number & 0x7fff {
        case 1: self = .internet
        case 254: self = .none
        case 255: self = .any
        default: self = .other
        }
    }
}

/// IANA's registry of resource record types.
struct DNSType: RawRepresentable, Hashable {
    let rawValue: UInt16

    static let a = Self(rawValue: 1)
    static let alias = Self(rawValue: 5)
    static let pointer = Self(rawValue: 12)
    static let text = Self(rawValue: 16)
    static let aaaa = Self(rawValue: 28)
    static let service = Self(rawValue: 33)
    static let options = Self(rawValue: 41)
    static let binding = Self(rawValue: 64)
    static let https = Self(rawValue: 65)
    static let signature = Self(rawValue: 250)
    static let any = Self(rawValue: 255)

    private static let names: [Self: String] = [
        .a: "A", .alias: "CNAME", .pointer: "PTR", .text: "TXT", .aaaa: "AAAA", .service: "SRV", .options: "OPT",
        .binding: "SVCB", .https: "HTTPS", .signature: "TSIG", .any: "ANY",
    ]

    /// As in a zone file (RFC 3597, 5).
    var name: String { Self.names[self] ?? "TYPE\(rawValue)" }
}
