import Model
import Registries
import Testing

@testable import Agent

@Suite("Configuration") struct ConfigTests {
    static let whole = """
        node: lab
        mode: enforce
        forwarding: redirect
        state: /tmp/state
        socket: /tmp/remora.sock
        metrics: 127.0.0.1:9477
        bpffs: /sys/fs/bpf
        logLevel: debug
        ports:
          - {match: "up*", role: uplink, answerARP: true}
          - {match: "vm*", role: vm, mode: observe, forwarding: switch, vlans: {100: blue}}
          - {match: "ct?", role: container, network: blue}
        networks:
          - {name: default, id: 0, vips: 10.88.255.0/24, probeSource: 10.88.0.9}
          - {name: blue, id: 7, vips: 10.88.255.0/24}
        registries:
          - {kind: etcd, address: 10.0.0.2, port: 2379}
          - {kind: consul}
          - {kinds: [consul, etcd], port: 9000}
        registrars: [10.0.0.5]
        containers: {file: /etc/remora/containers.txt}
        proxies: {per: vm, drain: 5s, restoreGrace: 20s}
        flows: {max: 65536, idle: 10m, halfOpen: 5s, closed: 30s, halfOpenPerPort: 1024}
        probe: {enabled: false, timeout: 100ms, tries: 3}
        limits: {instancesPerPort: 10, servicesPerPort: 5, instances: 100}
        """

    func parse(_ text: String) throws(ProblemList) -> Config {
        try Config.parse(text, file: "r.yaml", hostname: "Host.example")
    }

