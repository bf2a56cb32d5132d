internal import Logging
internal import Model
internal import ServiceLifecycle

/// Runs the agent until SIGTERM or SIGINT, or until it was told to detach from everything. The data path goes on
/// without it.
public func runAgent(_ config: Config) async throws {
    LoggingSystem.bootstrap(StreamLogHandler.standardError)
    var log = Logger(label: "remora")
    log.logLevel = Logger.Level(rawValue: config.logLevel.rawValue) ?? .info
    let engine = try Engine(config, log: log)
    let server = try await APIServer.bind(socket: config.socket, metrics: config.metrics, node: engine)
    let group = ServiceGroup(
        configuration: .init(
            services: [
                .init(
                    service: EngineService(engine: engine, server: server),
                    successTerminationBehavior: .gracefullyShutdownGroup),
                .init(service: server),
            ],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: log))
    try await group.run()
}

/// The node's thread, from its first frame to its last.
private struct EngineService: Service {
    let engine: Engine
    let server: APIServer

    func run() async throws {
        engine.loop.start()
        try await engine.begin()
        try server.publish()
        await withGracefulShutdownHandler {
            await engine.untilDetached()
        } onGracefulShutdown: {
            Task { await engine.end() }
        }
        engine.loop.stop()
    }
}
