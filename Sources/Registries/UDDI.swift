import Model

/// UDDI's programming interface (OASIS, UDDI Version 2.04 API): SOAP over HTTP. A service is looked up and saved with
/// its bindings, whose access points say where it is; versions 1 and 3 use the same words. An instance is a binding.
final class UDDI: HTTPDialect {
    static let name = "uddi"
    static let usualPorts: [UInt16] = [8080]
    static let answerBytes = 65_536
    /// Of one message.
    static let mostEntries = 256

    private(set) var unreadable = 0
    private var memory = UDDIMemory()

    /// Registries are free to choose their paths; these words are in most.
    func knows(path: ArraySlice<String>) -> Bool {
        path.contains { segment in
            let text = segment.lowercased()
            return text.contains("uddi") || text.hasPrefix("inquir") || text.hasPrefix("publi")
        }
    }

    /// SOAP at any other path: what it is about stands in the body.
    func mayKnow(_ head: HTTPRequest) -> Bool {
        head.method == "POST"
            && (head.headers["soapaction"] != nil || head.headers["content-type"]?.lowercased().contains("xml") == true)
    }

    func asked(_ request: HTTPRequest, of registry: RegistryPlace) -> Asked? {
        guard request.method == "POST", let body = request.body, Self.mayBe(body) else { return nil }
        guard let message = Markup(body)?.soapBody else {
            unreadable += 1
            return nil
        }
        let told =
            switch message.name {
            case "save_service": message.all("businessService").flatMap { Self.registrations(UDDIService($0)) }
            case "save_business":
                message.all("businessEntity").flatMap { $0["businessServices"]?.all("businessService") ?? [] }
                    .flatMap { Self.registrations(UDDIService($0)) }
            case "save_binding": message.all("bindingTemplate").flatMap { Self.registrations(UDDIService(binding: $0)) }
            case "delete_service": message.keys("serviceKey").map { Self.named(.deregister, service: $0) }
            case "delete_binding": message.keys("bindingKey").map { Self.named(.deregister, binding: $0) }
            case "find_service": Self.searches(message)
            case "find_binding": [Self.named(.discover, service: Bounds.name(message.attributes["serviceKey"]))]
            case "get_serviceDetail": message.keys("serviceKey").map { Self.named(.discover, service: $0) }
            case "get_bindingDetail": message.keys("bindingKey").map { Self.named(.discover, binding: $0) }
            default: [Advertisement]()
            }
        return told.isEmpty ? nil : Asked(advertisements: Array(told.prefix(Self.mostEntries)), needsBody: true)
    }

    /// The namespace of every version stands near the beginning.
    private static func mayBe(_ body: [UInt8]) -> Bool {
        body.prefix(4096).firstRange(of: Array("urn:uddi-org:api".utf8)) != nil
    }

    // MARK: - Requests

    private static func named(
        _ op: Advertisement.Operation, service: String? = nil, binding: String? = nil
    ) -> Advertisement {
        var told = Advertisement(registry: name, op: op)
        told.id = binding
        told.serviceId = service
        return told
    }

    /// One for each binding; of a service without any, one that names no place.
    private static func registrations(_ service: UDDIService) -> [Advertisement] {
        var told = named(.register, service: service.key)
        told.service = service.name
        guard !service.bindings.isEmpty else {
            told.id = service.key
            told.update = service.key == nil ? nil : true
            return [told]
        }
        return service.bindings.map { binding in
            var one = told
            one.id = binding.key
            one.update = binding.key == nil ? nil : true
            one.protocol = binding.scheme
            one.address = binding.address
            one.port = binding.port
            return one
        }
    }

    /// By name; one with a wildcard names no service.
    private static func searches(_ message: Markup) -> [Advertisement] {
        let searches = message.keys("name").map { pattern in
            var told = named(.discover)
            if pattern.contains("%") { told.query = pattern } else { told.service = pattern }
            return told
        }
        return searches.isEmpty ? [named(.discover)] : searches
    }

    // MARK: - Answers

    func settled(_ asked: Asked, by answer: HTTPAnswer?, of registry: RegistryPlace) -> [Advertisement] {
        let message = answer?.body.flatMap { Markup($0) }?.soapBody
        let accepted = answer.flatMap { Self.agrees($0, message) }
        let answered = message.map(Self.services) ?? []
        for service in answered { memory.learn(service, in: registry) }
        let saved = answered.flatMap(Self.registrations)
        var told = asked.advertisements.enumerated().flatMap { index, advertisement -> [Advertisement] in
            var one = advertisement
            one.accepted = accepted
            switch one.op {
            case .register:
                // The results come in the order of the request.
                if index < saved.count { one.complete(from: saved[index]) }
                memory.name(&one, in: registry)
                return [one]
            case .deregister: return memory.ended(one, in: registry)
            default:
                memory.name(&one, in: registry)
                return [one]
            }
        }
        guard accepted != false, asked.advertisements.first?.op == .register else { return told }
        // A service is saved whole: bindings that are not among those saved now are gone. A binding is saved alone.
        for service in Set(told.compactMap(\.serviceId)).sorted() {
            let isWhole = asked.advertisements.contains { $0.service != nil }
            told += memory.saved(service, told.filter { $0.serviceId == service }, isWhole: isWhole, in: registry)
        }
        return told
    }

    /// Nil where it agrees but is none of UDDI's: a page from whoever stands before the registry is not its word.
    private static func agrees(_ answer: HTTPAnswer, _ message: Markup?) -> Bool? {
        guard answer.agrees, message?.isRefusal != true else { return false }
        return message != nil && answer.body.map(mayBe) == true ? true : nil
    }

    /// What an answer says of services, wherever in it.
    private static func services(_ message: Markup) -> [UDDIService] {
        let services =
            message.all("businessService") + (message["serviceInfos"]?.all("serviceInfo") ?? [])
            + message.all("businessEntity").flatMap { $0["businessServices"]?.all("businessService") ?? [] }
        return (services.map { UDDIService($0) } + message.all("bindingTemplate").map { UDDIService(binding: $0) })
            .prefix(mostEntries).map { $0 }
    }
}

extension Markup {
    /// What a SOAP envelope carries.
    fileprivate var soapBody: Markup? { name == "Envelope" ? self["Body"]?.children.first : nil }

    /// A fault, or a report of anything but success.
    fileprivate var isRefusal: Bool {
        guard name == "dispositionReport" else { return name == "Fault" }
        return all("result").contains { ($0.attributes["errno"] ?? "0") != "0" }
    }

    fileprivate func keys(_ name: String) -> [String] {
        all(name).prefix(UDDI.mostEntries).compactMap { Bounds.name($0.trimmed) }
    }
}

extension Advertisement {
    /// The keys that the registry gave.
    fileprivate mutating func complete(from saved: Advertisement) {
        id = id ?? saved.id
        serviceId = serviceId ?? saved.serviceId
        service = service ?? saved.service
    }
}
