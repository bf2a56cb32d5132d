import Model
import Testing

@testable import Agent

@Suite("Metrics") struct MetricsTests {
    @Test("a port's counters carry the reason's name, and are written once a family") func ports() {
        var snapshot = MetricsSnapshot()
        snapshot.ports = [
            .init(
                name: "vm0", hook: "ingress",
                reasons: ["forwarded": .init(packets: 3, bytes: 180), "policy-denied": .init(packets: 1, bytes: 60)])
        ]
        let text = snapshot.exposition()
        #expect(text.contains(#"remora_port_packets_total{port="vm0",hook="ingress",reason="forwarded"} 3"# + "\n"))
        #expect(text.contains(#"remora_port_bytes_total{port="vm0",hook="ingress",reason="policy-denied"} 60"# + "\n"))
        #expect(text.split(separator: "\n").count { $0 == "# TYPE remora_port_packets_total counter" } == 1)
    }

    @Test("hostile names cannot break out of a label") func hostile() {
        var snapshot = MetricsSnapshot()
        let id = ServiceID(network: NetworkID(0), name: "a\"} 1\nx{b=\"\\\u{1b}[2J")
        snapshot.services = [
            .init(
                id: id, forward: .init(packets: 1, bytes: 2), reverse: .init(packets: 3, bytes: 4), connections: 5,
                drops: 6)
        ]
        let lines = snapshot.exposition().split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(lines.allSatisfy { $0.hasPrefix("remora_") })
        #expect(lines.contains { $0.contains(#"service="a\"} 1\nx{b=\"\\\\x1b[2J""#) && $0.hasSuffix(" 5") })
    }

    @Test("the exposition names only families that are listed, in their order") func families() {
        var snapshot = MetricsSnapshot()
        snapshot.proxies = ["live": 2]
        snapshot.instances = ["vm": 2, "unknown": 1]
        snapshot.maps = [.init(name: "flows", entries: 10, capacity: 100)]
        snapshot.ringLosses = ["adverts": 0]
        snapshot.ear = ["frames": 9]
        snapshot.probes = ["sent": 1]
        snapshot.registryEvents = [.init(registry: "nacos", op: "register", accepted: "unseen", count: 4)]
        snapshot.registryTroubles = [.init(registry: "eureka,uddi", kind: "gaps", count: 5)]
        let names = snapshot.exposition().split(separator: "\n").filter { $0.hasPrefix("# TYPE") }
            .map { String($0.split(separator: " ")[2]) }
        #expect(
            names == [
                "remora_proxies", "remora_instances", "remora_map_entries", "remora_map_capacity",
                "remora_ring_lost_total", "remora_ear_total", "remora_registry_events_total",
                "remora_registry_trouble_total", "remora_probes_total", "remora_alarms",
            ])
        let text = snapshot.exposition()
        #expect(
            text.contains(#"remora_registry_events_total{registry="nacos",op="register",accepted="unseen"} 4"# + "\n"))
        #expect(text.contains(#"remora_registry_trouble_total{registry="eureka,uddi",kind="gaps"} 5"# + "\n"))
        #expect(Set(names).isSubset(of: Set(MetricFamily.all.map(\.name))))
    }

    @Test("every reason of the ABI has a name, and an unknown code is printed as its number") func reasons() {
        #expect(Reason.all.count > 20 && Set(Reason.all.map(\.name)).count == Reason.all.count)
        #expect(Reason.all.first { $0.name == "policy-denied" }?.isDrop == true)
        #expect(Reason.all.first { $0.name == "forwarded" }?.isDrop == false)
        #expect(Reason.name(63) == "reason-63" && Reason.name(0) == Reason.all[0].name)
    }
}
