import Fleet
import Model
import Testing

/// What registries other than Consul and etcd say, and how the fleet takes it.
@Suite struct DialectTests {
    func eureka(
        _ op: Advertisement.Operation, app: String = "ORDER", id: String = "vm1:order", address: String? = "10.0.0.1",
        port: Int? = 80, status: String? = nil, hostName: String? = nil, accepted: Bool? = true
    ) -> Advertisement {
        var said = message(op, "eureka", id: id, key: "\(app)/\(id)", service: app, accepted: accepted)
        said.status = status
        guard op == .register else { return said }
        (said.address, said.port, said.hostName) = (address, port, hostName)
        said.ttlDefaultSeconds = 90
        return said
    }

    func nacos(
        _ op: Advertisement.Operation, _ service: String = "user", address: IPv4Address = a, port: Int = 80,
        group: String? = nil, namespace: String? = nil, ttl: Int? = nil
    ) -> Advertisement {
        var said = message(op, "nacos", service: service)
        (said.address, said.port, said.group, said.namespace) = (address.description, port, group, namespace)
        said.key = "\(address)#\(port)#\(group ?? "DEFAULT_GROUP")@@\(service)#\(namespace ?? "public")"
        (said.ttlSeconds, said.ttlDefaultSeconds) = (ttl, ttl == nil ? 15 : nil)
        return said
    }

    func zookeeper(_ path: String, session: String?, port: Int = 80, timeout: Int? = 6000) -> Advertisement {
        var said = message(.register, "zookeeper", service: "catalog")
        (said.path, said.leaseId, said.ephemeral) = (path, session, session != nil)
        (said.address, said.port, said.sessionTimeoutMs) = ("10.0.0.1", port, timeout)
        return said
    }

    func nats(_ op: Advertisement.Operation, _ service: String = "calc", id: String = "V8lg", connection: String = "c1")
        -> Advertisement
    {
        var said = message(op, "nats", id: id, service: service)
        said.sessionId = connection
        said.ephemeral = true
        return said
    }

    // MARK: Eureka

    @Test("without a time of its own a registration lives for the protocol's, renewed by app and id") func defaults() {
        var lab = Lab()
        lab.hear(eureka(.register))
        #expect(lab.view(a)?.holders.first?.leaseLeftSeconds == 90)
        lab.wait(.seconds(89))
        lab.hear(eureka(.heartbeat))
        lab.wait(.seconds(89))
        #expect(lab.state(a) == .live)
        lab.wait(.seconds(1))
        #expect(lab.state(a) == .draining)
    }

