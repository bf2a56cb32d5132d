import Foundation

/// Servers of registries, each in a namespace at its usual port. They return when they answer, and end with the lab.
extension Namespace {
    /// One that says yes to everything, from `servers/registry.py`.
    /// - Parameter kind: consul, eureka, nacos or uddi.
    public func serveRegistry(_ kind: String, at address: String) throws {
        try serve("registry.py", kind, address, by: .clients)
    }

    /// Nacos's gRPC side, which says yes to everything, too.
    public func serveNacosGRPC(at address: String) throws { try serve("nacos3.py", address, by: .nacosClient) }

    private func serve(_ script: String, _ words: String..., by tool: Tool) throws {
        let file = "\(Lab.sourceRoot)/Tests/Lab/servers/\(script)"
        let server = try start(
            [tool.python, file] + words, as: script, environment: ["PYTHONDONTWRITEBYTECODE": "1"])
        try server.waitForOutput("ready\n", limit: .seconds(30))
    }

    /// Debian's ZooKeeper, whose sessions may be as short as a second.
    public func serveZooKeeper(at address: String) throws {
        let data = "\(lab.directory)/\(lab.unique("zookeeper"))"
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        let file = try lab.file(
            "\(lab.unique("zoo")).cfg",
            """
            tickTime=500
            dataDir=\(data)
            clientPort=2181
            clientPortAddress=\(address)
            admin.enableServer=false

            """)
        let main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        _ = try start(["java", "-Xmx64m", "-cp", Tool.zooKeeper.path, main, file], as: "zookeeper")
        try waitForService(at: Endpoint(address, 2181), limit: .seconds(30))
    }

    /// BIND, primary server of `svc.example`, which takes updates signed with a key. - Returns: the key, in base 64.
    public func serveDNS(at address: String) throws -> String {
        let key = Data("a key that anybody may know, 32 b".utf8).base64EncodedString()
        let directory = "\(lab.directory)/\(lab.unique("named"))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let zone = """
            $TTL 60
            @ SOA ns hostmaster 1 60 60 60 60
            @ NS ns
            ns A \(address)
            _billing._tcp SRV 0 0 8000 ns

            """
        try zone.write(toFile: "\(directory)/zone", atomically: true, encoding: .utf8)
        let file = try lab.file(
            "\(lab.unique("named")).conf",
            """
            options {
                directory "\(directory)"; pid-file none; session-keyfile none; lock-file none;
                listen-on port 53 { \(address); }; listen-on-v6 { none; }; recursion no; dnssec-validation no;
            };
            controls { };
            key "lab-key" { algorithm hmac-sha256; secret "\(key)"; };
            zone "svc.example" { type primary; file "zone"; allow-update { key "lab-key"; }; };

            """)
        try start([Tool.named.path, "-g", "-c", file], as: "named").waitForOutput("running")
        return key
    }

    public func serveNATS(at address: String) throws {
        try start(["\(Tool.clients.path)/nats-server", "-a", address, "-p", "4222"], as: "nats")
            .waitForOutput("Server is ready")
    }
}

/// Avahi in a guest, with one service that it announces. There is no message bus, and nothing of the machine's own
/// Avahi is touched: what it finds in `/etc/avahi/services` and `/run` is its own.
public final class AvahiDaemon: Sendable {
    private let process: Child
    private let service: String

    /// Returns when it has claimed its names.
    public init(_ type: String, at port: UInt16, in guest: Namespace) throws {
        let name = guest.lab.unique("avahi")
        let services = "\(guest.lab.directory)/\(name)"
        try FileManager.default.createDirectory(atPath: services, withIntermediateDirectories: true)
        service = try guest.lab.file(
            "\(name)/one.service",
            """
            <service-group><name>One</name><service><type>\(type)</type><port>\(port)</port></service></service-group>
            """)
        let file = try guest.lab.file(
            "\(name).conf",
            """
            [server]
            host-name=avahi-host
            use-ipv6=no
            enable-dbus=no
            allow-interfaces=eth0
            [publish]
            publish-workstation=no

            """)
        let own = "mount --bind \"$1\" /etc/avahi/services && mount -t tmpfs own /run && mkdir /run/avahi-daemon"
        let run = "exec \"$2\" --no-drop-root --no-rlimits --no-chroot -f \"$3\""
        process = try guest.start(
            ["unshare", "--mount", "sh", "-c", "\(own) && \(run)", "avahi", services, Tool.avahi.path, file],
            as: "avahi")
        try process.waitForOutput("successfully established", limit: .seconds(30))
    }

    /// Takes the service back, as an administrator does who removes its file.
    public func withdraw() throws {
        try FileManager.default.removeItem(atPath: service)
        process.signal(SIGHUP)
    }
}
