import FoundationEssentials
import Model

/// What names a service in Nacos: "group@@service", or the two apart.
struct NacosName {
    static let defaultGroup = "DEFAULT_GROUP"
    static let defaultNamespace = "public"

    var service: String?
    /// Nil where it was not said: the default group.
    var group: String?
    var namespace: String?

    init(service: String?, group: String?, namespace: String?) {
        self.namespace = Bounds.name(namespace)
        guard let service, let separator = service.firstRange(of: "@@") else {
            self.service = Bounds.name(service)
            self.group = Bounds.name(group)
            return
        }
        self.service = Bounds.name(String(service[separator.upperBound...]))
        self.group = Bounds.name(String(service[..<separator.lowerBound])) ?? Bounds.name(group)
    }

    init(_ parameters: [String: String]) {
        self.init(
            service: parameters["serviceName"], group: parameters["groupName"], namespace: parameters["namespaceId"])
    }

    init(_ json: Fields, namespace: String?) {
        self.init(service: json.text("serviceName"), group: json.text("groupName"), namespace: namespace)
    }

    func name(_ told: inout Advertisement) {
        told.service = service
        told.group = group
        told.namespace = namespace
    }
}

/// An instance as Nacos is told of it.
struct NacosInstance {
    var id: String?
    var address: String?
    var port: Int?
    var weight: Double?
    var cluster: String?
    var meta: [String: String]?
    var ephemeral: Bool?
    var enabled: Bool?
    var healthy: Bool?

    /// From a query or a form.
    init(_ parameters: [String: String]) {
        address = Bounds.address(parameters["ip"])
        port = Bounds.port(parameters["port"].flatMap { Int64($0) })
        weight = parameters["weight"].flatMap { Double($0) }
        cluster = Bounds.name(parameters["clusterName"] ?? parameters["cluster"])
        meta = parameters["metadata"].flatMap(Self.metadata)
        ephemeral = Self.flag(parameters["ephemeral"])
        enabled = Self.flag(parameters["enabled"] ?? parameters["enable"])
        healthy = Self.flag(parameters["healthy"])
    }

    /// From a beat, or from a request over gRPC.
    init(_ json: Fields) {
        id = Bounds.name(json.text("instanceId"))
        address = Bounds.address(json.text("ip"))
        port = Bounds.port(json.number("port"))
        weight = json.real("weight")
        cluster = Bounds.name(json.text("clusterName") ?? json.text("cluster"))
        meta = json.looseMap("metadata")
        ephemeral = json.flag("ephemeral")
        enabled = json.flag("enabled")
        healthy = json.flag("healthy")
    }

    func describe(_ told: inout Advertisement) {
        told.id = id
        told.address = address
        told.port = port
        told.weight = weight.flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
        told.cluster = cluster
        told.meta = meta
        told.ephemeral = ephemeral
        told.status = healthy == false ? "unhealthy" : enabled == false ? "disabled" : nil
        if told.op == .status, healthy == true { told.status = "healthy" }
    }

    static func flag(_ text: String?) -> Bool? {
        switch text?.lowercased() {
        case "true": true
        case "false": false
        default: nil
        }
    }

    /// JSON, or "key=value,key=value".
    private static func metadata(_ text: String) -> [String: String]? {
        guard !text.isEmpty, text.utf8.count <= Bounds.longestValue else { return nil }
        if let map = LooseMap(text.utf8) { return map.values }
        var values: [String: String] = [:]
        for pair in text.split(separator: ",", maxSplits: LooseMap.most) {
            let parts = pair.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2 else { return nil }
            values[String(parts[0])] = String(parts[1])
        }
        return values
    }
}