    @Test("one id in two apps is two registrations") func apps() {
        var lab = Lab()
        lab.hear(eureka(.register, app: "ORDER", id: "vm1", port: 80))
        lab.hear(eureka(.register, app: "PAY", id: "vm1", port: 81))
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.live, .live))
        lab.hear(eureka(.deregister, app: "PAY", id: "vm1"))
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.live, .draining))
    }

    @Test(
        "an instance that is not up is sent nothing, and lives on; up again it is sent to",
        arguments: ["DOWN", "STARTING", "OUT_OF_SERVICE"]) func resting(status: String)
    {
        var lab = Lab()
        lab.hear(eureka(.register, status: "UP"))
        #expect(lab.state(a) == .live)
        lab.hear(eureka(.register, status: status))
        #expect(lab.state(a) == .draining)
        lab.wait(.seconds(31))
        #expect(lab.state(a) == .resting)
        #expect(lab.loaded.isEmpty && lab.purged == [instance(a)])
        #expect(lab.view(a)?.reason?.contains("not to be sent anything") == true)
        #expect(lab.view(a)?.holders.first?.leaseLeftSeconds != nil)
        lab.hear(eureka(.register, status: "UP"))
        #expect(lab.backends("ORDER") == [a: .live])
    }

    @Test("an order to take it out of service stands until it is taken back, whatever the instance says") func order() {
        var lab = Lab()
        lab.hear(eureka(.register, status: "UP"))
        lab.hear(eureka(.status, status: "OUT_OF_SERVICE"))
        lab.hear(eureka(.heartbeat, status: "UP"))
        lab.hear(eureka(.register, status: "UP"))
        #expect(lab.state(a) == .draining)
        #expect(lab.fleet.explain("ORDER", at: lab.now).flatMap(\.sentences).contains { $0.contains("not to be sent") })
        var again = lab.restarted()
        again.wait(.seconds(31))
        #expect(again.state(a) == .resting)
        lab.hear(eureka(.status, status: nil))
        #expect(lab.state(a) == .live)
    }

    @Test("Consul's maintenance, of a service or of all that its agent has, whatever its checks say") func maintenance()
    {
        var lab = Lab()
        lab.hear(consul("web", id: "w", port: 80, ttl: 100))
        lab.hear(consul("api", id: "x", port: 81))
        func order(_ id: String, of service: String?, _ status: String?) {
            var said = message(.status, id: id)
            (said.serviceId, said.status) = (service, status)
            lab.hear(said)
        }
        order("_service_maintenance:w", of: "w", "maintenance")
        order("service:w", of: "w", "passing")
        order("service:w", of: "w", nil)
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.draining, .live))
        order("_service_maintenance:w", of: "w", nil)
        #expect(lab.state(a, 80) == .live)
        order("_node_maintenance", of: nil, "maintenance")
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.draining, .draining))
        order("_node_maintenance", of: nil, nil)
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.live, .live))
    }

    @Test("nobody but the registrant and registrars take an instance out of service") func ordersOfOthers() {
        var lab = Lab(.enforcing.with { $0.registrars = [.v4(c)] })
        lab.hear(eureka(.register))
        lab.hear(eureka(.status, status: "OUT_OF_SERVICE"), from: b, on: tap1)
        #expect(lab.state(a) == .live)
        #expect(lab.fleet.refusals().contains { $0.reason.contains("status by another address") })
        lab.hear(eureka(.status, status: "OUT_OF_SERVICE", accepted: nil), from: c, on: cni)
        #expect(lab.state(a) == .live)
        lab.hear(eureka(.status, status: "OUT_OF_SERVICE"), from: c, on: cni)
        #expect(lab.state(a) == .draining)
    }

    @Test("a guest that changes its mind without end writes so much and no more") func orders() {
        var lab = Lab()
        lab.hear(eureka(.register))
        for number in 0..<5000 { lab.hear(eureka(.status, status: number % 2 == 0 ? "OUT_OF_SERVICE" : "UP")) }
        #expect(lab.journal.count < 2000)
    }

    // MARK: host names

    @Test("a registration by host name counts once a probe finds its sender open") func hostName() {
        var lab = Lab()
        lab.closed = [instance(a)]
        lab.hear(eureka(.register, address: nil, hostName: "vm1.example"))
        #expect(lab.state(a) == .provisional)
        #expect(lab.view(a)?.reason?.contains("the host name \"vm1.example\"") == true)
        lab.closed = []
        lab.wait(.seconds(31))
        #expect(lab.state(a) == .live)
    }

    @Test("a registrar's host name stands for nobody") func hostOfAnother() {
        var lab = Lab(.enforcing.with { $0.registrars = [.v4(a)] })
        lab.hear(eureka(.register, address: "vm2.example"))
        #expect(lab.fleet.instances(at: lab.now).isEmpty)
        #expect(lab.fleet.refusals().first?.reason.contains("must be declared") == true)
    }

    @Test("a host whose addresses were told is known by the sender's own") func knownHost() {
        var lab = Lab()
        var said = message(.register, "dns-update", key: "_api._tcp.svc.example SRV", service: "_api._tcp.svc.example")
        (said.address, said.port, said.ttlSeconds) = ("node-a.svc.example", 80, 120)
        said.addresses = ["fd00::1", "10.0.0.9", "10.0.0.1"]
        lab.hear(said)
        #expect(lab.state(a) == .live)
    }

    @Test("DNS's times say how long an answer may be remembered: nothing lapses", arguments: ["dns-update", "mdns"])
    func remembering(registry: String) {
        var lab = Lab()
        var said = message(.register, registry, id: "Web._http._tcp.local.", service: "_http._tcp.local.")
        (said.address, said.port, said.ttlSeconds, said.protocol) = ("10.0.0.1", 80, 120, "tcp")
        lab.hear(said)
        lab.wait(.seconds(1000))
        #expect(lab.state(a) == .live)
        lab.hear(message(.deregister, registry, id: "Web._http._tcp.local.", service: "_http._tcp.local."))
        #expect(lab.state(a) == .draining)
    }

    // MARK: Nacos

    @Test("instances are told apart by namespace, group, service, address and port") func nacosNames() {
        var lab = Lab()
        lab.hear(nacos(.register))
        lab.hear(nacos(.register, port: 81))
        lab.hear(nacos(.register, port: 82, group: "G"))
        lab.hear(nacos(.register, port: 83, namespace: "team"))
        #expect(Set(lab.loaded.keys.map(\.name)) == ["user", "G@@user", "team/user"])
        lab.hear(nacos(.deregister, port: 81))
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.live, .draining))
    }

    @Test("a beat renews what it names, and tells of what was registered before anybody listened") func beats() {
        var lab = Lab()
        lab.hear(nacos(.heartbeat))
        #expect(lab.state(a) == .live)
        lab.wait(.seconds(14))
        lab.hear(nacos(.heartbeat))
        lab.wait(.seconds(14))
        #expect(lab.state(a) == .live)
        lab.wait(.seconds(1))
        #expect(lab.state(a) == .draining)
        var refused = nacos(.heartbeat, port: 81)
        refused.accepted = nil
        lab.hear(refused)
        #expect(lab.state(a, 81) == nil)
    }

    @Test("what hangs on a connection goes with it, and a check of the connection renews all of it") func connection() {
        var lab = Lab()
        for port in [80, 81] {
            var said = nacos(.register, port: port, ttl: 20)
            said.leaseId = "1700000000000_10.0.0.1_40000"
            lab.hear(said)
        }
        lab.wait(.seconds(19))
        lab.hear(message(.heartbeat, "nacos", lease: "1700000000000_10.0.0.1_40000"))
        lab.wait(.seconds(19))
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.live, .live))
        lab.hear(message(.deregister, "nacos", lease: "1700000000000_10.0.0.1_40000"))
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.draining, .draining))
    }

    // MARK: ZooKeeper

    @Test("an ephemeral node lives as long as its session is heard of") func session() {
        var lab = Lab()
        lab.hear(zookeeper("/services/catalog/1", session: "0x100000a1b2c0001", port: 80))
        lab.hear(zookeeper("/services/catalog/2", session: nil, port: 81))
        lab.wait(.seconds(5))
        lab.hear(message(.heartbeat, "zookeeper", lease: "0x100000a1b2c0001"))
        lab.wait(.seconds(5))
        #expect(lab.state(a, 80) == .live)
        lab.wait(.seconds(1))
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.draining, .live))
    }

    @Test("a session's end ends its nodes, and no other's") func sessionEnd() {
        var lab = Lab()
        lab.hear(zookeeper("/services/catalog/1", session: "0x1", port: 80))
        lab.hear(zookeeper("/services/catalog/2", session: "0x2", port: 81))
        lab.hear(message(.deregister, "zookeeper", lease: "0x1"), from: b, on: tap1)
        #expect(lab.state(a, 80) == .live)
        lab.hear(message(.deregister, "zookeeper", lease: "0x1"))
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.draining, .live))
        var gone = message(.deregister, "zookeeper")
        gone.path = "/services/catalog/2"
        lab.hear(gone)
        #expect(lab.state(a, 81) == .draining)
    }

    @Test("a lease of one registry is none of another's, however it is called") func registries() {
        var lab = Lab()
        lab.hear(zookeeper("/services/catalog/1", session: "7", port: 80))
        lab.hear(etcd("cart", "1", port: 81, lease: "7"))
        lab.hear(message(.deregister, "etcd", lease: "7"))
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.live, .draining))
    }

    @Test("an absurd lease is refused") func absurdLease() {
        var lab = Lab()
        lab.hear(zookeeper("/services/catalog/1", session: String(repeating: "x", count: 129)))
        #expect(lab.fleet.refusals().first?.reason.contains("its lease's id is longer") == true)
    }

    // MARK: without a port, or not by TCP

    @Test("a service without a port is shown with the reason, and never proxied") func noPort() throws {
        var lab = Lab()
        lab.hear(nats(.register, "calc", id: "1"))
        lab.hear(nats(.register, "echo", id: "2"))
        #expect(lab.loaded.isEmpty && lab.fleet.planned.isEmpty)
        for name in ["calc", "echo"] {
            #expect(lab.service(name)?.instances == 1)
            #expect(lab.service(name)?.reason?.contains("no port") == true)
            #expect(lab.fleet.explain(name, at: lab.now).flatMap(\.sentences).contains { $0.contains("no port") })
        }
        #expect(lab.view(a, 0)?.instance.description == "10.0.0.1:-/tcp")
        lab.hear(nats(.deregister, "calc", id: "1"))
        #expect(lab.service("calc") == nil)
        lab.hear(message(.deregister, "nats", lease: "c1"))
        #expect(lab.service("echo") == nil)
    }

    @Test("no port and port 0 are the same to Consul") func portZero() {
        var lab = Lab()
        lab.hear(consul("one", id: "1", port: nil))
        lab.hear(consul("two", id: "2", port: 0))
        #expect(lab.fleet.instances(at: lab.now).map(\.instance.port) == [0])
        #expect(lab.fleet.refusals().isEmpty)
    }

    @Test("UDP is shown, and said not to be carried") func datagrams() throws {
        var lab = Lab(.enforcing.with { $0.probing = false })
        var said = message(.register, "mdns", id: "Phone._sip._udp.local.", service: "_sip._udp.local.")
        (said.address, said.port, said.protocol) = ("10.0.0.1", 5060, "udp")
        lab.hear(said)
        let view = try #require(lab.fleet.instances(at: lab.now).first)
        #expect(view.instance.proto == .udp && view.state == .waiting)
        #expect(view.reason?.contains("UDP") == true)
    }

    @Test("nobody is probed in the name of a multicast group, whatever was or will be heard") func group() {
        var lab = Lab()
        var said = message(.register, "mdns", id: "One._http._tcp.local.", service: "_http._tcp.local.", accepted: nil)
        (said.address, said.port, said.registryIp) = ("10.0.0.1", 80, "224.0.0.251")
        lab.hear(said)
        #expect(!lab.probed.isEmpty && lab.probed.allSatisfy { $0.registry == nil })
        lab.hear(etcd("web", "1", ttl: 600))
        lab.hear(said)
        lab.probed = []
        lab.wait(.seconds(60))
        #expect(!lab.probed.isEmpty && lab.probed.allSatisfy { $0.registry == .v4(registryAddress) })
    }

    // MARK: named by what they offer

    @Test("without an id a registration is named by service, address and port") func socket() {
        var lab = Lab()
        for port in [80, 81, 82] {
            var said = message(.register, "uddi", service: "web")
            (said.address, said.port) = ("10.0.0.1", port)
            lab.hear(said)
        }
        var one = message(.deregister, "uddi", service: "web")
        (one.address, one.port) = ("10.0.0.1", 80)
        lab.hear(one, from: b, on: tap1)
        #expect(lab.state(a, 80) == .live)
        lab.hear(one)
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.draining, .live))
        (one.address, one.port) = (nil, 81)
        lab.hear(one)
        #expect((lab.state(a, 81), lab.state(a, 82)) == (.draining, .live))
        lab.hear(message(.deregister, "uddi", service: "web"))
        #expect(lab.state(a, 82) == .draining)
    }

    @Test("the same id in two of Consul's namespaces, or on two of its nodes, is two registrations") func scopes() {
        var lab = Lab()
        lab.hear(consul("web", id: "w", port: 80))
        var said = consul("web", id: "w", port: 81)
        said.namespace = "team"
        lab.hear(said)
        (said.namespace, said.node, said.port) = (nil, "n1", 82)
        lab.hear(said)
        #expect([80, 81, 82].map { lab.state(a, $0) } == [.live, .live, .live])
        var gone = message(.deregister, id: "w")
        gone.namespace = "team"
        lab.hear(gone)
        #expect([80, 81, 82].map { lab.state(a, $0) } == [.live, .draining, .live])
        gone = message(.deregister)
        gone.node = "n1"
        lab.hear(gone)
        #expect([80, 81, 82].map { lab.state(a, $0) } == [.live, .draining, .draining])
    }
}
