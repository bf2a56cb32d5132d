internal import Fleet
internal import FoundationEssentials
internal import Model

/// A request as the server read it, whatever carried it.
struct APIRequest: Sendable {
    var method: String
    var path: String
    var query: [String: String]
    var body: [UInt8]

    /// `target` is the request line's: path and query. Nil if it is not one.
    init?(method: String, target: String, body: [UInt8]) {
        guard target.hasPrefix("/"), let parts = URLComponents(string: target) else { return nil }
        self.method = method
        self.body = body
        path = parts.path
        query = [:]
        for item in parts.queryItems ?? [] { query[item.name] = item.value ?? "" }
    }
}

struct APIResponse: Sendable {
    var status: Int
    var contentType: String
    var body: [UInt8]

    static let json = "application/json"
    static let text = "text/plain; version=0.0.4; charset=utf-8"

    init(status: Int, contentType: String, body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    init(_ value: some Encodable, status: Int = 200) {
        self.status = status
        contentType = Self.json
        do {
            body = try Array(APICoding.encoder().encode(value))
        } catch {
            self.status = 500
            body = Array(#"{"code":"failed","message":"the answer could not be written as JSON"}"#.utf8)
        }
    }

    init(_ error: OperationError) { self.init(error, status: error.httpStatus) }
}

enum APICoding {
    static func encoder() -> JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }
}

/// What the socket answers to. One row a request; the documentation is checked against it.
public struct APIRoute: Sendable {
    public let method: String
    public let path: String
    /// Names of the query's parameters.
    public let parameters: [String]
    let answer: @Sendable (APIRequest, any NodeOperations) async throws(OperationError) -> APIResponse

    init(
        _ method: String, _ path: String, _ parameters: [String] = [],
        answer: @escaping @Sendable (APIRequest, any NodeOperations) async throws(OperationError) -> APIResponse
    ) {
        self.method = method
        self.path = path
        self.parameters = parameters
        self.answer = answer
    }

    public static let all: [APIRoute] = reads + changes

    /// The only one that the TCP address answers to.
    static let metrics = APIRoute("GET", "/metrics") { _, node async throws(OperationError) in
        let text = try await node.metrics().exposition()
        return APIResponse(status: 200, contentType: APIResponse.text, body: Array(text.utf8))
    }

    private static let reads: [APIRoute] = [
        metrics,
        read("/v1/status") { node async throws(OperationError) in try await node.status() },
        read("/v1/services") { node async throws(OperationError) in try await node.services() },
        read("/v1/proxies") { node async throws(OperationError) in try await node.proxies() },
        read("/v1/ports") { node async throws(OperationError) in try await node.ports() },
        read("/v1/instances") { node async throws(OperationError) in try await node.instances() },
        read("/v1/workloads") { node async throws(OperationError) in try await node.workloads() },
        read("/v1/registries") { node async throws(OperationError) in try await node.registries() },
        read("/v1/counters") { node async throws(OperationError) in try await node.metrics() },
        APIRoute("GET", "/v1/explain", ["subject"]) { request, node async throws(OperationError) in
            APIResponse(try await node.explain(try request.required("subject")))
        },
        APIRoute("GET", "/v1/connections", ["limit"]) { request, node async throws(OperationError) in
            APIResponse(
                try await node.connections(
                    limit: try request.number("limit", in: 1...APILimits.mostFlows) ?? APILimits.mostFlows))
        },
        APIRoute("GET", "/v1/flows", ["from", "limit", "wait"]) { request, node async throws(OperationError) in
            let wait = Duration.milliseconds(try request.number("wait", in: 0...APILimits.longestWait) ?? 0)
            let page = try await node.flows(
                from: try request.number("from", in: 0...UInt64.max),
                limit: try request.number("limit", in: 1...APILimits.mostFlows) ?? 100, wait: wait)
            return APIResponse(page)
        },
    ]

