import Foundation
import Lab
import Testing

/// What the machine under the agent lacks or loses.
extension Networks {
    @Test("with the unit's capabilities and no more the agent attaches, probes, loads, adopts and detaches")
    func capabilities() throws {
        var settings = Remora.Settings()
        settings.launcher = try Self.unitCapabilities()
        let bed = try Bed(machines: 2, settings: settings)
        let vip = try bed.meshWeb()
        #expect(try bed.pages(5, from: bed.alice, at: vip).values.reduce(0, +) == 5)
        try bed.remora.kill()
        try bed.remora.start()
        try bed.remora.waitForProxy(of: "web", live: 2)
        #expect(try bed.pages(5, from: bed.alice, at: vip).values.reduce(0, +) == 5)
        try bed.site.nic.ip("link del vm2")
        try bed.remora.waitForProxy(of: "web", live: 1)
        let status = try bed.remora.ask("status")
        #expect(status["alarms"].array.isEmpty && status["uncounted"] == .null, "\(status)")
        try bed.remora.tell("detach", "--all")
        try bed.remora.stop()
        #expect(!FileManager.default.fileExists(atPath: bed.remora.pins))
    }

    /// setpriv with what the systemd unit gives its service.
    private static func unitCapabilities() throws -> [String] {
        let unit = try String(contentsOfFile: Lab.sourceRoot + "/deploy/remora.service", encoding: .utf8)
        guard let line = unit.split(separator: "\n").first(where: { $0.hasPrefix("CapabilityBoundingSet=") }) else {
            throw Failure("the unit bounds no capabilities")
        }
        let names = line.drop { $0 != "=" }.dropFirst().split(separator: " ")
        let set = names.reduce("-all") { "\($0),+\($1.lowercased().replacing("cap_", with: ""))" }
        return ["setpriv", "--no-new-privs", "--bounding-set", set, "--inh-caps", set]
    }

    /// A mount namespace of the agent's own, where bpffs is not mounted.
    private static let withoutBPFFS = [
        "unshare", "--mount", "sh", "-c", "umount /sys/fs/bpf && exec \"$@\"", "remora",
    ]

    @Test("bpffs that is not mounted is mounted")
    func mounts() throws {
        var settings = Remora.Settings()
        settings.launcher = Self.withoutBPFFS
        let bed = try Bed(machines: 1, settings: settings)
        let vip = try bed.meshWeb()
        #expect(try bed.pages(5, from: bed.alice, at: vip) == ["web-1": 5])
        #expect(!FileManager.default.fileExists(atPath: bed.remora.pins), "pinned in the machine's own bpffs")
        try bed.remora.tell("detach", "--all")
    }

    @Test("bpffs that is not mounted and may not be is said, with what to do")
    func mayNotMount() throws {
        var settings = Remora.Settings()
        settings.launcher = Self.withoutBPFFS + ["setpriv", "--bounding-set", "-sys_admin"]
        let bed = try Bed(machines: 0, settings: settings, start: false)
        let outcome = try bed.remora.startInVain()
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("mount -t bpf bpf /sys/fs/bpf"), "\(outcome.errors)")
    }

    @Test("without the privileges to load programs the agent ends, and says which are missing")
    func unprivileged() throws {
        var settings = Remora.Settings()
        settings.launcher = ["setpriv", "--bounding-set", "-bpf,-sys_admin"]
        let bed = try Bed(machines: 0, settings: settings, start: false)
        let outcome = try bed.remora.startInVain()
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("CAP_BPF"), "\(outcome.errors)")
        #expect(!FileManager.default.fileExists(atPath: "\(bed.remora.pins)/ports"))
    }

    @Test("a full flow table refuses new connections under its reason, and living ones go on")
    func flowsFull() throws {
        var settings = Remora.Settings()
        settings.flows = "max: 1024, closed: 1s"
        let bed = try Bed(machines: 1, settings: settings)
        let vip = try bed.meshWeb()
        let listener = try Listener(in: bed.machines[0].namespace, port: 9000)
        try bed.register("crowd", on: bed.machines[0], port: 9000)
        let crowd = try bed.remora.waitForProxy(of: "crowd", live: 1)
        let first = try Connection(from: bed.alice, to: vip)
        var others: [Held] = []
        // a connection takes two entries: 1024 fit for certain, and 2176 slots are there
        while others.count < 1100, let more = try? Held(from: bed.bob, to: crowd) { others.append(more) }
        #expect((511..<1088).contains(others.count), "\(others.count) connections fit in")
        #expect(try bed.remora.drops("flows-full") > 0)
        try wait(for: "the alarm") {
            try bed.remora.ask("status")["alarms"].array.contains { $0.mentions("map flows") }
        }
        try first.send(Page.request("/", at: vip))
        #expect(try Page.read(from: first).body == "web-1")
        others.removeAll()
        _ = consume listener
        try wait(for: "new connections, and no alarm", limit: .seconds(20)) {
            try !bed.isSilent(vip, to: bed.bob) && bed.remora.ask("status")["alarms"].array.isEmpty
        }
    }

    /// One of many connections.
    private final class Held {
        private let connection: Connection
        init(from client: Namespace, to endpoint: Endpoint) throws {
            connection = try Connection(from: client, to: endpoint, timeout: .milliseconds(500))
        }
    }

    @Test("a port that vanishes while its services are loaded leaves nothing behind, whenever it does")
    func vanishesInTheMiddle() throws {
        let bed = try Bed(machines: 1)
        let vip = try bed.meshWeb()
        let traffic = Traffic(from: bed.alice, to: vip)
        // the same name and address each time, another device and MAC address
        for round in 0..<12 {
            let machine = try bed.addMachine(2)
            for number in 0...round % 3 { try bed.register("brief-\(number)", on: machine, port: UInt16(80 + number)) }
            try bed.site.nic.ip("link del vm2")
        }
        for number in 0..<3 { try bed.remora.waitForEnd(of: "brief-\(number)", limit: .seconds(30)) }
        try wait(for: "no pins of vm2") { !FileManager.default.fileExists(atPath: "\(bed.remora.pins)/ports/vm2") }
        #expect(bed.remora.pinnedServices().map { $0.split(separator: "/").last } == ["0", "web"])
        #expect(try bed.remora.ask("get", "proxies").array.count == 1)
        #expect(try bed.remora.ask("status")["alarms"].array.isEmpty)
        try traffic.waitForAnswers(20)
        let tally = try traffic.stop()
        #expect(tally.failed == 0, "\(tally.summary)")
        // not one of those that flapped: these wait for a minute
        let machine = try bed.addMachine(2)
        _ = try machine.namespace.serve("calm", port: 90)
        try bed.remora.waitForPort(machine.port)
        try bed.register("calm", on: machine, port: 90)
        let calm = try bed.remora.waitForProxy(of: "calm", live: 1)
        #expect(try bed.pages(3, from: bed.alice, at: calm) == ["calm": 3])
    }
}
