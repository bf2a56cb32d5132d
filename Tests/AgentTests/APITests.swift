import FoundationEssentials
import Glibc
import Model
import Testing

@testable import Agent

@Suite("The agent's socket") struct APITests {
    /// A server on a socket of its own, and its fake node.
    func serving(
        metrics: TCPEndpoint? = nil, _ body: (APIClient, FakeNode, _ path: String) async throws -> Void
    ) async throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/sub/remora.sock"
        let node = FakeNode()
        let server = try await APIServer.bind(socket: path, metrics: metrics, node: node)
        try server.publish()
        do {
            try await body(APIClient(socket: path), node, path)
        } catch {
            await server.close()
            throw error
        }
        await server.close()
        #expect(access(path, F_OK) != 0, "a stopped server takes its socket away")
        rmdir(directory.path + "/sub")
    }

    @Test("what the node answers arrives as it was") func reads() async throws {
        try await serving { client, node, _ async throws in
            let view = ServiceView(
                id: ServiceID(network: NetworkID(3), namespace: "n", name: "a/b\u{1b}\"ü"), vip: "10.0.0.1:80",
                state: "live", mode: .enforce, live: 1, instances: 2, drops: .max)
            node.state.withLock { $0.services = [view] }
            #expect(try await client.services() == [view])
            let (status, ports, metrics) = try await (node.status(), node.ports(), node.metrics())
            #expect(try await client.status() == status)
            #expect(try await client.ports() == ports)
            #expect(try await client.metrics() == metrics)
            let registries = try await node.registries()
            #expect(try await client.registries() == registries)
            let connections = try await node.connections(limit: 7)
            #expect(try await client.connections(limit: 7) == connections)
            #expect(node.calls == ["connections 7", "connections 7"])
            #expect(try await client.proxies().isEmpty)
            #expect(try await client.instances().isEmpty)
        }
    }

    @Test("what is asked arrives as it was, hostile names included") func questions() async throws {
        try await serving { client, node, _ async throws in
            let hostile = "a b&c=d+é/../%00?#\u{1}"
            _ = try await client.explain(hostile)
            _ = try await client.setMode(.enforce, for: .port(PortName("vm 0")))
            _ = try await client.setMode(.observe, for: .all)
            let id = ServiceID(network: NetworkID(9), namespace: "n", name: hostile)
            _ = try await client.setMode(.enforce, for: .service(id))
            _ = try await client.delete(.policy, id)
            _ = try await client.detach(port: nil)
            _ = try await client.detach(port: PortName("up0"))
            #expect(
                node.calls == [
                    "explain \(hostile)", "mode enforce port(vm 0)", "mode observe all",
                    "mode enforce service(\(id))", "delete Policy \(id)", "detach all", "detach up0",
                ])
        }
    }

    @Test("an error keeps its code, message and remedy") func errors() async throws {
        try await serving { client, _, _ async throws in
            let missing = await #expect(throws: OperationError.self) { try await client.explain("nobody") }
            #expect(missing?.code == .notFound && missing?.remedy == "see `remora get services`")
            #expect(missing?.exitCode == .notFound)
            let busy = await #expect(throws: OperationError.self) { try await client.workloads() }
            #expect(busy?.code == .busy)
            let wrong = await #expect(throws: OperationError.self) { try await client.apply("kind: X", file: "f.yaml") }
            #expect(wrong?.code == .badInput && wrong?.message.hasPrefix("f.yaml:1:7: ") == true)
        }
    }

    @Test("with no agent there the error says so, and has its own exit code") func unreachable() async {
        let error = await #expect(throws: OperationError.self) {
            try await APIClient(socket: "/tmp/remora-nobody.sock").status()
        }
        #expect(error?.code == .unreachable && error?.exitCode == .unreachable)
    }

    @Test("the socket is its owner's alone") func mode() async throws {
        try await serving { _, _, path async throws in
            var status = stat()
            #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        }
    }

    @Test("nobody finds the socket before the node is up, and none is left of one that did not come up")
    func unpublished() async throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/r.sock"
        let server = try await APIServer.bind(socket: path, metrics: nil, node: FakeNode())
        #expect(access(path, F_OK) != 0)
        await server.close()
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    }

    @Test("a second agent is refused, and the first goes on") func second() async throws {
        try await serving { client, node, path async throws in
            let error = await #expect(throws: OperationError.self) {
                try await APIServer.bind(socket: path, metrics: nil, node: node)
            }
            #expect(error?.code == .conflict)
            #expect(try await client.status().node == "fake")
        }
    }

    @Test("a socket that a killed agent left is replaced, another file is not") func stale() async throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/r.sock"
        let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(dead, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        close(dead)
        let server = try await APIServer.bind(socket: path, metrics: nil, node: FakeNode())
        try server.publish()
        #expect(try await APIClient(socket: path).status().node == "fake")
        await server.close()

        close(creat(path, 0o600))
        let error = await #expect(throws: OperationError.self) {
            try await APIServer.bind(socket: path, metrics: nil, node: FakeNode())
        }
        #expect(error?.code == .conflict && access(path, F_OK) == 0)
    }

    @Test("a client that never ends its request does not hold up the others") func slow() async throws {
        try await serving { client, _, path async throws in
            let slow = try #require(RawClient(unix: path))
            await slow.send("GET /v1/status HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
            #expect(try await client.status().node == "fake")
        }
    }

    @Test("connections above the limit are turned away, and room comes back") func connections() async throws {
        try await serving { client, _, path async throws in
            let request = "GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n"
            let clients = (0..<APILimits.connections).compactMap { _ in RawClient(unix: path) }
            for raw in clients { await raw.send(request) }
            // Each has been let in once it has its answer.
            for raw in clients { #expect(await raw.read(to: "\"fake\"")) }
            let extra = try #require(RawClient(unix: path))
            #expect(await extra.readToEnd().isEmpty)
            for raw in clients { #expect(await raw.end()) }
            #expect(try await client.status().node == "fake")
        }
    }

    @Test(
        "a request that is too large, or none at all, is answered and closed",
        arguments: [
            (
                "POST /v1/apply HTTP/1.1\r\ncontent-length: 2000000\r\n\r\n" + String(repeating: "x", count: 2_000_000),
                "413"
            ),
            ("rubbish\r\n\r\n", "400"),
            ("GET nowhere HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
            ("GET /v1/nothing HTTP/1.1\r\nconnection: close\r\n\r\n", "404"),
            ("POST /v1/status HTTP/1.1\r\nconnection: close\r\n\r\n", "405"),
            ("GET /v1/flows?limit=0 HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
            ("GET /v1/flows?wait=999999999999999999999 HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
            ("GET /v1/status?x=1 HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
            ("POST /v1/detach HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
            ("PUT /v1/mode?mode=enforce&port=a&service=b HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        ]) func bad(request: String, status: String) async throws
    {
        try await serving { client, _, path async throws in
            let raw = try #require(RawClient(unix: path))
            await raw.send(request)
            #expect(await raw.readToEnd().hasPrefix("HTTP/1.1 \(status) "))
            #expect(try await client.status().node == "fake")
        }
    }

    @Test("one connection may carry several requests, and pipeline them") func pipelined() async throws {
        try await serving { _, _, path async throws in
            let raw = try #require(RawClient(unix: path))
            let request = "GET /v1/ports HTTP/1.1\r\nhost: x\r\n\r\n"
            await raw.send(request + request + "GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            #expect(await raw.readToEnd().split(separator: "HTTP/1.1 200").count == 3)
        }
    }

    @Test("a long poll ends with the first event") func longPoll() async throws {
        try await serving { client, node, _ async throws in
            async let page = client.flows(from: 7, limit: 5, wait: .seconds(20))
            await node.isWaiting()
            let flow = FlowView(
                cursor: 7, time: Instant(milliseconds: 1), kind: .dropped, reason: "policy-denied",
                network: NetworkID(0), source: "10.0.0.1:1", destination: "10.0.0.2:2")
            node.add(flow: flow)
            #expect(try await page == FlowPage(flows: [flow], next: 8))
            #expect(node.calls == ["flows 7 5 20000"])
        }
    }

    @Test("a long poll whose client goes away is cancelled") func abandoned() async throws {
        try await serving { _, node, path async throws in
            let raw = try #require(RawClient(unix: path))
            await raw.send("GET /v1/flows?wait=20000 HTTP/1.1\r\nhost: x\r\n\r\n")
            await node.isWaiting()
            raw.drop()
            await node.isCancelled()
        }
    }

    @Test("the TCP address tells metrics and nothing else") func metricsAddress() async throws {
        let port = freePort()
        try await serving(metrics: TCPEndpoint("127.0.0.1:\(port)")) { _, _, path async throws in
            func ask(_ target: String) async throws -> String {
                let raw = try #require(RawClient(port: port))
                await raw.send("GET \(target) HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                return await raw.readToEnd()
            }
            let metrics = try await ask("/metrics")
            #expect(metrics.hasPrefix("HTTP/1.1 200 ") && metrics.contains("remora_proxies{state=\"live\"} 3\n"))
            #expect(metrics.contains("content-type: text/plain; version=0.0.4"))
            #expect(try await ask("/v1/status").hasPrefix("HTTP/1.1 404 "))
            let local = try #require(RawClient(unix: path))
            await local.send("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            #expect(await local.readToEnd().hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test("a metrics address that is taken is an error, and leaves no socket") func metricsTaken() async throws {
        let port = freePort()
        try await serving(metrics: TCPEndpoint("127.0.0.1:\(port)")) { _, node, path async throws in
            let error = await #expect(throws: OperationError.self) {
                try await APIServer.bind(socket: path + "2", metrics: TCPEndpoint("127.0.0.1:\(port)"), node: node)
            }
            #expect(error?.code == .failed)
            #expect(access(path + "2", F_OK) != 0)
        }
    }
}
