import Fleet
import Model
import Testing

/// Nacos and Eureka: a heartbeat names the registration, and the registry has a time of its own for those that give
/// none.
@Suite struct NamedRenewalTests {
    private func nacos(_ op: Advertisement.Operation, port: Int) -> Advertisement {
        var said = Advertisement(registry: "nacos", op: op)
        said.service = "web"
        said.address = a.description
        said.port = port
        said.key = "\(a)#\(port)#DEFAULT_GROUP@@web#public"
        said.ttlDefaultSeconds = op == .deregister ? nil : 15
        said.accepted = true
        return said
    }

    @Test("each lives by its own heartbeats, as long as the registry assumes") func renewed() {
        var lab = Lab()
        lab.hear(nacos(.register, port: 80))
        lab.hear(nacos(.register, port: 8080))
        for _ in 0..<4 {
            lab.wait(.seconds(14))
            lab.hear(nacos(.heartbeat, port: 80))
        }
        #expect(lab.state(a, 80) == .live && lab.state(a, 8080) != .live)
        lab.wait(.seconds(15))
        #expect(lab.state(a, 80) != .live)
    }

    @Test("a deregistration that names a place ends nothing else") func exact() {
        var lab = Lab()
        lab.hear(nacos(.register, port: 80))
        var other = nacos(.deregister, port: 80)
        other.key = "\(a)#80#DEFAULT_GROUP@@web#pub"
        lab.hear(other)
        #expect(lab.state(a, 80) == .live)
        lab.hear(nacos(.deregister, port: 80))
        #expect(lab.state(a, 80) == .draining)
    }

    @Test("a node's address that nobody said is not its sender's") func node() {
        var lab = Lab()
        lab.closed = [instance(a)]
        var said = consul("web", id: "w")
        said.addressDefault = "node"
        lab.hear(said)
        #expect(lab.state(a) == .provisional)
    }
}
