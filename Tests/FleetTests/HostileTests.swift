import Fleet
import Model
import Testing

@Suite struct HostileTests {
    @Test("a guest that registers another's address is shown as foreign, not probed, not proxied") func foreign() throws
    {
        var lab = Lab()
        lab.hear(consul("web", address: "10.0.0.2"))
        #expect(lab.state(b) == .foreign)
        #expect(lab.probed.isEmpty)
        #expect(lab.loaded.isEmpty)
        let explanation = try #require(lab.fleet.explain("10.0.0.2", at: lab.now).first)
        #expect(
            explanation.sentences.contains { $0.contains("registered by 10.0.0.1, which neither has this address") })
    }

    @Test("the owner's own registration stands beside a foreign claim") func ownerComes() {
        var lab = Lab()
        lab.hear(consul("evil", address: "10.0.0.2"))
        lab.hear(consul("web"), from: b, on: tap1)
        #expect(lab.state(b) == .live)
        #expect(lab.backends("web") == [b: .live])
        #expect(lab.backends("evil").isEmpty)
    }

    @Test("foreign claims give way to the owner's when an instance has as many as it may") func crowded() {
        var lab = Lab()
        for number in 0..<8 { lab.hear(consul("evil", id: "\(number)", address: "10.0.0.2")) }
        lab.hear(consul("web"), from: b, on: tap1)
        #expect(lab.state(b) == .live)
        #expect(lab.view(b)?.holders.count == 8)
    }

    @Test("a registrar's registration of another address counts once a probe finds it open") func registrar() {
        var lab = Lab(.enforcing.with { $0.registrars = [.v4(c)] })
        lab.machines[a] = nil
        lab.hear(consul("web", address: "10.0.0.1"), from: c, on: cni)
        #expect(lab.state(a) == .provisional)
        lab.machines[a] = tap0
        lab.wait(.seconds(1))
        #expect(lab.backends("web") == [a: .live])
    }

    @Test(
        "what cannot be a service is refused with a reason",
        arguments: [
            ("vm 1.example", 80, "web", "host name"), ("10.0.0.300", 80, "web", "no address"),
            ("10.0.0.1", 65536, "web", "65536 is no port"), ("10.0.0.1", -1, "web", "-1 is no port"),
            ("10.0.0.1", Int.max, "web", "is no port"), ("224.0.0.1", 80, "web", "can have"),
            ("255.255.255.255", 80, "web", "can have"), ("127.0.0.1", 80, "web", "can have"),
            ("0.0.0.0", 80, "web", "can have"), ("::1", 80, "web", "can have"), ("ff02::1", 80, "web", "can have"),
            ("10.99.0.7", 80, "web", "VIPs"), ("10.0.0.1", 80, "", "no service name"),
            (String(repeating: "9", count: 100_000), 80, "web", "no address"),
            ("10.0.0.1", 80, String(repeating: "x", count: 256), "longer than 255"),
            ("10.0.0.1", 80, String(repeating: "e\u{301}", count: 100_000), "longer than 255"),
        ])
    func refused(address: String, port: Int, name: String, reason: String) throws {
        var lab = Lab()
        lab.hear(consul(name, id: "x", address: address, port: port))
        #expect(lab.fleet.instances(at: lab.now).isEmpty)
        let refusal = try #require(lab.fleet.refusals().first)
        #expect(refusal.reason.contains(reason))
        #expect(refusal.service.unicodeScalars.count <= 255)
        #expect(refusal.reason.unicodeScalars.count < 1000)
    }

    @Test("the same refusal again is counted, and others push the oldest out") func refusalsBounded() {
        var lab = Lab()
        for _ in 0..<100 { lab.hear(consul("web", port: -1)) }
        #expect(lab.fleet.refusals().map(\.count) == [100])
        for number in 0..<1000 { lab.hear(consul("s\(number)", port: -1)) }
        #expect(lab.fleet.refusals().count == 64)
    }

    @Test("names full of slashes, dots and control characters become proxies of their own") func names() {
        var lab = Lab()
        let names = ["../../etc/passwd", "a/b", "a\u{0}b", "a\nb", ".", "..", "%2F", "a\u{202e}b", "\u{1f40b}"]
        for (number, name) in names.enumerated() {
            lab.hear(consul(name, id: "\(number)", port: 1000 + number))
        }
        #expect(Set(lab.loaded.values.flatMap(\.services).map(\.id.name)) == Set(names))
        #expect(lab.loaded.count == names.count)
    }

    @Test("a slash in a name or a namespace makes no two services one proxy") func slashes() {
        var lab = Lab()
        for (number, (namespace, name)) in [("a", "b/c"), ("a/b", "c"), ("default", "a/b/c"), ("a%2Fb", "c")]
            .enumerated()
        {
            var said = consul(name, id: "\(number)", port: 1000 + number)
            said.namespace = namespace
            lab.hear(said)
        }
        #expect(lab.loaded.count == 4)
    }

    @Test("hostile names are escaped in sentences for people") func sentences() {
        var lab = Lab()
        lab.hear(consul("x\u{1b}[2Jy\n", id: "w"))
        for explanation in lab.fleet.explain("10.0.0.1", at: lab.now) {
            for sentence in explanation.sentences {
                #expect(!sentence.unicodeScalars.contains { $0.value < 32 })
            }
        }
    }

    @Test("an address that is bound to one port is not taken by a guest on another") func spoofedRegistration() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(consul("evil", id: "e"), from: a, on: tap1)
        #expect(lab.state(a) == .live)
        #expect(lab.view(a)?.holders.count == 1)
        #expect(lab.fleet.refusals().first?.reason.contains("bound to port tap0") == true)
    }

    @Test("the same frame seen on its way out by the uplink changes nothing") func echo() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(consul("web", id: "w"), from: a, on: uplink)
        lab.hear(message(.deregister, id: "w"), from: a, on: uplink)
        #expect(lab.state(a) == .live)
        #expect(lab.view(a)?.place == tap0)
        #expect(lab.fleet.refusals().isEmpty)
    }

    @Test("another MAC on another port with a live VM's address is not even asked") func strangerSeen() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        let before = lab.probed.count
        lab.apply(lab.fleet.moved(network: blue, .v4(a), to: tap1, at: lab.now))
        #expect(lab.probed.count == before)
        #expect(lab.view(a)?.place == tap0)
    }

    @Test("an address of a machine that is dead may be another's: nothing of the old one passes to it") func takenOver()
    {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.apply(lab.fleet.portVanished(tap0.port, at: lab.now))
        #expect(lab.backends("web") == [a: .guarded])
        lab.machines[a] = Place(port: tap1.port, role: .vm, mac: tap1.mac)
        lab.hear(consul("db", id: "d"), from: a, on: tap1)
        #expect(lab.backends("web").isEmpty)
        #expect(lab.backends("db") == [a: .live])
        #expect(lab.view(a)?.holders.count == 1)
    }

    @Test("another machine that answers for a VM's address makes the verdict unknown") func hijack() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.machines[a] = tap1
        lab.wait(.seconds(30))
        #expect(lab.state(a) == .unknown)
        #expect(lab.loaded.isEmpty)
        lab.machines[a] = tap0
        lab.wait(.seconds(31))
        #expect(lab.state(a) == .live)
    }

    @Test("a spoofed registration before the owner's binds the port where the frames came from, and no probe agrees")
    func spoofedFirst() {
        var lab = Lab()
        lab.hear(consul("evil", id: "e"), from: a, on: tap1)
        #expect(lab.state(a) == .unknown)
        #expect(lab.loaded.isEmpty)
        lab.hear(consul("web", id: "w"))
        #expect(lab.backends("web") == [a: .live], "the owner is not kept out by it")
        #expect(lab.backends("evil").isEmpty)
    }
}

