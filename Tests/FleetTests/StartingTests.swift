import Fleet
import Model
import Testing

@Suite("The first look around after a start") struct StartingTests {
    /// Two VMs offer "web"; after the crash only the second one's port is there.
    private func restarted() -> Lab {
        var lab = Lab()
        lab.hear(consul("web", id: "1"))
        lab.hear(consul("web", id: "2"), from: b, on: tap1)
        return lab.restarted(ports: [tap1])
    }

    @Test("what lives behind a port that is not there is out of balancing at once, and not forgotten") func absent() {
        var again = restarted()
        let vip = again.vip("web")
        #expect(again.backends("web") == [a: .live, b: .live])
        again.apply(again.fleet.portsRead(at: again.now))
        #expect(again.backends("web") == [b: .live])
        #expect(again.state(a) == .lost && again.view(a)?.reason?.contains("not there") == true)
        #expect(again.purged == [instance(a)])
        #expect(again.vip("web") == vip)
    }

    @Test("when its port appears it is asked, and is back") func returns() {
        var again = restarted()
        again.apply(again.fleet.portsRead(at: again.now))
        again.wait(.seconds(300))
        again.apply(again.fleet.port(tap0.port, role: .vm, network: blue, up: true, at: again.now))
        #expect(again.backends("web") == [a: .live, b: .live])
    }

    @Test("what was denied at such an address stays denied") func denied() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.deny("web")
        var again = lab.restarted(ports: [tap1])
        again.apply(again.fleet.portsRead(at: again.now))
        #expect(again.backends("web") == [a: .guarded])
    }

    @Test("a look around later says nothing about what came since the start") func later() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.apply(lab.fleet.portsRead(at: lab.now))
        #expect(lab.backends("web") == [a: .live])
    }
}
