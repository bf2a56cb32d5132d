public import Fleet
public import Model

/// What people and programs may ask of a node. The agent implements it on its engine, `APIClient` over its socket.
public protocol NodeOperations: Sendable {
    func status() async throws(OperationError) -> StatusView
    func services() async throws(OperationError) -> [ServiceView]
    func proxies() async throws(OperationError) -> [ProxyView]
    func ports() async throws(OperationError) -> [PortView]
    func instances() async throws(OperationError) -> [InstanceView]
    func workloads() async throws(OperationError) -> [WorkloadView]
    /// Where registries are listened to, and what was heard there.
    func registries() async throws(OperationError) -> [RegistryView]
    /// A service's name, `namespace/name`, an address or `address:port`; a registry's, too.
    func explain(_ subject: String) async throws(OperationError) -> [ExplanationView]
    /// Events from `cursor` on, nil: the newest `limit`. With none to tell it waits that long for the next.
    func flows(from cursor: UInt64?, limit: Int, wait: Duration) async throws(OperationError) -> FlowPage
    /// Up to `limit` of those that the flow table holds now.
    func connections(limit: Int) async throws(OperationError) -> [ConnectionView]
    /// All of the YAML documents in `text`, or none. `file` is the name that errors give.
    func apply(_ text: String, file: String) async throws(OperationError) -> ChangeView
    /// Takes back what these documents declared.
    func delete(_ text: String, file: String) async throws(OperationError) -> ChangeView
    func delete(_ kind: Document.Kind, _ service: ServiceID) async throws(OperationError) -> ChangeView
    func setMode(_ mode: Mode, for scope: ModeScope) async throws(OperationError) -> ChangeView
    /// Takes the programs off one port, or, with nil, everything off the node.
    func detach(port: PortName?) async throws(OperationError) -> ChangeView
    func metrics() async throws(OperationError) -> MetricsSnapshot
}

/// Why an operation failed: on what, and what to do.
public struct OperationError: Error, Hashable, Sendable, Codable, CustomStringConvertible {
    public enum Code: String, Codable, Sendable, CaseIterable {
        case badInput, notFound, conflict, busy, failed, unreachable
    }
    public var code: Code
    public var message: String
    public var remedy: String?

    public init(_ code: Code, _ message: String, remedy: String? = nil) {
        self.code = code
        self.message = message
        self.remedy = remedy
    }

    public init(_ problems: ProblemList) {
        self.init(.badInput, problems.description, remedy: "nothing was changed: mend these lines and try again")
    }

    public var description: String { remedy.map { "\(message)\n\($0)" } ?? message }

    public var httpStatus: Int {
        switch code {
        case .badInput: 400
        case .notFound: 404
        case .conflict: 409
        case .busy: 503
        case .failed, .unreachable: 500
        }
    }

    /// Of the command that met it.
    public var exitCode: ExitStatus {
        switch code {
        case .badInput: .badInput
        case .notFound: .notFound
        case .unreachable: .unreachable
        case .conflict, .busy, .failed: .failed
        }
    }
}

/// How a command ends.
public enum ExitStatus: Int32, Sendable, CaseIterable {
    case ok, failed, badInput, unreachable, notFound

    public var meaning: String {
        switch self {
        case .ok: "done"
        case .failed: "failed, or refused by the agent"
        case .badInput: "wrong usage, or a file with errors"
        case .unreachable: "the agent cannot be reached"
        case .notFound: "no such service, port, address or resource"
        }
    }
}
