import Classifier
import Fleet
import Model
import Testing

@Suite struct OperatorTests {
    @Test("a declared VM is probed for its place and proxied") func declared() {
        var lab = Lab()
        lab.declare("db", a, port: 5432)
        #expect(lab.probed.map(\.place) == [nil])
        #expect(lab.backends("db") == [a: .live])
        lab.apply(lab.fleet.undeclared(instance(a, 5432), at: lab.now))
        #expect(lab.backends("db") == [a: .draining])
    }

    @Test("a declared VM that lives behind an uplink is not carried here, until it moves in") func elsewhere() {
        var lab = Lab()
        lab.machines = [a: uplink]
        lab.declare("db", a)
        #expect(lab.state(a) == .waiting)
        #expect(lab.view(a)?.reason == "a VM behind uplink eth0: the NIC it is attached to carries it")
        #expect(lab.loaded.isEmpty)
        lab.machines = [a: tap0]
        lab.apply(lab.fleet.moved(network: blue, .v4(a), to: tap0, at: lab.now))
        #expect(lab.backends("db") == [a: .live])
    }

    @Test("a declared VM whose place nobody knows waits, and is live when it is seen") func placeUnknown() {
        var lab = Lab()
        lab.machines = [:]
        lab.declare("db", a)
        #expect(lab.state(a) == .waiting)
        #expect(lab.view(a)?.reason?.contains("not known") == true)
        lab.apply(lab.fleet.moved(network: blue, .v4(a), to: tap0, at: lab.now))
        #expect(lab.backends("db") == [a: .live])
    }

    @Test("the operator's word settles a contradiction") func settles() {
        var lab = Lab()
        var list = ContainerList()
        list.insert(.v4(a))
        lab.apply(lab.fleet.containers(list, at: lab.now))
        lab.hear(consul("web"))
        #expect(lab.state(a) == .unknown)
        lab.declare("web", a)
        #expect(lab.state(a) == .live)
        lab.declare("web", a, verdict: .container)
        #expect(lab.state(a) == .container)
        #expect(lab.loaded.isEmpty)
    }

    @Test("a declaration across networks is not taken") func crossNetwork() {
        var lab = Lab()
        let wrong = Declaration(service: ServiceID(network: NetworkID(1), name: "x"), instance: instance(a))
        #expect(lab.fleet.declared(wrong, at: lab.now).isEmpty)
        #expect(lab.fleet.declarationsInForce.isEmpty)
    }

    @Test("declaring the same twice does nothing") func twice() {
        var lab = Lab()
        lab.declare("db", a)
        let again = Declaration(service: ServiceID(network: blue, name: "db"), instance: instance(a))
        #expect(lab.fleet.declared(again, at: lab.now).isEmpty)
    }

    @Test("a policy is part of its service's proxy, set before or after it comes") func policy() {
        var lab = Lab()
        lab.deny("web", "10.9.0.0/16")
        #expect(lab.loaded.isEmpty)
        lab.hear(consul("web"))
        #expect(lab.proxy("web")?.services.first?.policy == denyRules("10.9.0.0/16"))
        lab.apply(lab.fleet.policy(ServiceID(network: blue, name: "web"), nil, at: lab.now))
        #expect(lab.proxy("web")?.services.first?.policy == PolicyRules())
    }

    @Test("what was denied stays denied after the service has gone, until the operator says otherwise") func outlives()
    {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        #expect(lab.state(a) == .guarded)
        #expect(lab.backends("web") == [a: .guarded])
        #expect(lab.vip("web") == nil)
        #expect(lab.proxy("web")?.services.first?.policy == denyRules())
        lab.apply(lab.fleet.policy(ServiceID(network: blue, name: "web"), nil, at: lab.now))
        #expect(lab.loaded.isEmpty)
        #expect(lab.fleet.instances(at: lab.now).isEmpty)
    }

    @Test("a policy that denies nobody is not kept") func allowOnly() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        let rules = PolicyRules(rules: [.init(action: .allow, source: .any)])
        lab.apply(lab.fleet.policy(ServiceID(network: blue, name: "web"), rules, at: lab.now))
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        #expect(lab.loaded.isEmpty)
    }

    @Test("a guest does not shed rules by registering under a new name") func renamed() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.hear(consul("free", id: "f"))
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        #expect(lab.backends("web") == [a: .guarded])
        #expect(lab.backends("free").isEmpty)
        #expect(lab.view(a)?.reason?.contains("\"free\"") == true)
        lab.apply(lab.fleet.policy(ServiceID(network: blue, name: "web"), nil, at: lab.now))
        #expect(lab.backends("free") == [a: .live])
    }

    @Test("a service that returns under its policy is live with it") func returns() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        lab.hear(consul("web", id: "w"))
        #expect(lab.backends("web") == [a: .live])
        #expect(lab.vip("web") != nil)
    }

    @Test("a service that returns on another machine at the same port gets that machine's MAC") func returnsElsewhere()
    {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        let place = Place(port: tap0.port, role: .vm, mac: MACAddress(bits: 0x0200_0000_0088))
        lab.machines[a] = place
        lab.hear(consul("web", id: "w"), from: a, on: place)
        #expect(lab.proxy("web")?.services.first?.backends.first?.mac == place.mac)
        #expect(lab.state(a) == .live)
    }

    @Test("the operator may give a guarded address to another service") func reassigned() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        lab.declare("db", a)
        #expect(lab.backends("web").isEmpty)
        #expect(lab.backends("db") == [a: .live])
    }

    @Test("a powered-off VM's address stays under its policy") func deadGuard() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.machines = [:]
        lab.apply(lab.fleet.portVanished(tap0.port, at: lab.now))
        #expect(lab.backends("web") == [a: .guarded])
        lab.wait(.seconds(1000))
        #expect(lab.state(a) == .guarded)
        #expect(lab.backends("web") == [a: .guarded])
    }

    @Test("explain finds a service by name, by address, by address and port, and by its VIP") func explain() throws {
        var lab = Lab()
        lab.hear(consul("web", id: "w", ttl: 10))
        let vip = try #require(lab.vip("web"))
        for text in ["web", "10.0.0.1", "10.0.0.1:80", "\(vip.address)", "\(vip.address):80"] {
            let explanations = lab.fleet.explain(text, at: lab.now)
            #expect(
                explanations.contains {
                    $0.sentences.first == "10.0.0.1:80/tcp of \"web\": live, verdict vm (score 95)"
                },
                "\(text)")
            #expect(explanations.contains { $0.sentences.contains { $0.contains("lease has 10 s left") } })
        }
        #expect(lab.fleet.explain("10.0.0.1:81", at: lab.now).isEmpty)
        #expect(lab.fleet.explain("nobody", at: lab.now).isEmpty)
    }
}