@Suite struct LimitTests {
    let small = Fleet.Settings.enforcing.with {
        $0.instancesPerPort = 3
        $0.servicesPerPort = 2
        $0.instances = 5
    }

    @Test("a port has so many instances and no more; the others are untouched") func instancesPerPort() {
        var lab = Lab(small)
        for port in 1...5 { lab.hear(consul("web", id: "\(port)", port: port)) }
        #expect(lab.fleet.counts.instances == 3)
        #expect(lab.fleet.refusals().first?.reason == "port tap0 has 3 instances, its limit")
        lab.hear(consul("web"), from: b, on: tap1)
        #expect(lab.state(b) == .live)
    }

    @Test("what is there already may be said again at the limit") func againAtLimit() {
        var lab = Lab(small)
        for port in 1...3 { lab.hear(consul("web", id: "\(port)", port: port, ttl: 10)) }
        lab.wait(.seconds(9))
        for port in 1...3 { lab.hear(consul("web", id: "\(port)", port: port, ttl: 10)) }
        lab.wait(.seconds(9))
        #expect(lab.fleet.counts.live == 3)
    }

    @Test("a port names so many services and no more") func servicesPerPort() {
        var lab = Lab(small)
        for number in 1...3 { lab.hear(consul("s\(number)", id: "\(number)", port: number)) }
        #expect(lab.loaded.count == 2)
        lab.hear(message(.deregister, id: "1"))
        lab.hear(consul("s3", id: "3", port: 3))
        #expect(lab.state(a, 3) == .live)
    }

    @Test("the NIC has so many instances and no more") func total() {
        var lab = Lab(small)
        for port in 1...3 { lab.hear(consul("web", id: "\(port)", port: port)) }
        for port in 1...3 { lab.hear(consul("web", id: "\(port)", port: port), from: b, on: tap1) }
        #expect(lab.fleet.counts.instances == 5)
        #expect(lab.fleet.refusals().first?.reason.contains("this NIC has 5") == true)
    }

