import Classifier
import Foundation
import Lab
import Model

/// How soon a verdict comes, and what a long list and many instances cost.
struct Figures: Encodable {
    /// Milliseconds from the registry's yes to the first verdict, of a target that answers at once; the time that it
    /// takes to ask the agent is in it.
    let verdicts: Report.Spread
    /// The same by the agent's own account, without the asking: the median.
    let ownAccount: Double?
    let list: List
    let idle: Idle

    struct List: Encodable {
        let addresses: Int
        /// MiB by which the agent's resident memory grew.
        let memory: Double
        /// Nanoseconds of one look-up in a list of 1,000, and in the whole one.
        let lookUpInShort: Double
        let lookUp: Double
    }

    struct Idle: Encodable {
        let instances: Int
        let seconds: Double
        /// Per cent of one core.
        let share: Double
        /// MiB resident.
        let memory: Double
    }

    static let mostMilliseconds = 10.0
    static let mostListMemory = 32.0
    static let mostIdleShare = 1.0

    var isGood: Bool {
        verdicts.median <= Self.mostMilliseconds && list.memory < Self.mostListMemory
            && idle.share < Self.mostIdleShare
    }

    var table: String {
        func mark(_ holds: Bool) -> String { holds ? "ok" : "BAD" }
        return aligned([
            ["", "figure", "seen", "must"],
            [
                mark(verdicts.median <= Self.mostMilliseconds), "registration to first verdict, median",
                String(
                    format: "%.1f ms (%.1f..%.1f, %d times)", verdicts.median, verdicts.least, verdicts.most,
                    verdicts.samples.count), "at most 10 ms",
            ],
            [
                "", "the same by the agent's own account", ownAccount.map { String(format: "%.1f ms", $0) } ?? "-", "",
            ],
            [
                mark(list.memory < Self.mostListMemory), "memory for \(list.addresses) listed addresses",
                String(format: "%.1f MiB", list.memory), "under 32 MiB",
            ],
            [
                "", "look-up in them, and in 1,000",
                String(format: "%.0f ns, %.0f ns", list.lookUp, list.lookUpInShort), "constant",
            ],
            [
                mark(idle.share < Self.mostIdleShare), "\(idle.instances) idle instances",
                String(format: "%.2f %% of a core over %.0f s, %.0f MiB", idle.share, idle.seconds, idle.memory),
                "under 1 %",
            ],
        ])
    }
}

extension Figures {
    init(in lab: Lab, remora binary: String) throws {
        BenchLab.say("how soon verdicts come")
        (verdicts, ownAccount) = try Self.measureVerdicts(in: lab, remora: binary)
        BenchLab.say("a long list")
        list = try Self.measureList(in: lab, remora: binary)
        BenchLab.say("idle instances")
        idle = try Self.measureIdle(in: lab, remora: binary)
    }

    private static let address = "10.88.1.1"

    private static func body(_ service: String, port: Int) -> String {
        "{\"ID\":\"\(service)-\(port)\",\"Name\":\"\(service)\",\"Address\":\"\(address)\",\"Port\":\(port)}"
    }

    private static func site(in lab: Lab) throws -> (nic: Namespace, guest: Namespace, consul: ConsulStandIn) {
        let site = try Site(in: lab)
        let consul = try ConsulStandIn(in: site.addClient("consul", address: "10.88.0.2"), address: "10.88.0.2")
        return (site.nic, try site.addLightMachine("vm1", address: address), consul)
    }

    /// One registration after the other, each of another port and gone before the next.
    private static func measureVerdicts(in lab: Lab, remora binary: String) throws -> (Report.Spread, Double?) {
        let (nic, guest, consul) = try site(in: lab)
        let remora = try Remora(on: nic, binary: binary)
        try remora.start()
        var samples: [Double] = []
        for port in 8000..<8101 {
            let listener = try Listener(in: guest, port: UInt16(port))
            try consul.put("service/register", body("quick", port: port), from: guest)
            let judged = try wait(for: "a verdict", pause: .microseconds(100)) {
                let explained = try? remora.fetch("/v1/explain?subject=\(address):\(port)")
                let verdict = explained?.array.lazy.compactMap { $0["verdict"].string }.first
                return verdict == "vm" ? ContinuousClock.now : nil
            }
            guard let yes = consul.answered("\"quick-\(port)\"") else { throw Failure("Consul never said yes") }
            samples.append((judged - yes) / .milliseconds(1))
            try consul.put("service/deregister/quick-\(port)", "", from: guest)
            _ = consume listener
        }
        let own = try remora.fetch("/v1/status")["registrationToVerdictMilliseconds"].number
        try remora.stop()
        guard let spread = Report.Spread(samples) else { throw Failure("no verdict was measured") }
        return (spread, own)
    }

