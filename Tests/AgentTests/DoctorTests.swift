import Foundation
import Glibc
import Model
import Testing

@testable import Agent
@testable import Dataplane
@testable import Netlink

@Suite("The doctor") struct DoctorTests {
    typealias Finding = DoctorReport.Finding

    @Test(
        "a kernel without tcx is refused by its name",
        arguments: [
            ("5.15.0-91-generic", false), ("6.5.13", false), ("6.6.0", true), ("6.18.44-fc", true), ("7.0-rc1", true),
        ])
    func release(text: String, fits: Bool) {
        let finding = Machine.judge(release: text)
        #expect((finding.status == .ok) == fits)
        #expect(finding.sentence.contains(text))
        #expect((finding.remedy == nil) == fits)
    }

    @Test("a release that is none is doubted, not refused", arguments: ["", "six", "6", "6.", ".6", "6.x", "-1.2"])
    func noRelease(text: String) {
        #expect(KernelRelease(text) == nil)
        #expect(Machine.judge(release: text).status == .warning)
    }

    @Test("every capability that is missing is named") func capabilities() throws {
        let full = try #require(Capabilities(status: "Name:\tremora\nCapEff:\t000001ffffffffff\n"))
        #expect(full.missing.isEmpty && Machine.judge(full).status == .ok)
        // as the systemd unit grants them: bpf, net_admin, net_raw, perfmon
        let unit = try #require(Capabilities(status: "CapPrm:\t0\nCapEff:\t000000c000003000\nCapBnd:\t0\n"))
        #expect(unit.missing.isEmpty && Machine.judge(unit).sentence.contains("CAP_SYS_ADMIN"))
        let none = try #require(Capabilities(status: "CapEff:\t0000000000000000"))
        let finding = Machine.judge(none)
        #expect(finding.status == .failed)
        for name in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_PERFMON"] {
            #expect(finding.sentence.contains(name))
        }
    }

    @Test("CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, not for the network's") func admin() throws {
        let admin = try #require(Capabilities(status: "CapEff:\t0000000000200000"))
        #expect(admin.missing == [.netAdmin, .netRaw])
    }

    @Test("a status without capabilities is none", arguments: ["", "CapEff:", "CapEff:\tnone", "CapInh:\t00"])
    func noCapabilities(text: String) { #expect(Capabilities(status: text) == nil) }

    @Test("the file system of a path is that of the longest, latest mount above it") func mounts() {
        let mounts = Mounts(
            """
            /dev/vda / ext4 rw 0 0
            sysfs /sys sysfs rw 0 0
            bpf /sys/fs/bpf bpf rw 0 0
            tmpfs /run tmpfs rw 0 0
            bpf /run/my\\040bpf bpf rw 0 0
            tmpfs /run tmpfs rw 0 0
            short line
            """)
        #expect(mounts.type(at: "/sys/fs/bpf") == "bpf")
        #expect(mounts.type(at: "/sys/fs/bpf/below") == "bpf")
        #expect(mounts.type(at: "/sys/fs/bpf2") == "sysfs")
        #expect(mounts.type(at: "/run/my bpf") == "bpf")
        #expect(mounts.type(at: "/run") == "tmpfs")
        #expect(mounts.type(at: "/home") == "ext4")
        #expect(Mounts("").type(at: "/") == nil)
    }

    @Test("bpffs that is missing is mounted by who may, and refused to others") func fileSystem() {
        func judge(_ type: String?, exists: Bool, mayMount: Bool) -> DoctorReport.Status {
            Machine.judge(bpffs: "/sys/fs/bpf", type: type, exists: exists, mayMount: mayMount).status
        }
        #expect(judge("bpf", exists: true, mayMount: false) == .ok)
        #expect(judge("sysfs", exists: true, mayMount: true) == .warning)
        #expect(judge("sysfs", exists: true, mayMount: false) == .failed)
        #expect(judge("sysfs", exists: false, mayMount: true) == .failed)
    }

    @Test("no agent starts over a failure: the first is the reason, with what to do") func refused() {
        let old = Machine.judge(release: "5.10.0")
        let report = DoctorReport(findings: [
            .init(.btf, .ok, "types"), .init(.port, of: "v*", .warning, "none"), old, .init(.bpf, .failed, "no BPF"),
        ])
        #expect(refusal(report)?.message == old.sentence && refusal(report)?.remedy == old.remedy)
        #expect(refusal(report)?.exitCode == .failed)
        #expect(report.failures == 2)
        #expect(refusal(DoctorReport(findings: [.init(.jit, .warning, "slow")])) == nil)
    }

    @Test("a report is read from its own JSON") func coding() throws {
        let report = DoctorReport(findings: [
            .init(.offload, of: "up0", .warning, "hidden", remedy: "ethtool"), .init(.kernel, .ok, "kernel 6.18"),
        ])
        #expect(try JSONDecoder().decode(DoctorReport.self, from: JSONEncoder().encode(report)) == report)
    }

    @Test("this machine runs the data path, or says why not", .enabled(if: geteuid() == 0, "needs root"))
    func here() {
        let report = examine(config: nil)
        #expect(report.failures == 0, "\(report.findings.filter { $0.status == .failed })")
        let seen = Set(report.findings.map(\.name))
        #expect(seen.isSuperset(of: [.kernel, .btf, .bpf, .programs, .tcx, .losses, .jit, .bpffs]))
        #expect(refusal(toRun: Config(node: "test")) == nil)
        var elsewhere = Config(node: "test")
        elsewhere.bpffs = "/no/such/directory"
        #expect(refusal(toRun: elsewhere)?.message.contains("/no/such/directory") == true)
    }
}

@Suite("The doctor on devices") struct DoctorDeviceTests {
    static let mac = MACAddress(bits: 0x0200_0000_0001)