    @Test("foreign claims count against the port of him who makes them") func foreignCounts() {
        var lab = Lab(small)
        for host in 1...9 { lab.hear(consul("web", id: "\(host)", address: "10.0.1.\(host)")) }
        #expect(lab.fleet.counts.instances == 3)
    }

    @Test("what is only remembered makes room for what is new") func roomByLost() {
        var lab = Lab(small)
        for port in 1...3 { lab.hear(consul("web", id: "\(port)", port: port, ttl: 5)) }
        lab.wait(.seconds(40))
        lab.hear(consul("web", id: "4", port: 4))
        #expect(lab.state(a, 4) == .live)
        #expect(lab.fleet.counts.instances == 3)
    }

    @Test("a service has no more instances than one program has room for") func backends() {
        var lab = Lab(.enforcing.with { $0.backendsPerProxy = 2 })
        for port in 1...3 { lab.hear(consul("web", id: "\(port)", port: port)) }
        #expect(lab.proxy("web")?.services.first?.backends.count == 2)
        #expect(lab.fleet.refusals().first?.reason.contains("the most that one can have") == true)
    }

    @Test("registering and deregistering new ports for ever grows nothing") func churn() {
        var lab = Lab(small)
        for round in 0..<500 {
            let port = 1 + round
            lab.hear(consul("s\(round)", id: "\(round)", port: port, ttl: 1_000_000))
            lab.hear(message(.deregister, id: "\(round)"))
            lab.wait(.milliseconds(1))
            lab.apply(lab.fleet.openFlows([:], at: lab.now))
        }
        #expect(lab.fleet.counts.instances == 0)
        #expect(lab.fleet.nextDeadline == nil)
        #expect(lab.fleet.liveRecords.count <= 254)
    }

    @Test("a guest's claims, the platform's containers and the fabric take no room in a VM's service")
    func roomInService() {
        var lab = Lab(
            .enforcing.with {
                $0.backendsPerProxy = 4
                $0.instancesPerPort = 100
            })
        for host in 1...9 { lab.hear(consul("web", id: "\(host)", address: "10.0.1.\(host)")) }
        for port in 1...9 { lab.hear(consul("web", id: "\(port)", port: port), from: c, on: cni) }
        for host in UInt32(1)...9 {
            lab.hear(consul("web"), from: IPv4Address(bits: 0x0a00_0200 + host), on: uplink)
        }
        lab.hear(consul("web"), from: b, on: tap1)
        #expect(lab.backends("web") == [b: .live])
    }

    @Test("one guest cannot fill a service for the others") func share() {
        var lab = Lab(
            .enforcing.with {
                $0.backendsPerProxy = 8
                $0.backendsPerPort = 4
            })
        for port in 1...8 { lab.hear(consul("web", id: "\(port)", port: port)) }
        #expect(lab.fleet.counts.live == 4)
        #expect(lab.fleet.refusals().first?.reason == "port tap0 has 4 instances of the service, its share")
        lab.hear(consul("web"), from: b, on: tap1)
        #expect(lab.state(b) == .live)
    }

    @Test("a guest that changes its registrations without end is slowed down, one that repeats itself is not")
    func fast() {
        var lab = Lab()
        for round in 0..<2000 {
            lab.hear(consul("web", id: "w", port: 80 + round % 2))
            lab.now = lab.now + .milliseconds(1)
        }
        #expect(lab.fleet.refusals().first?.reason.contains("more than 512 times in half a minute") == true)
        #expect(lab.journal.count < 2000)
        lab.hear(consul("web"), from: b, on: tap1)
        #expect(lab.state(b) == .live)
        let records = lab.journal.count
        for _ in 0..<2000 { lab.hear(consul("web"), from: b, on: tap1) }
        #expect(lab.journal.count == records)
        #expect(lab.fleet.refusals().allSatisfy { $0.port == tap0.port })
        lab.wait(.seconds(30))
        lab.hear(consul("api", id: "x", port: 90))
        #expect(lab.state(a, 90) == .live)
    }

    @Test("what one guest is refused pushes out nothing of another's") func refusalShare() {
        var lab = Lab()
        lab.hear(consul("mine", port: -1), from: b, on: tap1)
        for number in 0..<1000 { lab.hear(consul("s\(number)", port: -1)) }
        #expect(lab.fleet.refusals().contains { $0.service == "mine" })
        #expect(lab.fleet.refusals().count == 65)
    }

    @Test("askers are remembered up to a bound") func workloads() {
        var lab = Lab(.enforcing.with { $0.workloadsPerPort = 10 })
        for host in 0..<100 {
            lab.hear(message(.discover, service: "db"), from: IPv4Address(bits: 0x0a00_0100 + UInt32(host)))
        }
        #expect(lab.fleet.workloads(at: lab.now).count == 10)
    }
}
