import Fleet
import Foundation
import Model
import Testing

@Suite struct RestoreTests {
    @Test("after a restart the same proxies are wanted at once, before anybody is heard") func same() {
        var lab = Lab()
        lab.hear(etcd("web", "1"))
        lab.hear(consul("web"), from: b, on: tap1)
        lab.deny("web", "10.9.0.0/16")
        let again = lab.restarted()
        #expect(again.fleet.wanted == lab.fleet.wanted)
        #expect(again.loaded == lab.loaded)
    }

    @Test("every restored instance is asked whether it lives") func probed() {
        var lab = Lab()
        lab.hear(etcd("web", "1"))
        lab.hear(consul("web"), from: b, on: tap1)
        #expect(Set(lab.restarted().probed.map(\.instance)) == [instance(a), instance(b)])
    }

    @Test("a restored lease has its whole time, and at least the grace, from the start") func grace() {
        var lab = Lab()
        lab.hear(etcd("web", "1", ttl: 10))
        lab.wait(.seconds(9))
        var again = lab.restarted()
        again.machines = [a: tap0]
        again.wait(.seconds(29))
        #expect(again.state(a) == .live)
        again.wait(.seconds(1))
        #expect(again.state(a) == .draining)
    }

    @Test("a heartbeat after the restart renews what was restored") func renewed() {
        var lab = Lab()
        lab.hear(etcd("web", "1", ttl: 60))
        var again = lab.restarted()
        again.wait(.seconds(59))
        again.hear(message(.heartbeat, "etcd", lease: "1"))
        again.wait(.seconds(59))
        #expect(again.state(a) == .live)
    }

    @Test("an instance that died while the agent was down is lost after its probes fail") func died() {
        var lab = Lab()
        lab.hear(consul("web"))
        var again = Lab(.enforcing, restoring: lab.journal)
        again.machines = [:]
        #expect(again.backends("web") == [a: .live])
        again.wait(.seconds(31))
        #expect(again.loaded.isEmpty)
        #expect(again.state(a) == .lost)
    }

    @Test("an instance whose port does not come back within the grace is lost") func portGone() {
        var lab = Lab(.enforcing.with { $0.liveness = nil })
        lab.hear(consul("web"))
        var again = Lab(.enforcing.with { $0.probing = false }, restoring: lab.journal, ports: [tap1])
        #expect(again.backends("web") == [a: .live])
        again.wait(.seconds(31))
        #expect(again.state(a) == .lost)
        #expect(again.view(a)?.reason?.contains("not come back") == true)
    }

