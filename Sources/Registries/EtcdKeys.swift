import FoundationEssentials
import Model

/// What a service's key and value look like in etcd. There is no standard: this reads what client libraries and people
/// mostly write, `/services/NAME/ID` with `{"Name", "Address", "Port"}` or `HOST:PORT`.
enum EtcdKeys {
    /// First path segments under which keys are services, whatever their lease.
    private static let roots: Set<String> = [
        "services", "service", "registry", "discovery", "endpoints", "microservices", "upstreams", "backends",
    ]

    struct Name {
        var service: String?
        var id: String?
        /// It lies under one of the usual roots.
        var isRooted: Bool
    }

    /// - Parameter isPrefix: the key stands for all that begin with it.
    static func name(_ key: String, isPrefix: Bool = false) -> Name {
        let segments = key.split(separator: "/").prefix(32).map(String.init)
        let root = segments.dropLast(isPrefix ? 0 : 1).firstIndex { roots.contains($0.lowercased()) }
        let rest = Array(root.map { segments[($0 + 1)...] } ?? segments[...])
        let isRooted = root != nil
        if isPrefix {
            return Name(service: rest.last.flatMap { Bounds.name($0) }, id: nil, isRooted: isRooted)
        }
        let service = rest.count > 1 ? rest[rest.count - 2] : rest.last
        return Name(
            service: service.flatMap { Bounds.name($0) }, id: rest.last.flatMap { Bounds.name($0) }, isRooted: isRooted)
    }

    /// The registration that a put of this value under this key is; nil where it is none.
    static func registration(key: String, value: [UInt8], hasLease: Bool) -> Advertisement? {
        let name = name(key)
        var told = Advertisement(registry: EtcdGateway.name, op: .register)
        var isNamed = false
        if let fields = Fields(value) {
            guard read(fields, into: &told) else { return nil }
            isNamed = told.service != nil
        } else {
            guard value.count <= 1024, let (host, port) = endpoint(String(decoding: value, as: UTF8.self)) else {
                return nil
            }
            told.address = host
            told.port = port
        }
        // A host and port alone may be anybody's setting: somebody must have meant it as a service.
        guard hasLease || name.isRooted || isNamed else { return nil }
        told.service = told.service ?? name.service
        told.id = name.id ?? told.id
        told.key = key
        if value.count <= Bounds.longestValue { told.value = String(validating: value, as: UTF8.self) }
        return told.service == nil ? nil : told
    }

    /// False where it is not about an endpoint.
    private static func read(_ fields: Fields, into told: inout Advertisement) -> Bool {
        let names = ["Name", "ServiceName", "Service"].compactMap { fields.text($0) }.filter { !$0.isEmpty }
        told.service = names.first.flatMap { Bounds.name($0) }
        // An absurd name is none of the key's.
        guard told.service != nil || names.isEmpty else { return false }
        told.id = ["ID", "InstanceID", "UUID"].lazy.compactMap { Bounds.name(fields.text($0)) }.first
        told.tags = fields.texts("Tags")
        told.meta = fields.map("Meta") ?? fields.map("Metadata")
        told.protocol = Bounds.name(fields.text("Protocol") ?? fields.text("Scheme"))
        let written = ["Address", "Addr", "IP", "Host", "Endpoint"].lazy.compactMap { fields.text($0) }.first
        let address = written ?? fields.texts("Endpoints")?.first
        if let address, let (host, port) = endpoint(address) {
            told.address = host
            told.port = fields.has("Port") ? Bounds.port(fields.number("Port")) : port
        } else {
            told.address = Bounds.address(address)
            told.port = Bounds.port(fields.number("Port"))
        }
        return address != nil || fields.has("Port")
    }

    /// "10.0.0.1:80", "[fd00::1]:80", "grpc://host:80/path?query".
    private static func endpoint(_ text: String) -> (host: String, port: Int)? {
        var rest = Substring(text)
        if let scheme = rest.firstRange(of: "://") { rest = rest[scheme.upperBound...] }
        rest = rest.prefix { $0 != "/" && $0 != "?" }
        guard let colon = rest.lastIndex(of: ":"), let port = UInt16(rest[rest.index(after: colon)...]) else {
            return nil
        }
        var host = rest[..<colon]
        if host.hasPrefix("[") && host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return Bounds.address(String(host)).map { ($0, Int(port)) }
    }

    /// Base64, standard or URL alphabet, padded or not, as protocol buffers' JSON allows. Nil: none of that.
    static func bytes(_ text: String?) -> [UInt8]? {
        guard let text else { return [] }
        var plain = text.replacing("-", with: "+").replacing("_", with: "/")
        while plain.utf8.count % 4 != 0 && plain.utf8.count % 4 != 1 { plain += "=" }
        return Data(base64Encoded: plain).map { [UInt8]($0) }
    }
}

extension String {
    fileprivate init?(validating bytes: [UInt8], as _: UTF8.Type) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard Array(text.utf8) == bytes else { return nil }
        self = text
    }

    /// Nil where the bytes are not UTF-8.
    init?(exactly bytes: [UInt8]) { self.init(validating: bytes, as: UTF8.self) }
}