    static func facts(_ name: String = "v0", active: Set<String> = []) -> DeviceFacts {
        var facts = DeviceFacts(
            link: Link(index: 7, name: PortName(name), kind: "veth", isUp: true, hasCarrier: true, mac: mac))
        facts.features = DeviceFeatures(driver: "veth", active: active)
        return facts
    }

    static func bridge(_ kind: String = "bridge") -> Link {
        Link(index: 2, name: PortName("br0"), kind: kind, isUp: true, hasCarrier: true, mac: mac)
    }

    @Test(
        "offload that takes packets past the hooks is warned of, with the command that ends it",
        arguments: [
            ("hw-tc-offload", "hw-tc-offload off"), ("l2-fwd-offload", "l2-fwd-offload off"), ("rx-lro", "lro off"),
        ])
    func hiding(feature: String, command: String) throws {
        let facts = Self.facts(active: [feature, "tx-checksum-ip-generic"])
        let finding = try #require(facts.hidden.first)
        #expect(facts.hidden.count == 1 && finding.status == .warning && finding.subject == "v0")
        #expect(finding.sentence.contains(feature) && finding.remedy == "ethtool -K v0 \(command)")
    }

    @Test("offload that hides nothing is named and not warned of") func harmless() {
        let facts = Self.facts(active: ["rx-gro-hw", "esp-hw-offload", "rx-checksum"])
        #expect(facts.hidden.isEmpty)
        #expect(facts.whatItIs.status == .ok && facts.whatItIs.sentence.contains("rx-gro-hw, esp-hw-offload"))
    }

    @Test("switches in hardware are warned of: switchdev, SR-IOV and offloaded bridge entries") func switches() {
        var facts = Self.facts()
        facts.virtualFunctions = 4
        facts.offloadedEntries = 2
        #expect(facts.hidden.map(\.name) == [.offload, .offload])
        #expect(facts.hidden[0].sentence.contains("4 SR-IOV"))
        // representors: the functions' packets come out of them
        facts.link.hardwareSwitch = [0x0c, 0xff]
        #expect(facts.hidden[0].sentence.contains("0cff") && facts.hidden.count == 2)
    }

    @Test("programs of others are told apart from Remora's own") func others() {
        var facts = Self.facts()
        #expect(facts.neighbours.isEmpty)
        facts.link.xdpProgram = 42
        facts.chain = [
            ChainedProgram(hook: "ingress", id: 5, name: "port_ingress", isRemora: true),
            ChainedProgram(hook: "egress", id: 6, name: nil, isRemora: false),
        ]
        #expect(facts.neighbours.map(\.name) == [.xdp, .chain, .chain])
        #expect(facts.neighbours[0].status == .warning && facts.neighbours[0].sentence.contains("42"))
        #expect(facts.neighbours[1].sentence.contains("? (6, egress)"))
    }

    @Test("what carries no Ethernet is no port") func tunnel() {
        var facts = Self.facts()
        facts.link.mac = nil
        #expect(!facts.isEthernet && facts.whatItIs.status == .warning)
    }

    @Test("`redirect` fits where nothing filters") func free() {
        var facts = Self.facts()
        facts.master = Self.bridge()
        #expect(facts.way(through: Filters(families: [])).sentence.hasPrefix("`redirect` fits"))
        facts.forwarding = .switch
        #expect(facts.way(through: Filters(families: [.inet])).status == .ok)
        #expect(facts.way(through: Filters(families: nil)).status == .warning)
    }

    @Test("`redirect` past a filter is warned of, and each filter is named") func filtered() {
        var facts = Self.facts()
        facts.forwarding = .redirect
        facts.link.isIsolated = true
        var bridge = Self.bridge()
        bridge.filtersVLANs = true
        facts.master = bridge
        let all = Filters(families: [.bridge, .inet, .netdev], ebtables: true, bridgedThroughIP: true)
        let finding = facts.way(through: all)
        #expect(finding.status == .warning && finding.remedy != nil)
        for word in ["netdev", "VLAN", "isolates", "bridge table", "ebtables", "br_netfilter"] {
            #expect(finding.sentence.contains(word))
        }
        facts.forwarding = .switch
        #expect(facts.way(through: all).status == .ok)
    }

    @Test("Open vSwitch and routing with IP rules ask for `switch`, a rule that cannot meet the packets does not")
    func ways() {
        var facts = Self.facts()
        #expect(facts.way(through: Filters(families: [.inet], routes: true)).sentence.hasPrefix("`switch` fits"))
        #expect(facts.way(through: Filters(families: [.bridge, .inet])).sentence.hasPrefix("`redirect` fits"))
        facts.master = Self.bridge("openvswitch")
        #expect(facts.way(through: Filters(families: [])).sentence.contains("Open vSwitch"))
        facts.master = Self.bridge()
        #expect(facts.way(through: Filters(families: [.inet], routes: true)).sentence.hasPrefix("`redirect` fits"))
    }

    @Test("a pattern says which devices it matches now, or that it waits") func patterns() throws {
        var config = Config(node: "test")
        let match = try #require(Glob("tap*"))
        config.ports = [
            .init(
                match: match, role: .vm, answerARP: true, network: NetworkID(0), mode: nil, forwarding: nil, vlans: [:])
        ]
        let port = config.ports[0]
        let devices = (0..<10).map { PortName("tap\($0)") } + [PortName("eth0")]
        let found = DeviceSurvey.judge(port, devices: devices)
        #expect(found.status == .ok && found.sentence.contains("tap7 and 2 more") && !found.sentence.contains("eth0"))
        let absent = DeviceSurvey.judge(port, devices: [PortName("eth0")])
        #expect(absent.status == .warning && absent.subject == "tap*")
    }
}
