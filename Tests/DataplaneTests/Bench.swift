import CRemoraABI
import Glibc
import Model
import Synchronization

@testable import Dataplane

/// Whether BPF may be loaded here. A skip is counted by the test runner, with this sentence.
let mayLoadBPF = geteuid() == 0
let needsRoot: String = "needs root and BPF: run as root (sudo make test)"

let nextHop: Int32 = -1  // TCX_NEXT
let dropped: Int32 = 2  // TCX_DROP
let redirected: Int32 = 7  // TCX_REDIRECT

/// A data plane on a node of its own, with one attached device (loopback, in observe mode towards real traffic: the
/// programs are run by BPF_PROG_TEST_RUN alone).
final class Rig {
    let plane: Dataplane
    let port: PortName
    static let vm1 = Backend(
        address: IPv4Address("10.0.0.1")!, port: 8080, mac: MACAddress("02:00:00:00:01:01")!, device: PortName("lo"),
        state: .live)
    static let vm2 = Backend(
        address: IPv4Address("10.0.0.2")!, port: 8080, mac: MACAddress("02:00:00:00:01:02")!, device: PortName("lo"),
        state: .live)
    static let vip = "10.255.0.7"

    /// Suites run beside each other.
    private static let count = Mutex(0)

    init(
        flows: Int = 4096, halfOpen: Int = 1000, forwarding: Forwarding = .switch, mode: Mode = .enforce,
        registries: [Dataplane.Settings.Registry] = [], vlans: [UInt16: NetworkID] = [:], role: PortRole = .vm,
        node: String? = nil, httpProbe: Bool = false
    ) throws {
        let number = Self.count.withLock { count in
            count += 1
            return count
        }
        var settings = Dataplane.Settings(node: node ?? "test-\(getpid())-\(number)")
        settings.flowCapacity = flows
        settings.halfOpenPerPort = halfOpen
        settings.registries = registries
        settings.httpProbe = httpProbe
        plane = try Dataplane(settings)
        port = PortName("lo")
        // loaded and reachable by test runs, and attached to nothing
        try plane.prepare(
            PortAttachment(
                name: port, ifindex: 1, role: role, mode: mode, vlans: vlans, forwarding: forwarding, answerARP: true))
    }

    deinit { try? plane.detachAll() }

    static func web(
        _ backends: [Backend] = [vm1, vm2], rules: [PolicyRules.Rule] = [], name: String = "web", vip: String? = vip
    ) -> ProxySpec {
        let id = ServiceID(network: NetworkID(0), name: name)
        let front = vip.map { ServiceSpec.Frontend(address: IPv4Address($0)!, port: 80) }
        return ProxySpec(
            id: ProxyID(network: NetworkID(0), name: name),
            services: [ServiceSpec(id: id, vip: front, backends: backends, policy: PolicyRules(rules: rules))])
    }

    struct Outcome {
        var verdict: Int32
        var packet: Packet?
        var reasons: [String: UInt64]
    }

    /// One packet through one hook: what the program answers, what became of the packet, and what was counted.
    func run(_ packet: Packet, egress: Bool = false) throws -> Outcome {
        let (verdict, bytes, reasons) = try run(packet.bytes, egress: egress)
        return Outcome(verdict: verdict, packet: Packet(bytes), reasons: reasons)
    }

    func run(_ bytes: [UInt8], egress: Bool = false) throws -> (Int32, [UInt8], [String: UInt64]) {
        let before = try reasons(egress)
        let program = plane.attachments[port]!.programs[egress ? .egress : .ingress]!
        let result = try program.testRun(bytes)
        let after = try reasons(egress)
        var struck: [String: UInt64] = [:]
        for (reason, count) in after where count > before[reason] ?? 0 {
            struck[String(cString: remora_reason_name(reason))] = count - (before[reason] ?? 0)
        }
        return (result.verdict, result.packet, struck)
    }

    /// The same, and nobody asks what was counted.
    func send(_ packet: Packet) throws -> Int32 {
        try plane.attachments[port]!.programs[.ingress]!.testRun(packet.bytes).verdict
    }

    private func reasons(_ egress: Bool) throws -> [UInt32: UInt64] {
        try plane.portCounters().first { $0.egress == egress }?.reasons.mapValues(\.packets) ?? [:]
    }

    /// As a pass over the flow table counts them.
    var openConnections: Int {
        get throws {
            plane.restartSweep()
            while true {
                if let pass = try plane.sweepFlows() { return pass.open.values.reduce(0, +) }
            }
        }
    }

    var flowCount: Int { plane.maps.flows.all.count }

    /// Those whose slots nobody may take.
    var liveFlows: Int {
        var live = 0
        var walk = FlowTable.Walk(plane.maps.flows)
        _ = walk.next(limit: .max) { _, isLive in live += isLive ? 1 : 0 }
        return live
    }
}

extension FlowTable {
    /// Slots that are not free.
    var taken: Int {
        (0..<tags.count).reduce(0) { sum, set in
            sum + (0..<Self.ways).count { tags[set].ways >> UInt64(8 * $0) & 0xff != 0 }
        }
    }

    /// Entries behind the front, by its sets' own account.
    var spilled: UInt64 { (0..<tags.count).reduce(0) { $0 &+ tags[$1].spilled } }
}
