import Foundation

/// A machine that runs containers, as CNI sets it up: a bridge of its own, and addresses from host-local.
public final class ContainerNetwork: Sendable {
    private static let plugins = "/usr/lib/cni"
    private let host: Namespace

    /// - Parameters:
    ///   - port: the device of `nic` that leads here, plugged into `bridge`.
    public init(port: String, of nic: Namespace, bridge: String) throws {
        host = try Namespace("containers", in: nic.lab)
        try host.addBridge("cni0")
        try host.addCable("uplink", to: nic, port)
        try host.plug("uplink", into: "cni0")
        try nic.plug(port, into: bridge)
    }

    /// A container's network namespace and the address that CNI gave it.
    public struct Container: Sendable {
        public let namespace: Namespace
        public let address: String
    }

    /// Runs the plugins' ADD for a new namespace, as a container runtime does.
    public func addContainer(_ name: String) throws -> Container {
        let namespace = try Namespace(name, in: host.lab)
        let answer = try call(
            ["\(Self.plugins)/bridge"], in: host,
            environment: [
                "CNI_COMMAND": "ADD", "CNI_CONTAINERID": namespace.name, "CNI_NETNS": namespace.path,
                "CNI_IFNAME": "eth0", "CNI_PATH": Self.plugins,
            ], input: configuration)
        let address = try JSON(parsing: answer)["ips"].array.first?["address"].string
        guard let address = address?.split(separator: "/").first else {
            throw Failure("CNI gave no address: \(answer)")
        }
        return Container(namespace: namespace, address: String(address))
    }

    private var configuration: String {
        """
        {"cniVersion": "0.4.0", "name": "lab", "type": "bridge", "bridge": "cni0",
         "ipam": {"type": "host-local", "dataDir": "\(host.lab.directory)/cni",
                  "ranges": [[{"subnet": "10.88.0.0/16", "rangeStart": "10.88.3.2", "rangeEnd": "10.88.3.250"}]]}}
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
