import Cases
import Foundation
import Lab
import Testing

/// Virtual machines, containers, and what pretends to be one.
extension Networks {
    @Test("nothing is judged wrong, and nothing plain is left open, whether the ports' roles are known or not")
    func verdicts() throws {
        let lab = try Lab()
        defer { lab.tearDown() }
        let stage = try Stage(in: lab)
        for mixed in [false, true] {
            let trials = try Trials(on: stage, remora: Remora.defaultBinary, mixedRoles: mixed)
            try trials.playStatic()
            try trials.playChanging()
            for finding in try trials.findings() {
                #expect(
                    finding.isGood,
                    """
                    \(mixed ? "mixed roles" : "roles known"): \(finding.name) is a \(finding.truth), judged \
                    \(finding.verdict): \(finding.evidence) \(finding.problems.joined(separator: "; "))
                    """)
            }
            try trials.end()
        }
    }

    @Test("a request over HTTP is asked once, whole, shown with its answer, and leaves no connection behind")
    func request() throws {
        var settings = Remora.Settings()
        settings.probe = "http: {ports: [8081, 8082], path: /}"
        let bed = try Bed(machines: 1, settings: settings)
        let machine = bed.machines[0]
        let pages = try bed.lab.file("page", "hello\n")
        let server = try machine.namespace.start(
            [
                "python3", "-u", "-m", "http.server", "8081", "--directory",
                (pages as NSString).deletingLastPathComponent,
            ],
            as: "http")
        try machine.namespace.waitForService(at: Endpoint("127.0.0.1", 8081))
        let silent = try Listener(in: machine.namespace, port: 8082)
        for port in [8081, 8082] as [UInt16] { try bed.register("web-\(port)", on: machine, port: port) }
        func evidence(_ port: Int) throws -> JSON? {
            try bed.remora.ask("explain", "\(machine.address):\(port)").array.first?["evidence"].array
                .first { $0["kind"].string == "httpProbe" }
        }
        let seen = try wait(for: "the answer to a request") { try evidence(8081) }
        let sentence = seen["sentence"].string ?? ""
        #expect(sentence.contains("HTTP answered 200 by vm1") && sentence.contains("SimpleHTTP"), "\(sentence)")
        #expect(seen["weight"].number == 0 && (seen["seen"]["microseconds"].number ?? 0) > 0)
        let none = try wait(for: "the silence of a port") { try evidence(8082) }
        #expect(none["sentence"].string?.contains("no answer") == true)
        try wait(for: "no connection", seen: "\((try? connections(machine)) ?? "")") {
            try connections(machine).isEmpty
        }
        let requests = try String(contentsOfFile: server.log, encoding: .utf8).split(separator: "\n").filter {
            $0.contains("HTTP/1.1\"")
        }
        #expect(requests.count == 1 && requests[0].contains("\"HEAD / HTTP/1.1\" 200"), "\(requests)")
        _ = consume silent
    }

    /// Sessions of its servers that are neither ended nor only being listened for.
    private func connections(_ machine: Bed.Machine) throws -> String {
        try run(
            ["ss", "-Htn", "state", "connected", "exclude", "time-wait", "( sport = :8081 or sport = :8082 )"],
            in: machine.namespace
        ).output
    }
}
