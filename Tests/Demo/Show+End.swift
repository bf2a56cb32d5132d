import Foundation
import Lab

/// Steps 8 and 9: the agent dies and comes back, the VMs go, the NIC is as it was.
extension Show {
    func killAgent() throws {
        screen.step("The agent is killed during traffic; it comes back and adopts what is pinned")
        try screen.check("spare registers inside web-2, too") {
            try two.serve(port: 8082)
            try two.register("spare", port: 8082, ttl: 6)
            try remora.waitForProxy(of: "spare", live: 1)
        }
        let before = try programsOfWeb()
        let traffic = Traffic(from: alice, to: vip)
        try screen.check("SIGKILL: traffic goes on without the agent") {
            try traffic.waitForAnswers(20)
            try remora.kill()
            try traffic.waitForAnswers(100)
            try expect(traffic.tally.failed == 0, traffic.tally.summary)
        }
        try screen.check("spare deregisters while nobody listens") { try two.deregister("spare") }
        try screen.check("the agent starts, reads its journal, and adopts the very programs that ran") {
            try remora.start()
            try remora.waitForProxy(of: "web", live: 2)
            try traffic.waitForAnswers(50)
            let after = try programsOfWeb()
            try expect(before == after, "web's programs were \(before), and are \(after)")
            let again = try remora.service("web")["vip"].string
            try expect(again == "\(vip)", "web's VIP is now \(again ?? "none")")
        }
        try screen.check("not one request failed") {
            let tally = try traffic.stop()
            try expect(tally.failed == 0 && tally.answered > 150, tally.summary)
            screen.note("\(tally.summary)")
        }
        try screen.check("that spare was withdrawn is noticed: its proxy goes") {
            try remora.waitForEnd(of: "spare", limit: .seconds(50))
        }
    }

    private func programsOfWeb() throws -> Set<Int> {
        let proxies = try remora.ask("get", "proxies").array
        rememberPrograms(proxies)
        let numbers = proxies.filter { $0.mentions("web") }.compactMap { $0["program"].number.map { Int($0) } }
        guard !numbers.isEmpty else { throw Failure("web has no program: \(proxies)") }
        return Set(numbers)
    }

    func powerOff() throws {
        screen.step("The VMs are powered off; the NIC is left as it was")
        try screen.check("web-2 is powered off: its backend leaves") {
            try two.powerOff()
            try remora.waitForProxy(of: "web", live: 1)
        }
        try screen.check("no later connection fails") {
            let bodies = try pages(40, from: bob, at: vip)
            try expect(bodies == [one.name: 40], "answers: \(bodies)")
        }
        let open = try Connection(from: bob, to: vip, timeout: .seconds(3))
        try screen.check("web-1 is powered off with a connection open: the VIP answers no more, its pins are gone") {
            try open.send("GET / HTTP/1.1\r\nHost: ")
            try one.powerOff()
            try remora.waitForEnd(of: "web")
            try expectSilence(from: bob, at: vip)
            let gone = try run(["bpftool", "map", "show", "pinned", "\(remora.pins)/services/0/web/backends"])
            try expect(gone.code != 0, "bpftool still shows it: \(gone.output)")
        }
        open.abort()
        try screen.check("the flows to the dead are purged, and the purge is counted") {
            let left = try remora.ask("get", "connections").array.count
            try expect(left == 0, "\(left) flows are left")
            let status = try remora.ask("status")
            let purged = status["purgedFlows"].number ?? 0
            try expect(purged > 0, "status counts \(purged) purged flows: \(status)")
        }
        try detach()
    }

    private func detach() throws {
        try screen.check("remora detach --all: no program, no pin is left, and the ports switch as before") {
            try cart?.withdraw()
            try remora.tell("detach", "--all")
            try remora.stop()
            try expect(!FileManager.default.fileExists(atPath: remora.pins), "\(remora.pins) still exists")
            for number in programs.sorted() {
                let shown = try run(["bpftool", "prog", "show", "id", "\(number)"])
                try expect(shown.code != 0, "program \(number) is still loaded: \(shown.output)")
            }
            let page = try Page.get(from: alice, at: cartAt)
            try expect(page.body == "cart-1", "the container says \(page)")
        }
    }
}