    private static func measureList(in lab: Lab, remora binary: String) throws -> List {
        let count = 100_000
        let (nic, _, _) = try site(in: lab)
        var settings = Remora.Settings()
        settings.mode = "observe"
        let remora = try Remora(settings, on: nic, binary: binary)
        try remora.start()
        let lines = (0..<count).map { "10.\(100 + $0 >> 16).\($0 >> 8 & 255).\($0 & 255)" }
        let last = lines[count - 1]
        try remora.apply("kind: Service\nname: probe\ninstances:\n  - {address: \(last), port: 80}\n")
        let before = try Process(remora.processID()).memory()
        try remora.list(lines)
        try wait(for: "the list to be read") {
            try remora.fetch("/v1/explain?subject=\(last):80").array.contains { $0["verdict"].string == "container" }
        }
        let after = try Process(remora.processID()).memory()
        try remora.stop()
        return List(
            addresses: count, memory: after - before, lookUpInShort: try lookUp(in: Array(lines.prefix(1000))),
            lookUp: try lookUp(in: lines))
    }

    /// Nanoseconds of one look-up, of listed addresses and others, in turn.
    private static func lookUp(in lines: [String]) throws -> Double {
        let list = try ContainerList(parsing: lines.joined(separator: "\n"))
        let listed = lines.compactMap { IPAddress($0) }
        let others = (0..<listed.count).compactMap { IPAddress("10.9.\($0 >> 8 & 255).\($0 & 255)") }
        let instances = zip(listed, others).flatMap { [$0, $1] }.map {
            InstanceID(network: NetworkID(0), address: $0, port: 80)
        }
        var found = 0
        let rounds = max(1, 400_000 / instances.count)
        let time = ContinuousClock().measure {
            for _ in 0..<rounds { for instance in instances where list.match(instance) != nil { found += 1 } }
        }
        guard found == rounds * listed.count else { throw Failure("\(found) look-ups hit") }
        return time / .nanoseconds(1) / Double(rounds * instances.count)
    }

    private static func measureIdle(in lab: Lab, remora binary: String) throws -> Idle {
        let count = 10_000
        let (nic, guest, consul) = try site(in: lab)
        var settings = Remora.Settings()
        settings.mode = "observe"
        settings.probe = "enabled: false"
        settings.limits = "instancesPerPort: 20000, servicesPerPort: 1000"
        let remora = try Remora(settings, on: nic, binary: binary)
        try remora.start()
        let bodies = (0..<count).map { body("idle-\($0 / 100)", port: 10_000 + $0) }
        try consul.put("service/register", each: bodies, from: guest)
        var last = JSON.null
        try wait(for: "\(count) instances", limit: .seconds(60), pause: .milliseconds(200), seen: "\(last)") {
            last = try remora.fetch("/v1/status")["instances"]
            return last["vm"].number == Double(count)
        }
        let process = try Process(remora.processID())
        try waitUntilSettled(process)
        let (share, seconds) = try process.share(over: .seconds(10))
        let memory = try process.memory()
        try remora.stop()
        return Idle(instances: count, seconds: seconds, share: share, memory: memory)
    }

    /// The work that the registrations left behind is no idling: it is over when two seconds in a row took little.
    private static func waitUntilSettled(_ process: Process) throws {
        var calm = 0
        var last = 0.0
        try wait(for: "the agent to settle", limit: .seconds(60), seen: "\(last) % of a core in the last second") {
            last = try process.share(over: .seconds(1)).share
            calm = last <= settledShare ? calm + 1 : 0
            return calm == 2
        }
    }
    /// Per cent of a core: two ticks of /proc's clock in a second.
    private static let settledShare = 2.0
}

/// What the kernel says of a process.
private struct Process {
    let pid: Int32
    init(_ pid: Int32) { self.pid = pid }

    /// MiB resident.
    func memory() throws -> Double {
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        let words = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }?.split(separator: " ") ?? []
        guard words.count > 1, let size = Double(words[1]) else { throw Failure("process \(pid) has no VmRSS") }
        return size / 1024
    }

    /// Per cent of one core that it takes in the coming time, and how many seconds that really was.
    func share(over time: Duration) throws -> (share: Double, seconds: Double) {
        let (start, spent) = try (ContinuousClock.now, processorTime())
        try wait(for: "\(time) to pass", limit: time * 2, pause: .milliseconds(100)) {
            ContinuousClock.now - start >= time
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        return ((try processorTime() - spent) / seconds * 100, seconds)
    }

    /// Seconds on a processor, of all its threads.
    func processorTime() throws -> Double {
        let stat = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        // after the name, which may hold anything: user and system time are the 12th and 13th word (proc(5))
        let words = stat.split(separator: ")").last?.split(separator: " ") ?? []
        guard words.count > 12, let user = Double(words[11]), let system = Double(words[12]) else {
            throw Failure("process \(pid) has no times")
        }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}
