/// An answer to an HTTP GET.
public struct Page: Hashable, Sendable {
    public let status: Int
    public let body: String

    /// Fetches over a connection of its own.
    public static func get(
        _ path: String = "/", from namespace: Namespace, at endpoint: Endpoint, sourcePort: UInt16? = nil,
        timeout: Duration = .seconds(5)
    ) throws(ConnectionError) -> Page {
        let connection = try Connection(from: namespace, to: endpoint, sourcePort: sourcePort, timeout: timeout)
        try connection.send(request(path, at: endpoint))
        return try read(from: connection)
    }

    public static func request(_ path: String, at endpoint: Endpoint) -> String {
        "GET \(path) HTTP/1.1\r\nHost: \(endpoint)\r\nConnection: close\r\n\r\n"
    }

    /// The answer on a connection that the server closes behind it.
    public static func read(from connection: borrowing Connection) throws(ConnectionError) -> Page {
        let text = String(decoding: try connection.receiveAll(), as: UTF8.self)
        let words = text.prefix(while: { !$0.isNewline }).split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]),
            let body = text.firstRange(of: "\r\n\r\n")
        else { throw ConnectionError(unexpected: "no HTTP answer, but \(text.count) characters") }
        return Page(status: status, body: String(text[body.upperBound...].drop(while: \.isWhitespace)).trimmed)
    }
}

extension String {
    var trimmed: String {
        var rest = self[...]
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
