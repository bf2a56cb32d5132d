internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
public import ServiceLifecycle

/// The agent's surface: HTTP and JSON on a Unix socket for its owner, and `/metrics`, alone, on a TCP address if wanted.
public struct APIServer: Service {
    private let socket: String
    private let inode: UInt64?
    private let listeners: [any Channel]

    /// Takes the places to listen at: a second agent is refused before it has touched anything. Nobody finds the socket
    /// before it is published.
    public static func bind(
        socket: String, metrics: TCPEndpoint?, node: any NodeOperations
    ) async throws(OperationError) -> APIServer {
        try APISocket.prepare(socket)
        let unix = try await listen(on: socket, routes: APIRoute.all, limit: APILimits.connections, node: node) {
            $0.bind(unixDomainSocketPath: APISocket.aside(socket))
        }
        var listeners = [unix]
        do throws(OperationError) {
            if let metrics {
                let limit = APILimits.metricsConnections
                listeners += [
                    try await listen(on: "\(metrics)", routes: [.metrics], limit: limit, node: node) {
                        $0.bind(host: metrics.address.description, port: Int(metrics.port))
                    }
                ]
            }
        } catch {
            for listener in listeners { listener.close(promise: nil) }
            APISocket.discard(socket)
            throw error
        }
        return APIServer(socket: socket, listeners: listeners)
    }

    private init(socket: String, listeners: [any Channel]) {
        self.socket = socket
        self.listeners = listeners
        inode = APISocket.inode(APISocket.aside(socket))
    }

    /// Once the node is up: what answers at the socket hears, and can be asked anything.
    public func publish() throws(OperationError) { try APISocket.publish(socket) }

    /// Serves until the group shuts down, then closes and takes the socket away.
    public func run() async throws {
        try? await gracefulShutdown()
        await close()
    }

    public func close() async {
        APISocket.withdraw(socket, inode: inode)
        for listener in listeners { try? await listener.close() }
    }

    private static func listen(
        on name: String, routes: [APIRoute], limit: Int, node: any NodeOperations,
        bind: (ServerBootstrap) -> EventLoopFuture<any Channel>
    ) async throws(OperationError) -> any Channel {
        let gate = ConnectionGate(limit: limit)
        let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelInitializer { channel in
                guard gate.enter() else { return channel.close() }
                channel.closeFuture.whenComplete { _ in gate.leave() }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: true)
                    try channel.pipeline.syncOperations.addHandler(APIHandler(routes: routes, node: node))
                }
            }
        do {
            return try await bind(bootstrap).get()
        } catch {
            throw OperationError(
                .failed, "listen on \(name): \(APISocket.cause(of: error))",
                remedy: "is the address this machine's, and free?")
        }
    }
}
