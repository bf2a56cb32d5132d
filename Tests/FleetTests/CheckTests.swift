import Fleet
import Model
import Testing

/// What Consul says of a check: registered, or reporting.
func check(
    _ id: String, of service: String? = nil, _ op: Advertisement.Operation = .status, ttl: Int? = nil,
    status: String? = nil
) -> Advertisement {
    var said = message(op, id: id)
    said.serviceId = service
    said.ttlSeconds = ttl
    said.status = status
    return said
}

@Suite struct CheckTests {
    @Test("a check's heartbeat renews the service that the check belongs to, whatever the check is called")
    func serviceFirst() {
        var lab = Lab()
        lab.hear(consul("web", id: "w", ttl: 10))
        lab.wait(.seconds(9))
        lab.hear(check("alive", of: "w", .heartbeat, status: "passing"))
        lab.wait(.seconds(9))
        #expect(lab.state(a) == .live)
        lab.wait(.seconds(1))
        #expect(lab.state(a) == .draining)
    }

    @Test("the check's service goes before what its name looks like") func misleading() {
        var lab = Lab()
        lab.hear(consul("web", id: "w", port: 80, ttl: 10))
        lab.hear(consul("api", id: "x", port: 81, ttl: 10))
        lab.wait(.seconds(9))
        lab.hear(check("service:x", of: "w", .heartbeat))
        lab.wait(.seconds(1))
        #expect((lab.state(a, 80), lab.state(a, 81)) == (.live, .draining))
    }

    @Test("a service whose name is not known falls back on the check's") func unknownService() {
        var lab = Lab()
        lab.hear(consul("web", id: "w", ttl: 10))
        lab.wait(.seconds(9))
        lab.hear(check("service:w:2", of: "w:2", .heartbeat))
        lab.wait(.seconds(9))
        #expect(lab.state(a) == .live)
        lab.hear(check("service:w:2", .heartbeat))
        lab.wait(.seconds(9))
        #expect(lab.state(a) == .live)
    }

    @Test("a check that fails is no heartbeat: the service lapses in its time, and passes again later") func critical()
    {
        var lab = Lab()
        lab.hear(consul("web", id: "w", ttl: 10))
        for _ in 0..<3 {
            lab.wait(.seconds(3))
            lab.hear(check("service:w", of: "w", ttl: 10, status: "critical"))
        }
        #expect(lab.state(a) == .live)
        lab.wait(.seconds(1))
        #expect(lab.state(a) == .draining)
        lab.hear(check("service:w", of: "w", ttl: 10, status: "critical"))
        #expect(lab.state(a) == .draining)
        lab.hear(check("service:w", of: "w", .heartbeat, ttl: 10, status: "passing"))
        #expect(lab.state(a) == .live)
    }

    @Test("a check registered for a service that had none begins its lease") func addedLater() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.wait(.seconds(1000))
        lab.hear(check("alive", of: "w", ttl: 10))
        #expect(lab.view(a)?.holders.first?.leaseLeftSeconds == 10)
        lab.wait(.seconds(10))
        #expect(lab.state(a) == .draining)
    }

    @Test("the check that comes with a registration brings its time, and takes none away") func withRegistration() {
        var lab = Lab()
        lab.hear(consul("web", id: "w", ttl: 10))
        lab.hear(check("service:w", of: "w", ttl: 10))
        let records = lab.journal.count
        lab.hear(check("service:w", of: "w", ttl: 10))
        #expect(lab.journal.count == records)
        lab.wait(.seconds(10))
        #expect(lab.state(a) == .draining)
    }

    @Test("of several checks each counts for its own time: a slow one shortens no fast one's, nor the other way")
    func several() {
        var lab = Lab()
        lab.hear(consul("web", id: "w", ttl: 5))
        lab.hear(check("fast", of: "w", ttl: 5))
        lab.hear(check("slow", of: "w", ttl: 60))
        lab.wait(.seconds(4))
        lab.hear(check("slow", of: "w", .heartbeat, ttl: 60))
        lab.hear(check("fast", of: "w", .heartbeat, ttl: 5))
        lab.wait(.seconds(59))
        #expect(lab.state(a) == .live)
        lab.hear(check("fast", of: "w", .heartbeat, ttl: 5))
        lab.wait(.seconds(4))
        #expect(lab.state(a) == .live)
        lab.wait(.seconds(1))
        #expect(lab.state(a) == .draining)
    }

    @Test("after a restart a check's own name is still known, though the ear has forgotten it") func restarted() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(check("alive", of: "w", ttl: 40))
        var again = lab.restarted()
        again.wait(.seconds(39))
        again.hear(check("alive", .heartbeat))
        again.wait(.seconds(39))
        #expect(again.state(a) == .live)
        again.hear(check("other", .heartbeat))
        again.wait(.seconds(1))
        #expect(again.state(a) == .draining)
    }

    @Test("another guest's check adds nothing to a service, and renews nothing") func others() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(check("evil", of: "w", ttl: 1), from: b, on: tap1)
        lab.hear(check("evil", of: "w", ttl: 1), from: a, on: tap1)
        lab.wait(.seconds(20))
        #expect(lab.state(a) == .live)
        #expect(lab.view(a)?.holders.first?.leaseLeftSeconds == nil)
    }

    @Test("a guest's checks without end are remembered up to a bound") func bounded() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        for number in 0..<1000 { lab.hear(check("c\(number)", of: "w", ttl: 1000)) }
        #expect(lab.view(a)?.holders.first?.holder.checks.count == 8)
    }

    @Test("a registration without an address, at an agent elsewhere, counts once a probe finds its sender open")
    func assumed() throws {
        var lab = Lab()
        lab.closed = [instance(a)]
        var said = consul("web", id: "w")
        said.addressDefault = "registry"
        said.registryIp = registryAddress.description
        lab.hear(said)
        #expect(lab.state(a) == .provisional)
        #expect(lab.loaded.isEmpty)
        #expect(lab.view(a)?.reason?.contains("without an address, which means the registry agent's own") == true)
        let sentences = lab.fleet.explain("web", at: lab.now).flatMap(\.sentences)
        #expect(sentences.contains { $0.contains("by 10.0.0.1 on tap0, without an address, not confirmed") })
        lab.closed = []
        lab.wait(.seconds(31))
        #expect(lab.backends("web") == [a: .live])
    }

    @Test("it is asked again though liveness probes are off, and without probing it never counts") func assumedUnasked()
    {
        var said = consul("web", id: "w")
        said.addressDefault = "registry"
        var lab = Lab(.enforcing.with { $0.liveness = nil })
        lab.closed = [instance(a)]
        lab.hear(said)
        lab.closed = []
        lab.wait(.seconds(31))
        #expect(lab.state(a) == .live)
        var blind = Lab(.enforcing.with { $0.probing = false })
        blind.hear(said)
        blind.wait(.seconds(1000))
        #expect(blind.state(a) == .provisional)
        #expect(blind.loaded.isEmpty)
    }

    @Test("an agent on the sender itself means the sender") func ownAgent() {
        var lab = Lab()
        lab.closed = [instance(a)]
        var said = consul("web", id: "w")
        said.addressDefault = "registry"
        said.registryIp = a.description
        lab.hear(said)
        #expect(lab.state(a) == .live)
    }
}
