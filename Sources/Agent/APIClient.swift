public import Fleet
internal import FoundationEssentials
public import Model
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// The agent's operations, asked for over its socket. Each call is a connection of its own.
public struct APIClient: NodeOperations {
    private let socket: String

    public init(socket: String) { self.socket = socket }

    public func status() async throws(OperationError) -> StatusView { try await get("/v1/status") }
    public func services() async throws(OperationError) -> [ServiceView] { try await get("/v1/services") }
    public func proxies() async throws(OperationError) -> [ProxyView] { try await get("/v1/proxies") }
    public func ports() async throws(OperationError) -> [PortView] { try await get("/v1/ports") }
    public func instances() async throws(OperationError) -> [InstanceView] { try await get("/v1/instances") }
    public func workloads() async throws(OperationError) -> [WorkloadView] { try await get("/v1/workloads") }
    public func registries() async throws(OperationError) -> [RegistryView] { try await get("/v1/registries") }
    public func metrics() async throws(OperationError) -> MetricsSnapshot { try await get("/v1/counters") }

    public func explain(_ subject: String) async throws(OperationError) -> [ExplanationView] {
        try await get("/v1/explain", ["subject": subject])
    }

    public func connections(limit: Int) async throws(OperationError) -> [ConnectionView] {
        try await get("/v1/connections", ["limit": "\(limit)"])
    }

    public func flows(from cursor: UInt64?, limit: Int, wait: Duration) async throws(OperationError) -> FlowPage {
        let milliseconds = min(max(0, wait.milliseconds), APILimits.longestWait)
        var query = ["limit": "\(limit)", "wait": "\(milliseconds)"]
        query["from"] = cursor.map(String.init)
        return try await get("/v1/flows", query)
    }

    public func apply(_ text: String, file: String) async throws(OperationError) -> ChangeView {
        try await call("POST", "/v1/apply", ["file": file], body: text)
    }

    public func delete(_ text: String, file: String) async throws(OperationError) -> ChangeView {
        try await call("POST", "/v1/delete", ["file": file], body: text)
    }

    public func delete(_ kind: Document.Kind, _ service: ServiceID) async throws(OperationError) -> ChangeView {
        try await call("DELETE", "/v1/declared", Self.query(service).merging(["kind": kind.rawValue]) { $1 })
    }

    public func setMode(_ mode: Mode, for scope: ModeScope) async throws(OperationError) -> ChangeView {
        var query: [String: String]
        switch scope {
        case .all: query = [:]
        case .port(let port): query = ["port": port.description]
        case .service(let service): query = Self.query(service)
        }
        query["mode"] = mode.rawValue
        return try await call("PUT", "/v1/mode", query)
    }

    public func detach(port: PortName?) async throws(OperationError) -> ChangeView {
        try await call("POST", "/v1/detach", port.map { ["port": $0.description] } ?? ["all": "true"])
    }

    private static func query(_ service: ServiceID) -> [String: String] {
        ["service": service.name, "namespace": service.namespace, "network": service.network.description]
    }

    // MARK: HTTP

    private func get<View: Decodable>(
        _ path: String, _ query: [String: String] = [:]
    ) async throws(OperationError) -> View {
        try await call("GET", path, query)
    }

    private func call<View: Decodable>(
        _ method: String, _ path: String, _ query: [String: String], body: String = ""
    ) async throws(OperationError) -> View {
        let (status, bytes) = try await exchange(method, Self.target(path, query), body: body)
        if (200..<300).contains(status), let view = try? JSONDecoder().decode(View.self, from: Data(bytes)) {
            return view
        }
        if let error = try? JSONDecoder().decode(OperationError.self, from: Data(bytes)) { throw error }
        throw OperationError(
            .failed, "\(method) \(path) on \(socket): an answer that is not understood (HTTP \(status))",
            remedy: "agent and command line may be of different versions: compare `remora version` and `remora status`")
    }

    private static func target(_ path: String, _ query: [String: String]) -> String {
        guard !query.isEmpty else { return path }
        let pairs = query.sorted { $0.key < $1.key }.map { "\($0.key)=\(percentEncoded($0.value))" }
        return path + "?" + pairs.joined(separator: "&")
    }

    /// Everything but RFC 3986's unreserved characters: names are strangers' bytes.
    private static func percentEncoded(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            let scalar = Unicode.Scalar(byte)
            let isPlain = scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
            if isPlain || "-._~".unicodeScalars.contains(scalar) {
                encoded.unicodeScalars.append(scalar)
            } else {
                encoded += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return encoded
    }

    private func exchange(
        _ method: String, _ target: String, body: String
    ) async throws(OperationError) -> (status: Int, body: [UInt8]) {
        let answer = MultiThreadedEventLoopGroup.singleton.any().makePromise(of: APIAnswer.self)
        let bootstrap = ClientBootstrap(group: answer.futureResult.eventLoop)
            .connectTimeout(.seconds(5))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try channel.pipeline.syncOperations.addHandler(APIAnswerHandler(answer))
                }
            }
        let channel: any Channel
        do {
            channel = try await bootstrap.connect(unixDomainSocketPath: socket).get()
        } catch {
            answer.fail(error)
            throw OperationError(
                .unreachable, "connect to \(socket): \(APISocket.cause(of: error))",
                remedy: "is the agent running here, and is this its socket (--socket, --config)? It is root's alone.")
        }
        channel.write(HTTPClientRequestPart.head(Self.head(method, target, length: body.utf8.count)), promise: nil)
        if !body.isEmpty {
            channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(string: body))), promise: nil)
        }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        defer { channel.close(promise: nil) }
        do {
            let answer = try await withTaskCancellationHandler {
                try await answer.futureResult.get()
            } onCancel: {
                channel.close(promise: nil)
            }
            return (answer.status, answer.body)
        } catch {
            throw OperationError(.unreachable, "\(method) \(target) on \(socket): \(APISocket.cause(of: error))")
        }
    }

    private static func head(_ method: String, _ target: String, length: Int) -> HTTPRequestHead {
        let headers: HTTPHeaders = ["host": "remora", "content-length": "\(length)", "connection": "close"]
        return HTTPRequestHead(version: .http1_1, method: .init(rawValue: method), uri: target, headers: headers)
    }
}

private struct APIAnswer: Sendable {
    var status: Int
    var body: [UInt8]
}

/// Collects one answer, within bounds of size and time.
private final class APIAnswerHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let promise: EventLoopPromise<APIAnswer>
    private var answer = APIAnswer(status: 0, body: [])
    private var deadline: Scheduled<Void>?

    struct Failure: Error, CustomStringConvertible { let description: String }

    init(_ promise: EventLoopPromise<APIAnswer>) { self.promise = promise }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        let wait = APILimits.longestWait / 1000 + APILimits.responseSeconds
        deadline = context.eventLoop.scheduleTask(in: .seconds(wait)) { [promise] in
            promise.fail(Failure(description: "no answer within \(wait) s"))
            channel.close(promise: nil)
        }
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): answer.status = Int(head.status.code)
        case .body(let part):
            guard answer.body.count + part.readableBytes <= APILimits.responseBytes else {
                promise.fail(Failure(description: "an answer above \(APILimits.responseBytes) bytes"))
                return context.close(promise: nil)
            }
            answer.body.append(contentsOf: part.readableBytesView)
        case .end: promise.succeed(answer)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        promise.fail(Failure(description: "the agent closed the connection"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(error)
        context.close(promise: nil)
    }
}
