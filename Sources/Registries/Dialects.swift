internal import Model
internal import Packets

/// The languages that are understood.
enum Dialects {
    /// One line for each. Several may share a name: then they are what is spoken with one kind of registry.
    static var all: [any Dialect.Type] {
        [
            Consul.self,
            Etcd.self,
            Eureka.self,
            Nacos.self,
            UDDI.self,
            ZooKeeper.self,
            NATS.self,
            DNS.self,
            MulticastDNS.self,
        ]
    }
}

/// The dialects that may be spoken at one place; which one it is, the first bytes of a stream tell.
struct AllowedDialects {
    let http: [any HTTPDialect]
    let grpc: [any GRPCDialect]
    let streams: [any StreamDialect]
    let datagrams: [any DatagramDialect]
    /// Each once, as they were named.
    let names: String

    init(_ dialects: [any Dialect]) {
        var names: [String] = []
        for name in dialects.map({ type(of: $0).name }) where !names.contains(name) { names.append(name) }
        self.names = names.joined(separator: ",")
        http = dialects.compactMap { $0 as? any HTTPDialect }
        grpc = dialects.compactMap { $0 as? any GRPCDialect }
        streams = dialects.compactMap { $0 as? any StreamDialect }
        datagrams = dialects.compactMap { $0 as? any DatagramDialect }
    }

    /// Is anything here carried by TCP?
    var speaksStreams: Bool { !http.isEmpty || !grpc.isEmpty || !streams.isEmpty }

    enum Choice {
        case reader(any StreamReader)
        case tls, nobody, tooShort
    }

    /// What reads a guest's stream that shows these bytes: the first that does not refuse them, so that it makes no
    /// difference how they were cut into segments.
    ///
    /// - Parameter isStart: they are the first of the connection.
    func choice(
        _ bytes: ArraySlice<UInt8>, isStart: Bool, of connection: FiveTuple, limits: Ear.Limits
    ) -> Choice {
        switch FirstBytes.tls(bytes, isStart: isStart) {
        case .yes: return .tls
        case .tooShort: return .tooShort
        case .no: break
        }
        for dialect in streams {
            switch type(of: dialect).recognizes(bytes, isStart: isStart) {
            case .yes: return .reader(dialect.reader(of: connection))
            case .tooShort: return .tooShort
            case .no: break
            }
        }
        if !grpc.isEmpty {
            switch HTTP2FrameHeader.recognition(of: bytes, isStart: isStart) {
            case .yes: return .reader(HTTP2Reader(dialects: grpc, connection: connection, limits: limits))
            case .tooShort: return .tooShort
            case .no: break
            }
        }
        guard !http.isEmpty else { return .nobody }
        switch FirstBytes.http(bytes, isStart: isStart) {
        case .yes: return .reader(HTTPReader(dialects: http, connection: connection, limits: limits))
        case .tooShort: return .tooShort
        case .no: return .nobody
        }
    }
}

/// What the first bytes of a guest's stream, or of a message in it, tell.
enum FirstBytes {
    private static let methods = ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"]
        .map { Array("\($0) ".utf8) }

    /// An HTTP/1 request; before a connection's first, empty lines are none (RFC 9112, 2.2).
    static func http(_ all: ArraySlice<UInt8>, isStart: Bool) -> Recognition {
        let bytes = isStart ? all.drop { $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\n") } : all
        if methods.contains(where: { bytes.starts(with: $0) }) { return .yes }
        return methods.contains { $0.starts(with: bytes) } ? .tooShort : .no
    }

    /// A TLS record (RFC 8446, 5.1): of a connection's start a ClientHello, else of any kind.
    static func tls(_ bytes: ArraySlice<UInt8>, isStart: Bool) -> Recognition {
        let header = Array(bytes.prefix(6))
        guard let kind = header.first else { return .tooShort }
        guard isStart ? kind == 22 : (20...23).contains(kind) else { return .no }
        guard header.count > 2 else { return header.count == 1 || header[1] == 3 ? .tooShort : .no }
        guard header[1] == 3, header[2] <= 4 else { return .no }
        guard header.count > 4 else { return .tooShort }
        // No longer than a record with its cipher's additions may be.
        guard Int(header[3]) << 8 | Int(header[4]) <= 16_384 + 2048 else { return .no }
        guard isStart else { return .yes }
        return header.count < 6 ? .tooShort : header[5] == 1 ? .yes : .no
    }
}