    /// What is wrong with a text, a line each; empty if nothing is.
    func problems(_ text: String) -> [String] {
        do {
            _ = try parse(text)
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test("every key that is documented is read") func wholeFile() throws {
        let config = try parse(Self.whole)
        #expect(config.node == "lab")
        #expect(config.mode == .enforce && config.forwarding == .redirect && config.logLevel == .debug)
        #expect(config.metrics?.description == "127.0.0.1:9477")
        #expect(config.ports.map(\.role) == [.uplink, .vm, .container])
        #expect(config.port(matching: PortName("vm12"))?.vlans == [100: NetworkID(7)])
        #expect(config.port(matching: PortName("vm12"))?.mode == .observe)
        #expect(config.port(matching: PortName("ct1"))?.network == NetworkID(7))
        #expect(config.port(matching: PortName("ct12")) == nil)
        #expect(config.port(matching: PortName("up0"))?.answerARP == true)
        #expect(config.networks.map(\.id.number) == [0, 7])
        #expect(config.networks[0].probeSource?.description == "10.88.0.9")
        #expect(config.registries.map(\.port) == [2379, 8500, 9000])
        #expect(config.registries.map { $0.kinds.map(\.rawValue) } == [["etcd"], ["consul"], ["consul", "etcd"]])
        #expect(config.registrars == [IPAddress("10.0.0.5")])
        #expect(config.containers.file == "/etc/remora/containers.txt")
        #expect(config.proxies == .init(per: .vm, drain: .seconds(5), restoreGrace: .seconds(20)))
        #expect(
            config.flows
                == .init(
                    max: 65536, idle: .seconds(600), halfOpen: .seconds(5), closed: .seconds(30),
                    halfOpenPerPort: 1024))
        #expect(config.probe == .init(enabled: false, timeout: .milliseconds(100), tries: 3))
        #expect(config.limits == .init(instancesPerPort: 10, servicesPerPort: 5, instances: 100))
    }

    @Test("a container list's silence needs no newer list, unless that is asked for") func confirm() throws {
        let text = "ports: [{match: eth0, role: vm}]\ncontainers: "
        #expect(try parse(text + "{file: /c}").fleetSettings.containerListConfirms == false)
        #expect(try parse(text + "{file: /c, confirm: true}").fleetSettings.containerListConfirms)
        #expect(problems(text + "{file: /c, confirm: 1}").first?.contains("neither true nor false") == true)
        #expect(problems(text + "{ranges: [10.0.0.0/8], confirm: true}").first?.contains("without 'file'") == true)
    }

    @Test("a request over HTTP is off unless its ports are named; its path is the root unless another is") func http()
        throws
    {
        let text = "ports: [{match: eth0, role: vm}]\nprobe: "
        #expect(try parse(text + "{}").probe.http == nil)
        #expect(try parse(text + "{http: {ports: [80, 8080]}}").probe.http == .init(ports: [80, 8080]))
        let config = try parse(text + "{http: {ports: [80], path: /health?a=b}}")
        #expect(config.probe.http == .init(ports: [80], path: "/health?a=b") && config.dataplaneSettings.httpProbe)
        #expect(try parse(text + "{enabled: false, http: {ports: [80]}}").dataplaneSettings.httpProbe == false)
        for (wrong, told) in [
            ("{http: {path: /}}", "2:15: probe.http: 'ports' is missing"), ("{http: true}", "must be a mapping"),
            ("{http: {ports: [0]}}", "2:24: probe.http.ports: '0' is no number from 1 to 65535"),
            ("{http: {ports: [80], path: health}}", "is no path"),
            ("{http: {ports: [80], path: \"/a b\"}}", "is no path"),
            ("{http: {ports: [80], path: \"/a\\r\\nX: y\"}}", "is no path"),
            ("{http: {ports: [80], patch: /}}", "unknown key 'patch'; did you mean 'path'?"),
        ] {
            #expect(problems(text + wrong).contains { $0.contains(told) }, "\(wrong): \(problems(text + wrong))")
        }
    }

    @Test("ports alone are enough: all else has a default, and observe is the mode") func least() throws {
        let config = try parse("ports: [{match: eth0, role: vm}]")
        #expect(config.mode == .observe && config.forwarding == .switch && config.node == "host")
        #expect(config.ports[0].answerARP && config.ports[0].mode == nil)
        #expect(config.networks == [.init(name: "default", id: NetworkID(0))])
        #expect(config.metrics == nil && config.socket == Config.defaultSocket)
    }

    @Test("without registries every dialect is listened to at its usual ports, and nothing else is") func usual() throws
    {
        let all = try parse("ports: [{match: eth0, role: vm}]").endpoints
        for kind in RegistryEndpoint.Kind.allCases {
            #expect(all.filter { $0.kinds.contains(kind) }.map(\.port) == kind.usualPorts, "\(kind)")
        }
        let one = try parse("ports: [{match: eth0, role: vm}]\nregistries: [{kind: etcd, port: 4000}]").endpoints
        #expect(one.map(\.port) == [4000])
        #expect(one.flatMap(\.transports) == [.tcp])
    }

    @Test("two kinds at one port are what is named there, in one entry or two") func together() throws {
        let text = "ports: [{match: eth0, role: vm}]\nregistries: "
        #expect(problems(text + "[{kind: etcd, port: 80}, {kind: consul, port: 80}]").isEmpty)
        let both = try parse(text + "[{kinds: [etcd, consul], address: 10.0.0.1}]").registries
        #expect(both.map(\.port) == both[0].kinds[0].usualPorts + [8500])
        #expect(both.allSatisfy { $0.address == IPAddress("10.0.0.1") })
    }

    @Test("an error names its file, line and column") func marks() {
        #expect(problems("mode: observe\nports:\n  - {match: a, role: wm}").first?.hasPrefix("r.yaml:3:22: ") == true)
    }

    @Test(
        "each kind of mistake is told on its line, with what was meant",
        arguments: [
            ("modes: observe\n", "1:1: unknown key 'modes'; did you mean 'mode'?"),
            ("mode: obsreve\n", "unknown value 'obsreve'; did you mean 'observe'?"),
            ("mode: [observe]\n", "mode: must be a single value"),
            ("flows: {max: many}\n", "'many' is no whole number from 1024 to 16777216"),
            ("flows: {max: 99999999999999999999}\n", "is no whole number"),
            ("flows: 12\n", "flows must be a mapping"),
            ("probe: {enabled: yes}\n", "'yes' is neither true nor false"),
            ("proxies: {drain: 30}\n", "'30' is no duration"),
            ("proxies: {drain: -1s}\n", "'-1s' is no duration"),
            ("proxies: {drain: 99999999999999999999d}\n", "is no duration"),
            ("flows: {idle: 1s}\n", "1s is not within 10s to 7d"),
            ("node: Lab_1\n", "no node name"),
            ("socket: run/remora.sock\n", "no absolute path"),
            ("metrics: localhost:1\n", "no address and port"),
            ("metrics: 127.0.0.1:0\n", "no address and port"),
            ("registries: [{kind: consol}]\n", "unknown value 'consol'; did you mean 'consul'?"),
            ("registries: [{kind: bonjour}]\n", "unknown value 'bonjour' (known: consul, "),
            ("registries: [{port: 80}]\n", "'kind' is missing: consul, "),
            (
                "registries:\n  - kinds: [etcd,\n     consol]\n",
                "3:6: registries[0].kinds: unknown value 'consol'; did you mean 'consul'?"
            ),
            ("registries: [{kinds: [etcd, etcd]}]\n", "registries[0].kinds: 'etcd' stands there twice"),
            ("registries: [{kind: etcd, kinds: [consul]}]\n", "stands beside 'kind'"),
            ("registries: [{kinds: etcd}]\n", "kinds: must be a list"),
            ("registries: [{kind: etcd, address: 10.0.0.300}]\n", "'10.0.0.300' is no IP address"),
            ("registries: [{kind: etcd, port: 0}]\n", "'0' is no whole number from 1 to 65535"),
            (
                "registries:\n  - {kind: etcd}\n  - {kinds: [consul, etcd], port: 2379}\n",
                "r.yaml:3:13: registries[1].kinds: etcd at port 2379 stands in line 2 already"
            ),
            ("registries: {kind: etcd}\n", "registries: must be a list"),
            ("registrars: [ten]\n", "'ten' is no IP address"),
            ("containers: {}\n", "'file' is missing"),
            ("networks: [{name: a, id: 0, vips: 10.0.0.1/24}]\n", "no IPv4 range whose host bits are zero"),
            ("networks: [{name: a, id: 0, vips: 10.0.0.0/31}]\n", "10.0.0.0/31 is too small"),
            ("networks: [{name: a, id: 0, vips: 240.0.0.0/24}]\n", "no guest can route to"),
            ("networks: [{name: a, id: 0, vips: 127.0.0.0/24}]\n", "no guest can route to"),
            ("networks: [{name: a, id: 0}, {name: b, id: 0}]\n", "0 is the number of network 'a' already"),
            ("networks: [{name: a, id: 0}, {name: a, id: 1}]\n", "a network 'a' stands above already"),
            ("networks: [{name: a, id: 65536}]\n", "no whole number from 0 to 65535"),
            ("networks: [{name: a, id: 0, vips: 10.0.0.0/24, probeSource: 10.0.0.9}]\n", "lies in the VIP range"),
            ("networks: [{name: a, id: 3}]\n", "there is no network 0"),
            ("mode: observe\nmode: enforce\n", "2:1: key 'mode' is given twice, first in line 1"),
            ("mode: observe\r\nmode: enforce\r\n", "2:1: key 'mode' is given twice, first in line 1"),
            ("node: &x lab\n", "1:7: YAML anchors"),
            ("node: [\n", "r.yaml:"),
            ("- a\n", "r.yaml:"),
            ("\u{1}: a\n", "r.yaml:"),
        ]) func mistakes(text: String, expected: String)
    {
        let found = problems(text + "ports: [{match: eth0, role: vm}]\n")
        #expect(found.contains { $0.contains(expected) }, "\(found)")
    }

    @Test(
        "rules whose patterns can match one device must not differ",
        arguments: [
            ("up*", "uplink", "up1", "vm", true), ("a*", "vm", "*b", "container", true),
            ("a?", "vm", "?b", "uplink", true),
            ("vm*", "vm", "vn*", "container", false), ("a?", "vm", "a", "uplink", false),
            ("vm1", "vm", "vm*", "vm", false), ("vm*", "vm", "vm*", "vm", true), ("*", "mixed", "x", "vm", true),
        ]) func overlaps(a: String, roleA: String, b: String, roleB: String, wrong: Bool)
    {
        let found = problems("ports:\n  - {match: \"\(a)\", role: \(roleA)}\n  - {match: \"\(b)\", role: \(roleB)}\n")
        #expect(found.isEmpty != wrong, "\(found)")
        if wrong { #expect(found.allSatisfy { $0.hasPrefix("r.yaml:3:") }) }
    }

    @Test("a rule that overlaps with other settings is told, even with one role") func settings() {
        let found = problems("ports:\n  - {match: vm1, role: vm, mode: enforce}\n  - {match: 'vm*', role: vm}\n")
        #expect(found.count == 1 && found[0].contains("with other settings"))
    }

    @Test(
        "a device pattern that can match nothing is refused", arguments: ["''", "a/b", "averyveryverylongname", "a b"])
    func patterns(text: String) {
        #expect(problems("ports: [{match: \(text), role: vm}]").count == 1)
    }

    @Test("VLANs lead to known networks, within 1 to 4094") func vlans() {
        let found = problems("ports: [{match: a, role: vm, vlans: {0: default, 5: red, 4095: default, 10: default}}]")
        #expect(found.count == 3)
        #expect(found.contains { $0.contains("unknown network 'red'") })
    }

    @Test("everything that is wrong is told at once, in the order of the lines") func allAtOnce() {
        let found = problems(
            "mode: x\nnode: lab\nnode: lab\nflows: {max: 1, max: 2}\nports: [{role: vm}, {match: a}]\n")
        #expect(found.map { $0.split(separator: ":")[1] } == ["1", "3", "4", "4", "5", "5"])
    }

    @Test("an empty file, two documents and no ports are told") func shapes() {
        #expect(problems("").count == 1)
        #expect(problems("# nothing\n").count == 1)
        #expect(problems("mode: observe").contains { $0.contains("'ports' is missing") })
        #expect(problems("ports: []\n")[0].contains("names no device"))
        #expect(problems("ports: [{match: a, role: vm}]\n---\nmode: observe\n")[0].contains("more than one document"))
    }

    @Test("hostile shapes end in an error: deep nesting, huge texts, aliases") func hostile() {
        #expect(!problems(String(repeating: "[", count: 100_000)).isEmpty)
        #expect(!problems(String(repeating: "{a: ", count: 100_000)).isEmpty)
        #expect(problems(String(repeating: "a", count: 2 << 20)) == ["r.yaml: longer than 1048576 bytes"])
        #expect(!problems("a: &a [x]\nb: [*a, *a]").isEmpty)
        #expect(problems((0..<5000).map { "k\($0): 1\n" }.joined()).count == 100)
        #expect(!problems(String(repeating: "a: 1\n", count: 200)).isEmpty)
    }

    @Test("a file that cannot be read is an error that names it") func unreadable() {
        #expect(throws: ProblemList.self) { try Config.load(path: "/nonexistent/r.yaml", hostname: "h") }
    }

    @Test(
        "a pattern matches what a shell's would",
        arguments: [
            ("vm*", "vm", true), ("vm*", "vm12", true), ("vm*", "xvm1", false), ("*", "a", true), ("a?c", "abc", true),
            ("a?c", "ac", false), ("*a*b", "xaxxb", true), ("*a*b", "xbxxa", false), ("eth0.*", "eth0.100", true),
        ]) func globs(pattern: String, name: String, match: Bool) throws
    {
        #expect(try #require(Glob(pattern)).matches(name) == match)
    }

    @Test("two patterns overlap just when some name matches both (all short ones, against all names)") func overlapLaw()
    {
        let alphabet = ["a", "b", "*", "?"]
        let words = alphabet + alphabet.flatMap { a in alphabet.map { a + $0 } }
        let patterns = words + words.flatMap { a in alphabet.map { a + $0 } }
        let letters = ["a", "b", "c"]
        var names = letters
        for _ in 0..<4 { names += names.suffix(81 * 3).flatMap { a in letters.map { a + $0 } } }
        let globs = patterns.compactMap { Glob($0) }
        let matching = globs.map { glob in Set(names.filter { glob.matches($0) }) }
        for (i, a) in globs.enumerated() {
            for (j, b) in globs.enumerated().dropFirst(i) {
                #expect(a.overlaps(b) == !matching[i].isDisjoint(with: matching[j]), "\(a) \(b)")
            }
        }
    }

    @Test(
        "a duration is read in its unit, and printed in the largest that loses nothing",
        arguments: [
            ("200ms", 200, "200ms"), ("30s", 30_000, "30s"), ("60s", 60_000, "1m"), ("1h", 3_600_000, "1h"),
            ("0s", 0, "0ms"),
        ]) func durations(text: String, milliseconds: Int64, printed: String) throws
    {
        let duration = try #require(Duration(text: text))
        #expect(duration == .milliseconds(milliseconds) && duration.text == printed)
    }
}
