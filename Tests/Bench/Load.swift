import Lab

/// What is measured.
enum Metric: String, CaseIterable, Codable, CodingKeyRepresentable {
    case p50With1 = "p50, 1 connection"
    case p99With1 = "p99, 1 connection"
    case requestsWith1 = "requests/s, 1 connection"
    case p50With32 = "p50, 32 connections"
    case p99With32 = "p99, 32 connections"
    case requestsWith32 = "requests/s, 32 connections"
    case newConnections = "new connections/s"
    case bulk = "bulk"

    var unit: String {
        switch self {
        case .p50With1, .p99With1, .p50With32, .p99With32: "us"
        case .requestsWith1, .requestsWith32, .newConnections: "1/s"
        case .bulk: "Gbit/s"
        }
    }
}

/// The clients' programs: wrk and iperf3.
struct Load {
    let client: Namespace
    let seconds: Int

    /// One run of a program each.
    enum Kind: String, CaseIterable {
        case one = "1 connection"
        case many = "32 connections"
        case new = "new connections"
        case bulk
    }

    struct Requests {
        /// Microseconds.
        let p50: Double
        let p99: Double
        /// A second.
        let rate: Double
    }

    /// - Parameter keptOpen: whether a connection carries many requests, or one.
    /// - Throws: a Failure if a single request failed.
    func requests(at address: String, connections: Int, keptOpen: Bool = true) throws -> Requests {
        var words = ["wrk", "-t1", "-c\(connections)", "-d\(seconds)s", "--latency"]
        if !keptOpen { words += ["-H", "Connection: close"] }
        let text = try call(words + ["http://\(address)/"], in: client, limit: .seconds(seconds + 30))
        let lines = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        func value(after label: String) -> Double? {
            lines.first { $0.first == label && $0.count == 2 }.flatMap { Self.number($0[1]) }
        }
        guard let p50 = value(after: "50%"), let p99 = value(after: "99%"), let rate = value(after: "Requests/sec:"),
            !text.contains("Non-2xx"), rate > 0
        else { throw Failure("wrk said: \(text)") }
        // With "Connection: close" wrk counts the server's close as a read error now and then; a refused one is another.
        if text.contains("Socket errors"), !text.contains("connect 0,") || !text.contains("timeout 0") {
            throw Failure("wrk met failures: \(text)")
        }
        return Requests(p50: p50, p99: p99, rate: rate)
    }

    /// "1.25ms" in microseconds; "1234.5" as it is.
    private static func number(_ text: String) -> Double? {
        let digits = text.prefix { $0.isNumber || $0 == "." }
        guard let value = Double(digits) else { return nil }
        switch text.dropFirst(digits.count) {
        case "", "us": return value
        case "ms": return value * 1000
        case "s": return value * 1_000_000
        default: return nil
        }
    }

    /// Gbit/s from the client to the server, as the server received them.
    func bulk(at address: String) throws -> Double {
        let text = try call(
            ["iperf3", "-c", address, "-t", "\(seconds)", "-J"], in: client, limit: .seconds(seconds + 30))
        guard let bits = try JSON(parsing: text)["end"]["sum_received"]["bits_per_second"].number, bits > 0 else {
            throw Failure("iperf3 said: \(text.suffix(500))")
        }
        return bits / 1e9
    }
}
