import Foundation
import Model
import Testing

@testable import Agent
@testable import remora

@Suite("The command line") struct CommandTests {
    func serving(_ body: (_ socket: String, FakeNode) async throws -> Void) async throws {
        let directory = TemporaryDirectory()
        let node = FakeNode()
        let server = try await APIServer.bind(socket: directory.path + "/r.sock", metrics: nil, node: node)
        try server.publish()
        do {
            try await body(directory.path + "/r.sock", node)
        } catch {
            await server.close()
            throw error
        }
        await server.close()
    }

    @Test("every reading verb ends well, as a table and for programs") func reads() async throws {
        try await serving { (socket, node) async throws in
            let id = ServiceID(network: NetworkID(0), name: "web")
            node.state.withLock { $0.services = [ServiceView(id: id, state: "live", mode: .enforce)] }
            for verb in [
                ["status"], ["get", "services"], ["get", "proxies"], ["get", "ports"], ["get", "instances"],
                ["get", "connections"],
                ["explain", "web"], ["flows", "-n", "5"],
            ] {
                #expect(await Main.run(verb + ["--socket", socket]) == .ok)
                #expect(await Main.run(verb + ["--socket", socket, "-o", "json"]) == .ok)
            }
            #expect(node.calls.suffix(2) == ["flows - 5 0", "flows - 5 0"])
        }
    }

    @Test("changing verbs ask for what was typed") func changes() async throws {
        try await serving { (socket, node) async throws in
            let file = socket + ".yaml"
            try Data("kind: Policy\nservice: a\nrules: []\n".utf8).write(to: URL(filePath: file))
            for verb in [
                ["apply", "-f", file], ["delete", "-f", file], ["delete", "policy", "a", "--namespace", "n"],
                ["mode", "enforce"], ["mode", "observe", "--port", "vm0"],
                ["mode", "enforce", "--service", "web", "--network", "3"], ["detach", "vm0"], ["detach", "--all"],
            ] {
                #expect(await Main.run(verb + ["--socket", socket]) == .ok, "\(verb)")
            }
            #expect(
                node.calls == [
                    "apply \(file) 34", "delete \(file)", "delete Policy n/a", "mode enforce all",
                    "mode observe port(vm0)", "mode enforce service(3:web)", "detach vm0", "detach all",
                ])
        }
    }

    @Test("the exit code tells what kind of failure it was") func codes() async throws {
        try await serving { (socket, _) async throws in
            #expect(await Main.run(["explain", "nobody", "--socket", socket]) == .notFound)
            #expect(await Main.run(["get", "workloads", "--socket", socket]) == .failed)
            let file = socket + ".yaml"
            try Data("kind: Nothing\n".utf8).write(to: URL(filePath: file))
            #expect(await Main.run(["apply", "-f", file, "--socket", socket]) == .badInput)
            #expect(await Main.run(["apply", "-f", file + ".none", "--socket", socket]) == .badInput)
        }
        #expect(await Main.run(["status", "--socket", "/tmp/remora-nobody.sock"]) == .unreachable)
        for wrong in [
            ["nonsense"], ["get", "nonsense"], ["get"], ["detach"], ["detach", "a", "--all"], ["delete", "service"],
            ["mode", "enforce", "--port", "a", "--service", "b"], ["flows", "-n", "0"], ["sniff"],
            ["agent", "--config", "/nonexistent"], ["status", "--config", "/etc/hostname"],
            ["sniff", "--pcap", "/nonexistent"],
        ] {
            #expect(await Main.run(wrong) == .badInput, "\(wrong)")
        }
        #expect(await Main.run(["--help"]) == .ok)
        #expect(await Main.run(["version", "-o", "json"]) == .ok)
        #expect(ExitStatus.allCases.map(\.rawValue) == [0, 1, 2, 3, 4])
    }

    @Test("the configuration tells where the socket is") func configured() async throws {
        try await serving { (socket, _) async throws in
            let file = socket + ".yaml"
            try Data("socket: \(socket)\nports: [{match: a, role: vm}]\n".utf8).write(to: URL(filePath: file))
            #expect(await Main.run(["status", "--config", file]) == .ok)
            #expect(await Main.run(["agent", "--check", "--config", file]) == .ok)
        }
    }

    @Test("status shows alarms first, and drops with their meaning") func status() {
        let view = StatusView(
            node: "lab\u{1b}", version: "1", mode: .enforce, started: Instant(milliseconds: 0), services: 2, proxies: 1,
            instances: ["vm": 2], maps: [.init(name: "flows", entries: 50, capacity: 100)],
            drops: ["hairpin": 0, "policy-denied": 7], uncounted: "not\ncounted",
            alarms: [.init(subject: "vm0", message: "no such device", remedy: "waits for it")])
        let text = StatusCommand.text(view, width: nil)
        #expect(
            text.hasPrefix(
                "node lab\\u{1b}, mode enforce, since 1970-01-01T00:00:00Z, version 1\n2 services, 1 proxies"))
        #expect(text.contains("vm0    no such device  waits for it"))
        #expect(text.contains("50 %") && text.contains("7  policy-denied  a policy rule denies this source"))
        #expect(!text.contains("hairpin") && text.hasSuffix("\nnot\\ncounted\n"))
    }

    @Test("an explanation gives verdict, evidence by weight, and what would settle it") func explanation() {
        let view = ExplanationView(
            subject: "10.0.0.1:80", summary: "no proxy: the verdict is unknown", verdict: .unknown,
            evidence: [
                Evidence(kind: .portRole, weight: 40, sentence: "seen on vm0", time: Instant(milliseconds: 0)),
                Evidence(kind: .containerList, weight: -60, sentence: "listed\nhere", time: Instant(milliseconds: 0)),
                Evidence(
                    kind: .probe, weight: 0, sentence: "answered", seen: Sighting(microseconds: 1312),
                    time: Instant(milliseconds: 0)),
            ], facts: ["registered by etcd"], missing: "a probe that is answered")
        #expect(
            ExplainCommand.text(view) == """
                10.0.0.1:80: no proxy: the verdict is unknown
                  verdict: unknown
                  +40 portRole: seen on vm0
                  -60 containerList: listed\\nhere
                  0 probe: answered, after 1.31 ms
                  registered by etcd
                  would settle it: a probe that is answered

                """)
    }
}
