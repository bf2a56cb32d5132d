import Model
import Synchronization

import enum Fleet.ModeScope

@testable import Agent

/// A node that remembers what it was asked, and answers from what it was given.
final class FakeNode: NodeOperations {
    struct State {
        var calls: [String] = []
        var services: [ServiceView] = []
        var flows: [FlowView] = []
        var waiting: [CheckedContinuation<Void, Never>] = []
        var cancelled = false
        var whenCancelled: CheckedContinuation<Void, Never>?
        var whenWaiting: CheckedContinuation<Void, Never>?
    }
    let state = Mutex(State())

    var calls: [String] { state.withLock { $0.calls } }
    private func note(_ call: String) { state.withLock { $0.calls.append(call) } }

    func status() async throws(OperationError) -> StatusView {
        StatusView(node: "fake", version: "0", mode: .observe, started: Instant(milliseconds: 5), drops: ["hairpin": 2])
    }
    func services() async throws(OperationError) -> [ServiceView] { state.withLock { $0.services } }
    func proxies() async throws(OperationError) -> [ProxyView] { [] }
    func ports() async throws(OperationError) -> [PortView] {
        [.init(name: "vm0", role: .vm, network: NetworkID(0), mode: .enforce, forwarding: .switch, state: .waiting)]
    }
    func instances() async throws(OperationError) -> [InstanceView] { [] }
    func workloads() async throws(OperationError) -> [WorkloadView] { throw OperationError(.busy, "starting") }

    func registries() async throws(OperationError) -> [RegistryView] {
        [
            .init(
                kinds: ["etcd"], port: 2379, transports: [.tcp],
                encrypted: [
                    .init(
                        network: NetworkID(0), address: .v4(IPv4Address(bits: 1)), guest: .v4(IPv4Address(bits: 2)),
                        connections: 3, since: Instant(milliseconds: 1), seen: Instant(milliseconds: 2))
                ])
        ]
    }

    func connections(limit: Int) async throws(OperationError) -> [ConnectionView] {
        note("connections \(limit)")
        return [
            ConnectionView(
                network: NetworkID(1), client: "10.0.0.9:5000", frontend: "10.255.0.7:80", backend: "10.0.0.1:8080",
                sourcePort: 40000, service: "web", port: "up0", state: "open", sentPackets: 1, answeredPackets: .max,
                idleSeconds: 3)
        ]
    }

    func explain(_ subject: String) async throws(OperationError) -> [ExplanationView] {
        note("explain \(subject)")
        guard subject != "nobody" else {
            throw OperationError(.notFound, "no service or address 'nobody'", remedy: "see `remora get services`")
        }
        return [ExplanationView(subject: subject, summary: "it has a proxy", verdict: .vm)]
    }

    /// Waits without a clock: until `add(flow:)`, or until the asker goes away.
    func flows(from cursor: UInt64?, limit: Int, wait: Duration) async throws(OperationError) -> FlowPage {
        note("flows \(cursor.map(String.init) ?? "-") \(limit) \(wait.milliseconds)")
        if wait > .zero, state.withLock({ $0.flows.isEmpty }) {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    state.withLock { state in
                        state.waiting.append(continuation)
                        state.whenWaiting?.resume()
                        state.whenWaiting = nil
                    }
                }
            } onCancel: {
                wake(cancelled: true)
            }
        }
        let flows = state.withLock { $0.flows }
        return FlowPage(flows: flows, next: (flows.last?.cursor ?? 0) + 1)
    }

    func isWaiting() async {
        await withCheckedContinuation { continuation in
            state.withLock { state in
                if state.waiting.isEmpty { state.whenWaiting = continuation } else { continuation.resume() }
            }
        }
    }

    func isCancelled() async {
        await withCheckedContinuation { continuation in
            state.withLock { state in
                if state.cancelled { continuation.resume() } else { state.whenCancelled = continuation }
            }
        }
    }

    func add(flow: FlowView) {
        state.withLock { $0.flows.append(flow) }
        wake(cancelled: false)
    }

    private func wake(cancelled: Bool) {
        let waiting = state.withLock { state in
            if cancelled {
                state.cancelled = true
                state.whenCancelled?.resume()
                state.whenCancelled = nil
            }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func apply(_ text: String, file: String) async throws(OperationError) -> ChangeView {
        note("apply \(file) \(text.utf8.count)")
        do {
            let documents = try Documents.parse(text, file: file, networks: [])
            return ChangeView(changes: documents.list.map { "\($0.kind.rawValue) \($0.service)" })
        } catch {
            throw OperationError(error)
        }
    }
    func delete(_ text: String, file: String) async throws(OperationError) -> ChangeView {
        note("delete \(file)")
        return ChangeView(changes: [])
    }
    func delete(_ kind: Document.Kind, _ service: ServiceID) async throws(OperationError) -> ChangeView {
        note("delete \(kind.rawValue) \(service)")
        return ChangeView(changes: ["gone"])
    }
    func setMode(_ mode: Mode, for scope: ModeScope) async throws(OperationError) -> ChangeView {
        note("mode \(mode.rawValue) \(scope)")
        return ChangeView(changes: [])
    }
    func detach(port: PortName?) async throws(OperationError) -> ChangeView {
        note("detach \(port?.description ?? "all")")
        return ChangeView(changes: [])
    }
    func metrics() async throws(OperationError) -> MetricsSnapshot {
        var snapshot = MetricsSnapshot()
        snapshot.proxies = ["live": 3]
        return snapshot
    }
}