    @Test("VIPs are the same after a restart, those of services that are gone too") func vips() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        let vip = lab.vip("web")
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        var again = lab.restarted()
        again.hear(consul("web", id: "w"))
        #expect(again.vip("web") == vip)
    }

    @Test("a VIP outside the range that is configured now is chosen anew") func rangeChanged() throws {
        var lab = Lab()
        lab.hear(consul("web"))
        let other = IPv4Prefix(IPv4Address(bits: 0x0a64_0000), length: 24)
        let again = lab.restarted(.enforcing.with { $0.vipRanges = [blue: other] })
        #expect(other.contains(try #require(again.vip("web")).address))
    }

    @Test("declarations, policies and modes are the operator's until he takes them back") func operatorsWord() {
        var lab = Lab(.enforcing.with { $0.mode = .observe })
        lab.declare("db", a)
        lab.deny("db")
        lab.apply(lab.fleet.mode(.enforce, for: .service(ServiceID(network: blue, name: "db")), at: lab.now))
        let again = lab.restarted(.enforcing.with { $0.mode = .observe })
        #expect(again.backends("db") == [a: .live])
        #expect(again.fleet.policy(of: ServiceID(network: blue, name: "db")) == denyRules())
        #expect(again.fleet.declarationsInForce.count == 1)
    }

    @Test("a guard stands after a restart") func guarded() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.deny("web")
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        let again = lab.restarted()
        #expect(again.backends("web") == [a: .guarded])
    }

    @Test("what compaction writes restores to the same") func compacted() {
        var lab = Lab()
        lab.hear(etcd("web", "1"))
        lab.hear(consul("db", id: "d", port: 81))
        lab.declare("cache", b)
        lab.deny("web")
        lab.hear(message(.deregister, id: "d"))
        let one = Lab(.enforcing, restoring: lab.journal)
        let other = Lab(.enforcing, restoring: lab.fleet.liveRecords)
        #expect(one.fleet.wanted == other.fleet.wanted)
        #expect(one.fleet.instances(at: one.now) == other.fleet.instances(at: other.now))
        #expect(lab.fleet.liveRecords.count < lab.journal.count)
    }

    @Test("records survive being written as JSON and read again") func json() throws {
        var lab = Lab()
        lab.hear(etcd("we\u{0}b/\u{1f40b}", "1"))
        lab.declare("db", b)
        lab.deny("web")
        lab.apply(lab.fleet.mode(.observe, for: .port(tap1.port), at: lab.now))
        lab.apply(lab.fleet.mode(nil, for: .port(tap1.port), at: lab.now))
        let bytes = try JSONEncoder().encode(lab.journal)
        #expect(try JSONDecoder().decode([Fleet.Record].self, from: bytes) == lab.journal)
    }

    @Test("silence right after the start kills nobody before the grace is over: the ear may not be up yet")
    func earlySilence() {
        var lab = Lab()
        lab.hear(consul("web"))
        var again = lab.restarted()
        again.machines = [:]
        again.wait(.seconds(27))
        #expect(again.backends("web") == [a: .live])
        again.machines = [a: tap0]
        again.wait(.seconds(60))
        #expect(again.backends("web") == [a: .live])
        #expect(again.purged.isEmpty)
    }

    @Test("a port that has another role after the restart is judged by the new one") func newRole() {
        var lab = Lab()
        lab.hear(consul("web"))
        let container = Place(port: tap0.port, role: .container, mac: tap0.mac)
        let again = lab.restarted(ports: [container, tap1, cni])
        #expect(again.state(a) == .container)
        #expect(again.loaded.isEmpty)
    }

    @Test("what the registry does not list any more drains; what was registered since it was asked stays") func listed()
    {
        var lab = Lab()
        lab.hear(etcd("web", "1", port: 80))
        lab.hear(etcd("web", "2", port: 81))
        lab.hear(consul("web", id: "c", port: 82))
        lab.wait(.seconds(1))
        let asked = lab.now
        lab.hear(etcd("web", "3", port: 83))
        lab.apply(
            lab.fleet.listed(
                registry: "etcd", network: blue, registrations: ["/services/web/1"], asked: asked, at: lab.now))
        #expect([80, 81, 82, 83].map { lab.state(a, $0) } == [.live, .draining, .live, .live])
    }

    @Test("a wall clock that was set back between two runs hides nothing that the registry let go of")
    func clockSetBack() {
        var lab = Lab()
        lab.wait(.seconds(1000))
        lab.hear(etcd("web", "1"))
        var again = lab.restarted()
        again.wait(.seconds(1))
        again.apply(
            again.fleet.listed(registry: "etcd", network: blue, registrations: [], asked: again.now, at: again.now))
        #expect(again.state(a) == .draining)
    }

    @Test("etcd: a range deleted after a restart takes the registrations under it, and the sender's alone") func range()
    {
        var lab = Lab()
        lab.hear(etcd("web", "1", port: 80))
        lab.hear(etcd("webber", "1", port: 81))
        lab.hear(etcd("web", "2"), from: b, on: tap1)
        var again = lab.restarted()
        again.hear(message(.deregister, "etcd", key: "/services/web/"))
        #expect((again.state(a, 80), again.state(a, 81), again.state(b)) == (.draining, .live, .live))
    }

    @Test("half a journal: what is left is enough to go on from") func half() {
        var lab = Lab()
        lab.hear(etcd("web", "1"))
        lab.hear(consul("db", id: "d", port: 81, ttl: 20))
        lab.deny("web")
        lab.declare("cache", b)
        for kept in 0..<2 {
            let journal = lab.journal.enumerated().filter { $0.offset % 2 == kept }.map(\.element)
            var again = Lab(.enforcing, restoring: journal)
            again.hear(etcd("web", "1"))
            again.hear(consul("db", id: "d", port: 81, ttl: 20))
            again.declare("cache", b)
            again.wait(.seconds(1))
            #expect(again.fleet.counts.live == 3)
            again.wait(.seconds(1000))
            #expect(again.fleet.counts.live == 1, "the declared one: nobody renewed the others")
        }
    }

    @Test("a draining instance drains on after a restart") func draining() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        lab.hear(message(.deregister, id: "w"))
        var again = lab.restarted()
        #expect(again.backends("web") == [a: .draining])
        again.wait(.seconds(31))
        #expect(again.loaded.isEmpty)
    }
}
