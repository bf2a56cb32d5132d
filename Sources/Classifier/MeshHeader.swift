/// Headers by which a mesh's sidecar or node proxy tells of itself (Envoy's and Linkerd's documentation). A VM may run
/// such a proxy, and anybody may send such a header: weak evidence, whatever it says.
public enum MeshHeader {
    private static let servers: Set<String> = ["envoy", "istio-envoy"]
    private static let prefixes = ["x-envoy-", "l5d-"]

    /// The first of them: "server: envoy", or its name. Nil: there is none.
    ///
    /// - Parameter headers: names in lower case.
    public static func first(among headers: [(name: String, value: String)]) -> String? {
        for (name, value) in headers {
            if name == "server", servers.contains(value.lowercased()) { return "server: \(value)" }
            if prefixes.contains(where: name.hasPrefix) { return name }
        }
        return nil
    }
}
