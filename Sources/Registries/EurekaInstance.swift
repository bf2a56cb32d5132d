import Model

/// An instance as Eureka is told of it, from either of its notations.
struct EurekaInstance {
    struct Port {
        var number: Int?
        var isEnabled: Bool?
    }

    private(set) var app: String?
    private(set) var id: String?
    private(set) var vips: [String] = []
    private var group: String?
    private var hostName: String?
    private var address: String?
    private var port = Port()
    private var securePort = Port()
    private var status: String?
    private var duration: Int64?
    private var renewal: Int64?
    private var meta: [String: String]?
    private var zone: String?

    /// Nil where the body is neither, or no instance.
    init?(_ body: [UInt8]) {
        if Markup.looksLike(body) {
            guard let root = Markup(body), root.name == "instance" || root.name.hasSuffix("InstanceInfo") else {
                return nil
            }
            read(root)
        } else {
            guard let fields = Fields(body), let instance = fields.object("instance") else { return nil }
            read(instance)
        }
    }

    func describe(_ told: inout Advertisement) {
        // Left out, the plain port is open and the secure one is not.
        let isPlain = port.number != nil && (port.isEnabled != false || securePort.isEnabled != true)
        let open = isPlain ? port.number : securePort.number
        told.address = address
        told.port = open
        told.protocol = open.map { _ in isPlain ? "http" : "https" }
        told.group = group
        told.hostName = hostName
        told.status = status
        told.ttlSeconds = Bounds.seconds(duration)
        told.renewalIntervalSeconds = Bounds.seconds(renewal)
        told.meta = meta
        told.zone = Bounds.name(meta?["zone"]) ?? zone
    }

    /// Several virtual addresses stand in one field, with commas between.
    private static func vips(_ texts: [String?]) -> [String] {
        texts.compactMap { $0 }.flatMap { $0.split(separator: ",", maxSplits: 15) }.compactMap {
            Bounds.name(String($0))
        }
    }

    // MARK: - JSON

    private mutating func read(_ fields: Fields) {
        app = Bounds.name(fields.text("app"))
        group = Bounds.name(fields.text("appGroupName"))
        hostName = Bounds.address(fields.text("hostName"))
        address = Bounds.address(fields.text("ipAddr"))
        port = Self.port(fields, "port")
        securePort = Self.port(fields, "securePort")
        status = Bounds.name(fields.text("status"))
        duration = fields.object("leaseInfo")?.number("durationInSecs")
        renewal = fields.object("leaseInfo")?.number("renewalIntervalInSecs")
        meta = fields.looseMap("metadata")?.filter { !$0.key.hasPrefix("@") }
        let dataCenter = fields.object("dataCenterInfo")?.object("metadata")
        zone = Bounds.name(dataCenter?.text("availability-zone"))
        vips = Self.vips([fields.text("vipAddress"), fields.text("secureVipAddress")])
        id = Bounds.name(fields.text("instanceId")) ?? Bounds.name(dataCenter?.text("instance-id")) ?? hostName
    }

    /// A number, or an object of "$" and "@enabled".
    private static func port(_ fields: Fields, _ name: String) -> Port {
        guard let port = fields.object(name) else { return Port(number: Bounds.port(fields.number(name))) }
        return Port(
            number: Bounds.port(port.number("$")),
            isEnabled: port.flag("@enabled") ?? port.text("@enabled").map { $0.lowercased() == "true" })
    }

    // MARK: - XML

    private mutating func read(_ root: Markup) {
        app = Bounds.name(root.text("app") ?? root.text("name"))
        group = Bounds.name(root.text("appGroupName"))
        hostName = Bounds.address(root.text("hostName"))
        address = Bounds.address(root.text("ipAddr"))
        port = Self.port(root["port"])
        securePort = Self.port(root["securePort"])
        status = Bounds.name(root.text("status"))
        duration = root["leaseInfo"]?.text("durationInSecs").flatMap { Int64($0) }
        renewal = root["leaseInfo"]?.text("renewalIntervalInSecs").flatMap { Int64($0) }
        meta = root["metadata"].map(Self.metadata)
        let dataCenter = root["dataCenterInfo"]?["metadata"]
        zone = Bounds.name(dataCenter?.text("availability-zone"))
        vips = Self.vips([root.text("vipAddress"), root.text("secureVipAddress")])
        id = Bounds.name(root.text("instanceId")) ?? Bounds.name(dataCenter?.text("instance-id")) ?? hostName
    }

    private static func port(_ element: Markup?) -> Port {
        guard let element else { return Port() }
        let number = element.text.filter { !$0.isWhitespace }
        return Port(
            number: Bounds.port(Int64(number)),
            isEnabled: element.attributes["enabled"].map { $0.lowercased() == "true" })
    }

    /// Names that XML does not allow are escaped: "__" stands for "_", "_-" for "$".
    private static func metadata(_ element: Markup) -> [String: String] {
        var values: [String: String] = [:]
        for child in element.children.prefix(LooseMap.most) where child.children.isEmpty {
            let name = child.name.replacing("__", with: "\u{0}").replacing("_-", with: "$").replacing(
                "\u{0}", with: "_")
            if values[name] == nil { values[name] = child.text }
        }
        return values
    }
}
