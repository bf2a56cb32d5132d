import Foundation

/// A machine that runs containers, as Debian's CNI plugins set it up, with addresses from host-local.
public final class ContainerNetwork: Sendable {
    public enum Plugin: Sendable {
        /// A bridge with the machine's uplink in it: containers have MAC addresses of their own on the wire.
        case bridge
        /// A routed hop: the machine answers ARP for its containers and passes their packets on.
        case ptp
        /// Each container a device of its own on the uplink.
        case macvlan
        /// A bridge behind source NAT, and ports of the machine's address that lead to containers.
        case portmap
    }

    /// A container's network namespace and the address that it is reached by.
    public struct Container: Sendable {
        public let namespace: Namespace
        public let address: String
        /// The one that CNI gave it: another one, behind NAT.
        public let ownAddress: String
    }

    private static let plugins = "/usr/lib/cni"
    public let host: Namespace
    public let plugin: Plugin
    private let number: Int
    /// Of the machine itself, where it has one.
    private var hostAddress: String { "10.88.\(number).254" }

    /// - Parameters:
    ///   - port: the device of `nic` that leads here, plugged into `bridge`.
    ///   - number: containers and the machine get addresses in 10.88.NUMBER.0/24.
    public convenience init(
        port: String, of nic: Namespace, bridge: String, plugin: Plugin = .bridge, number: Int = 3
    ) throws {
        let host = try Namespace("containers", in: nic.lab)
        try host.addCable("uplink", to: nic, port)
        try nic.plug(port, into: bridge)
        try self.init(on: host, plugin: plugin, number: number)
    }

    /// - Parameter host: has a device named "uplink".
    public init(on host: Namespace, plugin: Plugin = .bridge, number: Int) throws {
        (self.host, self.plugin, self.number) = (host, plugin, number)
        switch plugin {
        case .bridge:
            try host.addBridge("cni0")
            try host.plug("uplink", into: "cni0")
        case .ptp:
            try host.ip("address add \(hostAddress)/16 dev uplink")
            try host.sysctl("net.ipv4.ip_forward=1", "net.ipv4.conf.uplink.proxy_arp=1")
        case .macvlan: break
        case .portmap:
            try host.ip("address add \(hostAddress)/16 dev uplink")
            try host.sysctl("net.ipv4.ip_forward=1")
        }
    }

    /// Runs the plugins' ADD for a new namespace, as a container runtime does.
    /// - Parameters:
    ///   - address: the one it is to have; nil: the next one.
    ///   - ports: of the machine, that lead to the same ones of the container; with `portmap`.
    public func addContainer(_ name: String, address: String? = nil, ports: [UInt16] = []) throws -> Container {
        let namespace = try Namespace(name, in: host.lab)
        let words = try invoke("ADD", pluginName, for: namespace, configuration, address: address)
        let given = try JSON(parsing: words)["ips"].array.first?["address"].string
        guard let own = given?.split(separator: "/").first.map(String.init) else {
            throw Failure("CNI gave no address: \(words)")
        }
        guard plugin == .portmap else { return Container(namespace: namespace, address: own, ownAddress: own) }
        _ = try invoke("ADD", "portmap", for: namespace, mappings(ports, after: words))
        return Container(namespace: namespace, address: hostAddress, ownAddress: own)
    }

    /// Runs DEL: its device and its address are free again.
    public func remove(_ container: Container) throws {
        _ = try invoke("DEL", pluginName, for: container.namespace, configuration)
    }

    private func invoke(
        _ command: String, _ plugin: String, for namespace: Namespace, _ configuration: String, address: String? = nil
    ) throws -> String {
        var environment = [
            "CNI_COMMAND": command, "CNI_CONTAINERID": namespace.name, "CNI_NETNS": namespace.path,
            "CNI_IFNAME": "eth0", "CNI_PATH": Self.plugins,
        ]
        environment["CNI_ARGS"] = address.map { "IgnoreUnknown=1;IP=\($0)" }
        return try call(["\(Self.plugins)/\(plugin)"], in: host, environment: environment, input: configuration)
    }

    private var pluginName: String {
        switch plugin {
        case .bridge, .portmap: "bridge"
        case .ptp: "ptp"
        case .macvlan: "macvlan"
        }
    }

    private var configuration: String {
        let block = "10.88.\(number)"
        let flat = """
            "subnet": "10.88.0.0/16", "rangeStart": "\(block).2", "rangeEnd": "\(block).250"
            """
        let all = "\"routes\": [{\"dst\": \"0.0.0.0/0\"}]"
        let (settings, range, routes) =
            switch plugin {
            case .bridge: ("\"bridge\": \"cni0\"", flat, "\"routes\": []")
            case .ptp: ("\"ipMasq\": false", "\"subnet\": \"10.88.\(number).0/24\"", all)
            case .macvlan: ("\"master\": \"uplink\", \"mode\": \"bridge\"", flat, "\"routes\": []")
            case .portmap:
                (
                    "\"bridge\": \"cni0\", \"isGateway\": true, \"ipMasq\": true",
                    "\"subnet\": \"172.20.\(number).0/24\"", all
                )
            }
        return """
            {"cniVersion": "0.4.0", "name": "lab\(number)", "type": "\(pluginName)", \(settings),
             "ipam": {"type": "host-local", "dataDir": "\(host.lab.directory)/cni", "ranges": [[{\(range)}]], \(routes)}}
            """
    }

    private func mappings(_ ports: [UInt16], after result: String) -> String {
        let list = ports.map { "{\"hostPort\": \($0), \"containerPort\": \($0), \"protocol\": \"tcp\"}" }
        return """
            {"cniVersion": "0.4.0", "name": "lab\(number)", "type": "portmap", "capabilities": {"portMappings": true},
             "runtimeConfig": {"portMappings": [\(list.joined(separator: ", "))]}, "prevResult": \(result)}
            """
    }
}

extension Namespace {
    /// An HTTP server like the guests': `/` is `name`.
    public func serve(_ name: String, port: UInt16) throws -> Child {
        let pages = "\(lab.directory)/\(lab.unique("pages-\(name)"))"
        try FileManager.default.createDirectory(atPath: pages, withIntermediateDirectories: true)
        try "\(name)\n".write(toFile: "\(pages)/index.html", atomically: true, encoding: .utf8)
        let server = try start(["busybox", "httpd", "-f", "-p", "\(port)", "-h", pages], as: "httpd-\(name)")
        try waitForService(at: Endpoint("127.0.0.1", port))
        return server
    }
}
