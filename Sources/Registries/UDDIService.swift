import Model

/// A service as UDDI's messages describe it, or what a single binding tells of its own.
struct UDDIService {
    struct Binding {
        /// Nil: the registry is to choose one.
        var key: String?
        var scheme: String?
        var address: String?
        var port: Int?
    }

    var key: String?
    var name: String?
    var bindings: [Binding] = []

    /// - Parameter service: a businessService or a serviceInfo.
    init(_ service: Markup) {
        key = Bounds.name(service.attributes["serviceKey"])
        name = service.all("name").lazy.compactMap { Bounds.name($0.trimmed) }.first
        let templates = service["bindingTemplates"]?.all("bindingTemplate") ?? []
        bindings = templates.prefix(UDDI.mostEntries).map(Self.binding)
    }

    init(binding: Markup) {
        key = Bounds.name(binding.attributes["serviceKey"])
        bindings = [Self.binding(binding)]
    }

    private static func binding(_ template: Markup) -> Binding {
        var binding = Binding(key: Bounds.name(template.attributes["bindingKey"]))
        // Version 3 says what an access point leads to: only an end point is the service itself.
        guard let point = template["accessPoint"], ["endPoint", "http", nil].contains(point.attributes["useType"]),
            let place = place(point.trimmed)
        else { return binding }
        (binding.scheme, binding.address, binding.port) = place
        return binding
    }

    private static let usualPorts: [String: Int] = ["http": 80, "https": 443, "ftp": 21]

    /// Where a URL leads; its scheme's port if it names none.
    private static func place(_ url: String) -> (scheme: String, address: String, port: Int)? {
        guard url.utf8.count <= 2048, let separator = url.firstRange(of: "://") else { return nil }
        let scheme = url[..<separator.lowerBound].lowercased()
        guard Bounds.name(scheme) != nil else { return nil }
        var authority = url[separator.upperBound...].prefix { !"/?#".contains($0) }
        if let user = authority.lastIndex(of: "@") { authority = authority[authority.index(after: user)...] }
        let usual = usualPorts[scheme].flatMap { KeyedEndpoints.endpoint("\(authority):\($0)") }
        return (KeyedEndpoints.endpoint(String(authority)) ?? usual).map { (scheme, $0.host, $0.port) }
    }
}
