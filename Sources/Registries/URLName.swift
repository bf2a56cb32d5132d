internal import Model

/// A node or key whose last segment is a whole URL, percent-encoded.
struct URLName {
    let scheme: String
    let host: String
    let port: Int?
    let parameters: [String: String]

    init?(_ segment: String) {
        guard segment.contains("%"), let text = HTTPRequest(target: "/" + segment).path.first,
            let mark = text.firstRange(of: "://"), let scheme = Bounds.name(String(text[..<mark.lowerBound]))
        else { return nil }
        self.scheme = scheme
        if let (host, port) = KeyedEndpoints.endpoint(text) {
            (self.host, self.port) = (host, port)
        } else {
            // Consumers have no port.
            let place = text[mark.upperBound...].prefix { $0 != "/" && $0 != "?" }
            guard let host = Bounds.address(String(place)) else { return nil }
            (self.host, port) = (host, nil)
        }
        parameters = HTTPRequest(target: text).query
    }
}

/// Dubbo and its relatives.
extension KeyedEndpoints {
    /// `/dubbo/INTERFACE/providers/URL`, under any root.
    static func isProvider(_ segments: [String]) -> Bool {
        segments.count > 3 && segments[segments.count - 2] == "providers"
    }

    /// The registration of a provider, whatever the value under its key.
    static func provider(in registry: String, key: String) -> Advertisement? {
        let segments = segments(key)
        guard isProvider(segments), let url = segments.last.flatMap({ URLName($0) }) else { return nil }
        let name = name(key)
        var told = Advertisement(registry: registry, op: .register)
        (told.service, told.id) = (name.service, name.id)
        (told.address, told.port, told.protocol) = (url.host, url.port, url.scheme)
        told.meta = url.parameters
        told.version = Bounds.name(url.parameters["version"])
        told.group = Bounds.name(url.parameters["group"])
        return told.service == nil ? nil : told
    }
}

extension HTTPRequest {
    fileprivate init(target: String) { self.init(method: "", target: target, headers: [:]) }
}
