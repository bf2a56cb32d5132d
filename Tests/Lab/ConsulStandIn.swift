/// Says yes to whatever comes in as a request of Consul's agent API. Debian 12 has no Consul: what a real one and its
/// clients say is in the captures that the dialect is scored by, and this is for what follows from it.
public final class ConsulStandIn: Sendable {
    public let endpoint: Endpoint

    private static let script = """
        #!/bin/sh
        length=0
        while read -r line; do
            line=$(printf %s "$line" | tr -d '\\r')
            [ -n "$line" ] || break
            case $line in Content-Length:*) length=${line#*: } ;; esac
        done
        head -c "$length" > /dev/null
        printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n'
        """

    /// Returns when it answers.
    public init(in namespace: Namespace, address: String) throws {
        endpoint = Endpoint(address, 8500)
        let script = try namespace.lab.file("consul", Self.script)
        try call(["chmod", "+x", script])
        _ = try namespace.start(["busybox", "nc", "-ll", "-p", "\(endpoint.port)", "-e", script], as: "consul")
        try namespace.waitForService(at: endpoint)
    }

    /// One call of the agent API, from `caller`.
    public func put(_ path: String, _ json: String, from caller: Namespace) throws {
        try call(
            [
                "curl", "-sS", "--fail", "--max-time", "10", "-X", "PUT", "-d", json,
                "http://\(endpoint)/v1/agent/\(path)",
            ],
            in: caller)
    }
}
