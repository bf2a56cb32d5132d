import Model

/// A resource record (RFC 1035, 4.1.3).
struct DNSRecord: Hashable {
    let name: DNSName
    let type: DNSType
    let `class`: DNSClass
    /// Multicast DNS: it replaces all of its name and type that is older (RFC 6762, 10.2).
    let flushes: Bool
    /// Seconds; of OPT, flags.
    let ttl: UInt32
    let data: DNSData

    init?(at cursor: inout DNSCursor) {
        guard let name = DNSName(at: &cursor), let type = cursor.number16(), let `class` = cursor.number16(),
            let ttl = cursor.number32(), let length = cursor.number16()
        else { return nil }
        let start = cursor.offset
        guard cursor.bytes(Int(length)) != nil else { return nil }
        self.name = name
        self.type = DNSType(rawValue: type)
        self.class = DNSClass(`class`)
        flushes = `class` & 0x8000 != 0
        // A sign bit makes it zero (RFC 2181, 8).
        self.ttl = self.type == .options || ttl <= UInt32(Int32.max) ? ttl : 0
        var reading = cursor
        reading.offset = start
        data = DNSData(of: self.type, at: &reading, end: cursor.offset)
    }
}

/// A record's data, as far as it tells of services.
enum DNSData: Hashable {
    case address(IPAddress)
    case service(Target)
    case binding(Binding)
    /// PTR and CNAME.
    case name(DNSName)
    case text([[UInt8]])
    case options([Option])
    case empty
    case other

    /// SRV (RFC 2782).
    struct Target: Hashable {
        let priority: UInt16
        let weight: UInt16
        let port: UInt16
        let host: DNSName
    }

    /// SVCB and HTTPS (RFC 9460). Priority 0 makes it an alias.
    struct Binding: Hashable {
        let priority: UInt16
        let host: DNSName
        var port: UInt16?
        var hints: [IPAddress] = []
    }

    /// Of EDNS (RFC 6891, 6.1.2).
    struct Option: Hashable {
        let code: UInt16
        let data: [UInt8]
    }

    static let mostTexts = 256
    static let mostOptions = 64
    static let mostHints = 16

    /// What stands from the cursor up to `end`, no more and no less; else `other`.
    init(of type: DNSType, at cursor: inout DNSCursor, end: Int) {
        guard cursor.offset < end else {
            self = .empty
            return
        }
        let data = Self.read(type, &cursor, end)
        self = data.flatMap { cursor.offset == end ? $0 : nil } ?? .other
    }

    private static func read(_ type: DNSType, _ cursor: inout DNSCursor, _ end: Int) -> Self? {
        switch type {
        case .a: cursor.address4().map { .address($0) }
        case .aaaa: cursor.address6().map { .address($0) }
        case .pointer, .alias: DNSName(at: &cursor).map { .name($0) }
        case .service: Target(at: &cursor).map { .service($0) }
        case .binding, .https: Binding(at: &cursor, end: end).map { .binding($0) }
        case .text: texts(&cursor, end).map { .text($0) }
        case .options: options(&cursor, end).map { .options($0) }
        default: nil
        }
    }

    private static func texts(_ cursor: inout DNSCursor, _ end: Int) -> [[UInt8]]? {
        var texts: [[UInt8]] = []
        while cursor.offset < end, texts.count < mostTexts {
            guard let length = cursor.number8(), let text = cursor.bytes(Int(length)) else { return nil }
            texts.append(Array(text))
        }
        return texts
    }

    private static func options(_ cursor: inout DNSCursor, _ end: Int) -> [Option]? {
        var options: [Option] = []
        while cursor.offset < end, options.count < mostOptions {
            guard let code = cursor.number16(), let length = cursor.number16(), let data = cursor.bytes(Int(length))
            else { return nil }
            options.append(Option(code: code, data: Array(data)))
        }
        return options
    }

    /// `key=value` texts (RFC 6763, 6.4): of repeated keys the first, a key without a value has an empty one.
    var attributes: [String: String]? {
        guard case .text(let texts) = self else { return nil }
        var attributes: [String: String] = [:]
        for text in texts {
            let parts = text.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let key = parts.first.map({ DNSName.plainText($0) }), !key.isEmpty, attributes[key] == nil else {
                continue
            }
            attributes[key] = parts.count > 1 ? DNSName.plainText(parts[1]) : ""
        }
        return attributes
    }
}

extension DNSData.Target {
    init?(at cursor: inout DNSCursor) {
        guard let priority = cursor.number16(), let weight = cursor.number16(), let port = cursor.number16(),
            let host = DNSName(at: &cursor)
        else { return nil }
        self.init(priority: priority, weight: weight, port: port, host: host)
    }

    /// "." says that the service is decidedly not there (RFC 2782), port 0 that the name is merely held (RFC 6763, 8).
    var isOffered: Bool { !host.isRoot && port != 0 }
}

extension DNSData.Binding {
    /// Keys of parameters (RFC 9460, 14.3.2).
    private enum Parameter: UInt16 {
        case port = 3
        case hints4 = 4
        case hints6 = 6
    }

    init?(at cursor: inout DNSCursor, end: Int) {
        guard let priority = cursor.number16(), let host = DNSName(at: &cursor) else { return nil }
        self.init(priority: priority, host: host)
        while cursor.offset < end {
            guard let key = cursor.number16(), let length = cursor.number16(), let value = cursor.bytes(Int(length))
            else { return nil }
            var reading = DNSCursor(value)
            switch Parameter(rawValue: key) {
            case .port: port = reading.number16()
            case .hints4: while hints.count < DNSData.mostHints, let hint = reading.address4() { hints.append(hint) }
            case .hints6: while hints.count < DNSData.mostHints, let hint = reading.address6() { hints.append(hint) }
            case nil: break
            }
        }
    }
}
