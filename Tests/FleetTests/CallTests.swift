import Classifier
import Fleet
import Model
import Testing

@Suite struct CallTests {
    func discovery(_ service: String?, _ registry: String = "consul", accepted: Bool? = true) -> Advertisement {
        message(.discover, registry, service: service, accepted: accepted)
    }

    @Test("a discovery request makes its sender a workload with a verdict and its evidence") func workload() throws {
        var lab = Lab()
        lab.hear(discovery("db"))
        lab.hear(discovery("db"), from: c, on: cni)
        let workloads = lab.fleet.workloads(at: lab.now)
        #expect(Set(workloads.map(\.address)) == [.v4(a), .v4(c)])
        let guest = try #require(workloads.first { $0.address == .v4(a) })
        #expect(guest.judgement.verdict == .vm)
        #expect(guest.judgement.evidence.contains { $0.kind == .portRole })
        #expect(workloads.first { $0.address == .v4(c) }?.judgement.verdict == .container)
        #expect(lab.probed.isEmpty && lab.journal.isEmpty)
    }

    @Test("a container list that comes later changes its verdict") func listed() {
        var lab = Lab()
        lab.hear(discovery("db"))
        var list = ContainerList()
        list.insert(.v4(a))
        lab.apply(lab.fleet.containers(list, at: lab.now))
        #expect(lab.fleet.workloads(at: lab.now).map(\.judgement.verdict) == [.unknown])
    }

    @Test("a workload that offers something has the verdict of what it offers") func both() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(discovery("db"))
        #expect(lab.fleet.workloads(at: lab.now).map(\.judgement) == [lab.view(a)?.judgement])
    }

    @Test("what it asks for it is about to call: shown with the service and with the asker") func aboutToCall() {
        var lab = Lab()
        lab.hear(consul("db", id: "d", port: 5432), from: b, on: tap1)
        lab.hear(discovery("db"))
        lab.hear(discovery("db"))
        lab.wait(.seconds(5))
        let service = lab.fleet.explain("db", at: lab.now).flatMap(\.sentences)
        #expect(
            service.contains("10.0.0.1 on tap0 is about to call it: it asked consul 2 times, last 5 s ago"))
        let asker = lab.fleet.explain(a.description, at: lab.now).flatMap(\.sentences)
        #expect(asker.contains { $0.hasPrefix("it is about to call \"db\"") })
        #expect(
            lab.fleet.callers(of: ServiceID(network: blue, name: "db"), at: lab.now).map(\.address) == [.v4(a)])
    }

    @Test("a service that nobody registered is explained by who asks for it") func unknown() {
        var lab = Lab()
        lab.hear(discovery("mail", accepted: false))
        let explanations = lab.fleet.explain("mail", at: lab.now)
        #expect(explanations.count == 1)
        #expect(explanations.flatMap(\.sentences).contains { $0.contains("about to call \"mail\"") })
        #expect(lab.fleet.explain("nobody", at: lab.now).isEmpty)
    }

    @Test("namespaces are told apart, and Nacos's groups") func namespaces() {
        var lab = Lab()
        var said = discovery("web", "nacos")
        (said.namespace, said.group) = ("team", "G")
        lab.hear(said)
        (said.namespace, said.group) = ("public", "DEFAULT_GROUP")
        lab.hear(said)
        #expect(
            lab.fleet.workloads(at: lab.now).first?.calls.map(\.service) == [
                ServiceID(network: blue, name: "web"), ServiceID(network: blue, namespace: "team", name: "G@@web"),
            ])
    }

    @Test("who asks for everything is a workload that is about to call nobody by name") func everything() {
        var lab = Lab()
        lab.hear(discovery(nil, "eureka"))
        #expect(lab.fleet.workloads(at: lab.now).map(\.calls) == [[]])
    }

    @Test("calls are bounded: what is known here stays, what nobody has goes first") func bounded() {
        var lab = Lab(.enforcing.with { $0.callsPerWorkload = 4 })
        lab.hear(consul("db", id: "d", port: 5432), from: b, on: tap1)
        lab.hear(discovery("db"))
        for number in 0..<100 { lab.hear(discovery("x\(number)", "dns")) }
        let calls = lab.fleet.workloads(at: lab.now).first?.calls.map(\.service.name)
        #expect(calls == ["x99", "x98", "x97", "db"])
    }

    @Test("calls are forgotten in their time, workloads in theirs, and with their port") func aged() {
        var lab = Lab()
        lab.hear(discovery("db"))
        lab.hear(discovery("db"), from: b, on: tap1)
        lab.wait(.seconds(3599))
        #expect(lab.fleet.callers(of: ServiceID(network: blue, name: "db"), at: lab.now).count == 2)
        lab.apply(lab.fleet.portVanished(tap1.port, at: lab.now))
        #expect(lab.fleet.workloads(at: lab.now).map(\.address) == [.v4(a)])
        lab.wait(.seconds(2))
        #expect(lab.fleet.workloads(at: lab.now).map(\.calls) == [[]])
        lab.wait(.seconds(86_400))
        #expect(lab.fleet.workloads(at: lab.now).isEmpty)
    }

    @Test("absurd names are not noted, and neither is who cannot be a workload") func hostile() {
        var lab = Lab()
        lab.hear(discovery(String(repeating: "x", count: 256)))
        #expect(lab.fleet.workloads(at: lab.now).map(\.calls) == [[]])
        lab.hear(discovery("db"), from: IPv4Address(bits: 0))
        lab.hear(discovery("db"), from: b, on: uplink)
        #expect(lab.fleet.workloads(at: lab.now).count == 1)
    }
}