    private static let changes: [APIRoute] = [
        APIRoute("POST", "/v1/apply", ["file"]) { request, node async throws(OperationError) in
            APIResponse(try await node.apply(try request.text(), file: request.query["file"] ?? "request"))
        },
        APIRoute("POST", "/v1/delete", ["file"]) { request, node async throws(OperationError) in
            APIResponse(try await node.delete(try request.text(), file: request.query["file"] ?? "request"))
        },
        APIRoute("DELETE", "/v1/declared", ["kind", "service", "namespace", "network"]) {
            request, node async throws(OperationError) in
            let kind = try request.choice("kind", of: Document.Kind.self)
            return APIResponse(try await node.delete(kind, try request.serviceID()))
        },
        APIRoute("PUT", "/v1/mode", ["mode", "port", "service", "namespace", "network"]) {
            request, node async throws(OperationError) in
            let mode = try request.choice("mode", of: Mode.self)
            return APIResponse(try await node.setMode(mode, for: try request.scope()))
        },
        APIRoute("POST", "/v1/detach", ["port", "all"]) { request, node async throws(OperationError) in
            let port = request.query["port"].map { PortName($0) }
            guard (port == nil) == (request.query["all"] == "true") else {
                throw OperationError(.badInput, "detach takes a port, or all=true")
            }
            return APIResponse(try await node.detach(port: port))
        },
    ]

    private static func read<View: Encodable & SendableMetatype>(
        _ path: String, _ view: @escaping @Sendable (any NodeOperations) async throws(OperationError) -> View
    ) -> APIRoute {
        APIRoute("GET", path) { _, node async throws(OperationError) in APIResponse(try await view(node)) }
    }

    /// Never fails: errors are answers too.
    static func respond(to request: APIRequest, among routes: [APIRoute], node: any NodeOperations) async -> APIResponse
    {
        let here = routes.filter { $0.path == request.path }
        guard let route = here.first(where: { $0.method == request.method }) else {
            guard here.isEmpty else {
                let methods = here.map(\.method).joined(separator: ", ")
                return APIResponse(
                    OperationError(.badInput, "\(request.path) takes \(methods), not \(request.method)"), status: 405)
            }
            return APIResponse(OperationError(.notFound, "there is no \(request.path)"))
        }
        if let unknown = request.query.keys.sorted().first(where: { !route.parameters.contains($0) }) {
            return APIResponse(OperationError(.badInput, "\(route.path) has no parameter '\(unknown)'"))
        }
        do {
            return try await route.answer(request, node)
        } catch {
            return APIResponse(error)
        }
    }
}

/// Bounds of the socket. Requests come from this machine, but one that misbehaves must not hang the others.
public enum APILimits {
    static let requestBytes = 1 << 20
    static let responseBytes = 64 << 20
    static let connections = 64
    static let metricsConnections = 8
    public static let mostFlows = 10_000
    /// Of a long poll, in milliseconds.
    static let longestWait: Int64 = 30_000
    /// To send a whole request, and to be idle between two.
    static let requestSeconds: Int64 = 30
    /// To take an answer.
    static let responseSeconds: Int64 = 30
}

extension APIRequest {
    fileprivate func required(_ key: String) throws(OperationError) -> String {
        guard let value = query[key], !value.isEmpty else {
            throw OperationError(.badInput, "\(path) needs the parameter '\(key)'")
        }
        return value
    }

    fileprivate func number<Number: FixedWidthInteger>(
        _ key: String, in range: ClosedRange<Number>
    ) throws(OperationError) -> Number? {
        guard let text = query[key] else { return nil }
        guard let number = Number(text), range.contains(number) else {
            throw OperationError(
                .badInput, "'\(key)' is a number from \(range.lowerBound) to \(range.upperBound), not '\(text)'")
        }
        return number
    }

    fileprivate func choice<Value: RawRepresentable<String> & CaseIterable>(
        _ key: String, of: Value.Type
    ) throws(OperationError) -> Value {
        let text = try required(key)
        guard let value = Value(rawValue: text) else {
            throw OperationError(
                .badInput, "unknown \(key) '\(text)'" + didYouMean(text, among: Value.allCases.map(\.rawValue)))
        }
        return value
    }

    fileprivate func serviceID() throws(OperationError) -> ServiceID {
        ServiceID(
            network: NetworkID(try number("network", in: 0...UInt16.max) ?? 0),
            namespace: query["namespace"] ?? "default", name: try required("service"))
    }

    fileprivate func scope() throws(OperationError) -> ModeScope {
        switch (query["port"], query["service"]) {
        case (nil, nil): return .all
        case (let port?, nil): return .port(PortName(port))
        case (nil, _?): return .service(try serviceID())
        case (_?, _?): throw OperationError(.badInput, "a mode is set for a port or a service, not for both")
        }
    }

    fileprivate func text() throws(OperationError) -> String {
        guard let text = String(validating: body, as: UTF8.self) else {
            throw OperationError(.badInput, "the documents are not UTF-8")
        }
        return text
    }
}
