import Foundation

/// Debian's etcd: the registry. Version 3's gRPC and JSON gateway and version 2 are on the client port.
public final class EtcdServer: Sendable {
    public let endpoint: Endpoint
    public let process: Child
    private let namespace: Namespace

    /// Returns when it answers.
    public init(in namespace: Namespace, address: String, port: UInt16 = 2379) throws {
        self.namespace = namespace
        endpoint = Endpoint(address, port)
        let data = "\(namespace.lab.directory)/\(namespace.lab.unique("etcd"))"
        process = try namespace.start(
            [
                "etcd", "--name", "lab", "--data-dir", data,
                "--listen-client-urls", "http://\(endpoint)", "--advertise-client-urls", "http://\(endpoint)",
                "--listen-peer-urls", "http://127.0.0.1:2380",
                "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
                "--initial-cluster", "lab=http://127.0.0.1:2380",
                "--heartbeat-interval", "50", "--election-timeout", "500", "--unsafe-no-fsync", "--enable-v2",
            ], as: "etcd")
        try process.waitForOutput("ready to serve client requests")
    }

    /// One call of the gateway, from `caller`, as any HTTP client makes it. - Returns: the answer's JSON.
    @discardableResult
    public func post(_ path: String, _ json: String, from caller: Namespace) throws -> JSON {
        let text = try call(
            ["curl", "-sS", "--fail", "--max-time", "10", "-d", "@-", "http://\(endpoint)/v3/\(path)"], in: caller,
            input: json)
        return try JSON(parsing: text)
    }

    /// Stores a value under a key, without a lease.
    public func put(_ key: String, _ value: String, from caller: Namespace) throws {
        try post("kv/put", "{\"key\":\"\(Self.encoded(key))\",\"value\":\"\(Self.encoded(value))\"}", from: caller)
    }

    /// The keys that begin with `directory`, which ends with a slash.
    public func keys(under directory: String) throws -> [String] {
        let answer = try post("kv/range", "{\(Self.range(directory))}", from: namespace)
        return answer["kvs"].array.compactMap { entry in
            entry["key"].string.flatMap { Data(base64Encoded: $0) }.map { String(decoding: $0, as: UTF8.self) }
        }
    }

    /// JSON members that name all keys under a directory: up to the same with "0", which follows "/".
    static func range(_ directory: String) -> String {
        "\"key\":\"\(encoded(directory))\",\"range_end\":\"\(encoded(directory.dropLast() + "0"))\""
    }

    static func encoded(_ text: some StringProtocol) -> String { Data(text.utf8).base64EncodedString() }
}

/// A service's registration with etcd: its lease, its key, and the program that keeps the lease alive.
public final class Registration: Sendable {
    public let lease: String
    private let key: String
    private let keeper: Child?
    private let server: EtcdServer
    private let owner: Namespace

    /// - Parameters:
    ///   - id: of this instance, the end of its key.
    ///   - ttl: of the lease in seconds.
    ///   - keptAlive: whether a program renews the lease every third of it.
    public init(
        _ service: String, id: String, address: String, port: UInt16, ttl: Int = 10, keptAlive: Bool = true,
        with server: EtcdServer, from owner: Namespace
    ) throws {
        (self.server, self.owner) = (server, owner)
        let granted = try server.post("lease/grant", "{\"TTL\":\"\(ttl)\"}", from: owner)
        guard let lease = granted["ID"].string else { throw Failure("etcd granted no lease: \(granted)") }
        self.lease = lease
        key = EtcdServer.encoded("/services/\(service)/\(id)")
        let name = String(decoding: try JSONEncoder().encode(service), as: UTF8.self)
        let value = EtcdServer.encoded("{\"Name\":\(name),\"Address\":\"\(address)\",\"Port\":\(port)}")
        try server.post("kv/put", "{\"key\":\"\(key)\",\"value\":\"\(value)\",\"lease\":\"\(lease)\"}", from: owner)
        let renew = "curl -sS --max-time 5 -d '{\"ID\":\"\(lease)\"}' http://\(server.endpoint)/v3/lease/keepalive"
        keeper =
            keptAlive
            ? try owner.start(["sh", "-c", "while sleep \(max(1, ttl / 3)); do \(renew); done"], as: "keep-alive") : nil
    }

    /// No more keep-alives; the lease lapses by itself.
    public func silence() throws { try keeper?.destroy() }

    public func withdraw() throws {
        try silence()
        try server.post("kv/deleterange", "{\"key\":\"\(key)\"}", from: owner)
        try server.post("lease/revoke", "{\"ID\":\"\(lease)\"}", from: owner)
    }
}
