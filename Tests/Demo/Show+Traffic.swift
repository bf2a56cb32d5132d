import Lab

/// Steps 5 to 7: what clients get through the proxy.
extension Show {
    func reach() throws {
        screen.step("A client beyond the uplink reaches the service: by its VIP, and by each VM's own address")
        try screen.check("40 connections to the VIP \(vip) are spread over both VMs, none fails") {
            let bodies = try pages(40, from: alice, at: vip)
            try expect(Set(bodies.keys) == [one.name, two.name], "answers: \(bodies)")
            screen.note("\(bodies.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", "))")
        }
        for (machine, endpoint) in [(one, webAtOne), (two, webAtTwo)] {
            try screen.check("10 connections to \(endpoint) reach \(machine.name) alone") {
                let bodies = try pages(10, from: alice, at: endpoint)
                try expect(bodies == [machine.name: 10], "answers: \(bodies)")
            }
        }
        try screen.check("the VM sees the client's own address") {
            let page = try Page.get("/cgi-bin/who", from: alice, at: vip)
            try expect(page.body.contains(Self.aliceAddress), "it says \(page.body)")
            screen.note(page.body)
        }
        screen.show("remora get services", try remora.tell("get", "services"))
        screen.show("remora explain web", try remora.tell("explain", "web"))
        try showKernel()
    }

    /// What bpftool sees of it.
    private func showKernel() throws {
        guard let pins = remora.pinnedServices().first(where: { $0.hasSuffix("/web") }) else {
            throw Failure("no pins of web under \(remora.pins)")
        }
        for number in programs.sorted() {
            screen.show("bpftool prog show id \(number)", try call(["bpftool", "prog", "show", "id", "\(number)"]))
        }
        for path in ["\(pins)/backends", "\(remora.pins)/frontends"] {
            try screen.check("bpftool prints \(path), its fields by name") {
                let dump = try call(["bpftool", "map", "dump", "pinned", path])
                try expect(dump.contains("\"address\""), "it printed: \(dump.prefix(300))")
                screen.show("bpftool map dump pinned \(path)", dump, limit: 10)
            }
        }
    }

    func deny() throws {
        screen.step("A policy denies one client while it talks; another gets through; the policy is lifted")
        let policy = Remora.denial(of: "web", from: ["\(Self.aliceAddress)/32"])
        let traffic = Traffic(from: alice, to: vip, timeout: .milliseconds(500))
        try screen.check("alice talks to the VIP") {
            try traffic.waitForAnswers(10)
            try expect(traffic.tally.failed == 0, traffic.tally.summary)
        }
        let before = try remora.drops("policy-denied")
        try screen.check("with the policy applied, alice's requests fail") {
            try remora.apply(policy)
            try traffic.waitForFailures(2)
        }
        try screen.check("and bob's do not") { _ = try pages(10, from: bob, at: vip) }
        try screen.check("alice reaches neither VM by its own address") {
            for endpoint in [webAtOne, webAtTwo] { try expectSilence(from: alice, at: endpoint) }
        }
        try screen.check("the drops are counted as policy-denied, and remora flows shows them") {
            let now = try remora.drops("policy-denied")
            try expect(now > before, "policy-denied: \(before) before, \(now) now")
            let flows = try remora.tell("flows")
            let denied = flows.split(separator: "\n").filter { $0.contains("policy-denied") }
            try expect(denied.contains { $0.contains(Self.aliceAddress) }, "remora flows: \(flows.suffix(600))")
            screen.show("remora flows", denied.suffix(3).joined(separator: "\n"))
        }
        try screen.check("the policy is lifted, and alice talks again") {
            try remora.delete(policy)
            try traffic.waitForAnswers(10)
            try traffic.stop()
        }
    }

    func comeAndGo() throws {
        screen.step("A second service inside the first VM comes, and goes while its VM lives")
        try screen.check("orders registers inside web-1") {
            try one.serve(port: 8081)
            try one.register("orders", port: 8081, ttl: 9)
        }
        let orders = try screen.check("and has a proxy of its own") {
            let vip = try remora.waitForProxy(of: "orders", live: 1)
            rememberPrograms(try remora.ask("get", "proxies").array)
            let bodies = try pages(5, from: alice, at: vip)
            try expect(bodies == [one.name: 5], "it answers \(bodies)")
            return vip
        }
        try deregisterWithOpenConnection(to: orders)
        try screen.check("it registers again, with a lease of 3 s, and is proxied again at \(orders)") {
            try one.register("orders", port: 8081, ttl: 3)
            let again = try remora.waitForProxy(of: "orders", live: 1)
            try expect(again == orders, "its VIP is now \(again)")
            _ = try pages(3, from: alice, at: again)
        }
        try screen.check("no more keep-alives: the lease lapses, and its programs and pins are gone") {
            try one.silence("orders")
            try remora.waitForEnd(of: "orders", limit: .seconds(30))
            try expectSilence(from: alice, at: orders)
        }
        try screen.check("its VM lives, and web with it") {
            let bodies = try pages(20, from: alice, at: vip)
            try expect(Set(bodies.keys) == [one.name, two.name], "answers: \(bodies)")
        }
    }

    private func deregisterWithOpenConnection(to orders: Endpoint) throws {
        let open = try Connection(from: alice, to: orders, timeout: .seconds(10))
        try screen.check("it deregisters while a request is half sent: no new connection gets through") {
            try open.send("GET / HTTP/1.1\r\nHost: ")
            try one.deregister("orders")
            try wait(for: "the VIP's silence", limit: .seconds(10)) {
                (try? Page.get(from: alice, at: orders, timeout: .milliseconds(300))) == nil
            }
            try expectSilence(from: bob, at: orders)
        }
        try screen.check("the open one finishes") {
            try open.send("\(orders)\r\nConnection: close\r\n\r\n")
            let page = try Page.read(from: open)
            try expect(page.body == one.name, "it got \(page)")
        }
        try screen.check("then its programs and pins are gone") { try remora.waitForEnd(of: "orders") }
    }
}
