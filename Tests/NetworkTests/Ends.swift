import Foundation
import Lab
import Testing

extension Networks {
    @Test(
        "the agent is killed and started again under traffic: not one request fails", arguments: forwardings,
        ["service", "vm"])
    func killed(forwarding: String, per: String) throws {
        var settings = Remora.Settings()
        settings.forwarding = forwarding
        settings.proxiesPer = per
        let bed = try Bed(settings: settings)
        let vip = try bed.meshWeb()
        let before = try bed.remora.ask("get", "proxies").array.map { $0["program"] }
        let traffic = Traffic(from: bed.alice, to: vip, pause: .milliseconds(1))
        try traffic.waitForAnswers(50)
        try bed.remora.kill()
        try traffic.waitForAnswers(200)
        try bed.remora.start()
        try bed.remora.waitForProxy(of: "web", live: 2)
        try traffic.waitForAnswers(200)
        let tally = try traffic.stop()
        #expect(tally.failed == 0, "\(tally.summary)")
        #expect(try bed.remora.ask("get", "proxies").array.map { $0["program"] } == before)
        #expect(try bed.remora.service("web")["vip"].string == "\(vip)")
    }

    @Test("an agent that is asked to end leaves the data path running")
    func stopped() throws {
        let bed = try Bed()
        let vip = try bed.meshWeb()
        try bed.remora.stop()
        #expect(try bed.pages(20, from: bed.alice, at: vip).values.reduce(0, +) == 20)
    }

    @Test("a port that vanishes takes its backends with it, and no later connection fails", arguments: forwardings)
    func vanished(forwarding: String) throws {
        let bed = try Bed(forwarding: forwarding)
        let vip = try bed.meshWeb()
        try bed.site.nic.ip("link del vm2")
        try bed.remora.waitForProxy(of: "web", live: 1)
        #expect(try bed.pages(20, from: bed.alice, at: vip) == ["web-1": 20])
        try bed.site.nic.ip("link del vm1")
        try bed.remora.waitForEnd(of: "web")
        #expect(bed.isSilent(vip, to: bed.alice))
        let ports = FileManager.default.subpaths(atPath: "\(bed.remora.pins)/ports") ?? []
        #expect(!ports.contains { $0.hasPrefix("vm") }, "stale pins: \(ports)")
    }

    @Test("a port that does not exist yet is waited for, said so, and taken when it appears")
    func appears() throws {
        let bed = try Bed(machines: 0)
        #expect(try bed.remora.cli("status").code == 0)
        try bed.addMachine(1)
        try bed.remora.waitForPort("vm1")
        let vip = try bed.meshWeb()
        #expect(try bed.pages(5, from: bed.alice, at: vip) == ["web-1": 5])
    }

    @Test("a lease that lapses takes its service away, and only its service")
    func lapses() throws {
        let bed = try Bed(machines: 1)
        let short = try bed.register("short", on: bed.machines[0], ttl: 3)
        try bed.register("web", on: bed.machines[0], ttl: 60)
        try bed.remora.waitForProxy(of: "short", live: 1)
        try short.silence()
        try bed.remora.waitForEnd(of: "short", limit: .seconds(30))
    }

    @Test("a second agent on the same ports is refused, and the first goes on")
    func second() throws {
        let bed = try Bed()
        let vip = try bed.meshWeb()
        let outcome = try bed.remora.startInVain()
        #expect(outcome.code != 0)
        #expect(!outcome.errors.isEmpty)
        #expect(try bed.pages(10, from: bed.alice, at: vip).values.reduce(0, +) == 10)
        #expect(try bed.remora.cli("status").code == 0)
    }

    @Test("detach --all leaves no program and no pin, and the bridge switches as before")
    func detached() throws {
        let bed = try Bed(machines: 1)
        let vip = try bed.meshWeb()
        let programs = try bed.remora.ask("get", "proxies").array.compactMap { $0["program"].number.map { Int($0) } }
        #expect(!programs.isEmpty)
        try bed.remora.tell("detach", "--all")
        try bed.remora.stop()
        #expect(!FileManager.default.fileExists(atPath: bed.remora.pins))
        for number in programs {
            #expect(try run(["bpftool", "prog", "show", "id", "\(number)"]).code != 0, "program \(number) is loaded")
        }
        #expect(bed.isSilent(vip, to: bed.alice))
        #expect(try bed.pages(3, from: bed.alice, at: bed.machines[0].web) == ["web-1": 3])
    }
}
