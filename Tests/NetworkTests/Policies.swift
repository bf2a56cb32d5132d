import Lab
import Testing

extension Networks {
    @Test(
        "a denied client's packets are dropped under their reason; another client gets through", arguments: forwardings)
    func denied(forwarding: String) throws {
        let bed = try Bed(forwarding: forwarding)
        let vip = try bed.meshWeb()
        let policy = Remora.denial(of: "web", from: ["\(Bed.aliceAddress)/32"])
        #expect(try bed.pages(5, from: bed.alice, at: vip).values.reduce(0, +) == 5)
        try bed.remora.apply(policy)
        try wait(for: "the policy to hold") { bed.isSilent(vip, to: bed.alice) }
        for machine in bed.machines { #expect(bed.isSilent(machine.web, to: bed.alice)) }
        #expect(try bed.remora.drops("policy-denied") > 0)
        #expect(try bed.pages(10, from: bed.bob, at: vip).values.reduce(0, +) == 10)
        try bed.remora.delete(policy)
        try wait(for: "the policy to be lifted") { !bed.isSilent(vip, to: bed.alice) }
    }

    @Test("what was denied stays denied after the service has deregistered")
    func outlives() throws {
        let bed = try Bed(machines: 1)
        let registration = try bed.register(on: bed.machines[0])
        try bed.remora.waitForProxy(of: "web", live: 1)
        try bed.remora.apply(Remora.denial(of: "web", from: ["\(Bed.aliceAddress)/32"]))
        try wait(for: "the policy to hold") { bed.isSilent(bed.machines[0].web, to: bed.alice) }
        try registration.withdraw()
        try wait(for: "the service to leave balancing") { try bed.remora.service("web")["live"].number ?? 0 == 0 }
        #expect(bed.isSilent(bed.machines[0].web, to: bed.alice))
    }

    @Test("a policy file that is half right is refused whole, and says which line is wrong")
    func halfRight() throws {
        let bed = try Bed(machines: 1)
        let vip = try bed.meshWeb()
        let file = try bed.lab.file(
            "half.yaml",
            Remora.denial(of: "web", from: ["\(Bed.aliceAddress)/32"]) + "---\nkind: Policy\nservice: web2\nruls: []\n")
        let outcome = try bed.remora.cli("apply", "-f", file)
        #expect(outcome.code != 0)
        #expect((outcome.errors + outcome.output).contains("half.yaml:"))
        #expect(try bed.pages(5, from: bed.alice, at: vip) == ["web-1": 5])
    }

    @Test("in observe mode the verdict is shown, and not a packet is touched")
    func observes() throws {
        var settings = Remora.Settings()
        settings.mode = "observe"
        let bed = try Bed(machines: 1, settings: settings)
        try bed.register(on: bed.machines[0])
        try bed.remora.waitForVerdict("vm", on: bed.machines[0].web)
        let service = try bed.remora.service("web")
        #expect(service["proxy"].string == nil)
        if let vip = service["vip"].string.flatMap(Endpoint.init(text:)) { #expect(bed.isSilent(vip, to: bed.alice)) }
        #expect(try bed.pages(3, from: bed.alice, at: bed.machines[0].web) == ["web-1": 3])
        #expect(bed.remora.pinnedServices().isEmpty)
    }

    @Test("a guest that registers an address that is not its own gets no proxy, and explain says why")
    func foreignAddress() throws {
        let bed = try Bed(machines: 2)
        try bed.register("stolen", on: bed.machines[0], address: bed.machines[1].address)
        try bed.register("honest", on: bed.machines[0])
        try bed.remora.waitForProxy(of: "honest", live: 1)
        #expect(try bed.remora.service("stolen")["proxy"].string == nil)
        let explanation = try bed.remora.tell("explain", "stolen")
        #expect(explanation.contains(bed.machines[0].address), "\(explanation)")
    }

    @Test(
        "a service name of a stranger's bytes is proxied, and its pins stay in their place",
        arguments: [
            "../../../etc", "a/b.c", "dots...", "bell\u{7}\u{1b}[31m", "ü€", String(repeating: "n", count: 200),
        ])
    func hostileName(name: String) throws {
        let bed = try Bed(machines: 1)
        let registration = try bed.register(name, on: bed.machines[0])
        let vip = try bed.remora.waitForProxy(of: name, live: 1)
        #expect(try bed.pages(3, from: bed.alice, at: vip) == ["web-1": 3])
        let table = try bed.remora.tell("get", "services")
        #expect(!table.unicodeScalars.contains { $0.value < 32 && $0 != "\n" })
        #expect(!bed.remora.pinnedServices().isEmpty)
        for path in bed.remora.pinnedServices() {
            #expect(path.hasPrefix("\(bed.remora.pins)/services/0"))
            #expect(!path.dropFirst(bed.remora.pins.count).contains("."))
        }
        try registration.withdraw()
        try wait(for: "its pins to go") { bed.remora.pinnedServices().allSatisfy { $0.hasSuffix("/services/0") } }
    }

    @Test("a connection that is open is cut by a policy against its client, and goes on when the policy is lifted")
    func cutsOpen() throws {
        let bed = try Bed(machines: 1)
        let vip = try bed.meshWeb()
        let policy = Remora.denial(of: "web", from: ["\(Bed.aliceAddress)/32"])
        let open = try Connection(from: bed.alice, to: vip, timeout: .seconds(10))
        try open.send("GET / HTTP/1.1\r\nHost: ")
        try bed.remora.apply(policy)
        let before = try bed.remora.drops("policy-denied")
        try open.send("x\r\nConnection: close\r\n\r\n")
        try wait(for: "its packets to be dropped") { try bed.remora.drops("policy-denied") > before }
        try bed.remora.delete(policy)
        #expect(try Page.read(from: open).body == "web-1")
    }

    @Test("policies that come and go under traffic cost those whom they allow not one request")
    func replaced() throws {
        let bed = try Bed()
        let vip = try bed.meshWeb()
        let traffic = Traffic(from: bed.bob, to: vip, pause: .milliseconds(1))
        let policy = Remora.denial(of: "web", from: ["\(Bed.aliceAddress)/32"])
        for _ in 0..<10 {
            try bed.remora.apply(policy)
            #expect(bed.isSilent(vip, to: bed.alice, for: .milliseconds(50)))
            try bed.remora.delete(policy)
            #expect(!bed.isSilent(vip, to: bed.alice))
        }
        try traffic.waitForAnswers(50)
        let tally = try traffic.stop()
        #expect(tally.failed == 0, "\(tally.summary)")
    }

    @Test("a guest does not shed its policy by registering under another name")
    func otherName() throws {
        let bed = try Bed(machines: 1)
        let machine = bed.machines[0]
        let registration = try bed.register(on: machine)
        try bed.remora.waitForProxy(of: "web", live: 1)
        try bed.remora.apply(Remora.denial(of: "web", from: ["\(Bed.aliceAddress)/32"]))
        try wait(for: "the policy to hold") { bed.isSilent(machine.web, to: bed.alice) }
        try bed.register("innocent", on: machine)
        try registration.withdraw()
        try wait(for: "web to leave balancing") { try bed.remora.service("web")["live"].number ?? 0 == 0 }
        #expect(bed.isSilent(machine.web, to: bed.alice))
        let vip = try bed.remora.service("innocent")["vip"].string.flatMap(Endpoint.init(text:))
        if let vip { #expect(bed.isSilent(vip, to: bed.alice)) }
    }

    /// What a guest may put where a registration belongs: JSON, as etcd keeps it.
    static let absurdities = [
        "{\"Name\":\"x\",\"Address\":\"10.88.1.1\",\"Port\":0}",
        "{\"Name\":\"x\",\"Address\":\"10.88.1.1\",\"Port\":70000}",
        "{\"Name\":\"x\",\"Address\":\"10.88.1.1\",\"Port\":-1}",
        "{\"Name\":\"x\",\"Address\":\"10.88.1.1\",\"Port\":1e400}",
        "{\"Name\":\"x\",\"Address\":\"10.88.1.1\",\"Port\":\"eighty\"}",
        "{\"Name\":\"x\",\"Address\":\"999.1.1.1\",\"Port\":80}",
        "{\"Name\":\"x\",\"Address\":\"0.0.0.0\",\"Port\":80}",
        "{\"Name\":\"x\",\"Address\":\"255.255.255.255\",\"Port\":80}",
        "{\"Name\":\"x\",\"Address\":\"10.88.255.1\",\"Port\":80}",
        "{\"Name\":{\"a\":[1]},\"Address\":[],\"Port\":{}}",
        "{\"Name\":\"x\",\"Address\":\"10.88.1.1\",\"Port\":80",
        "\u{0}\u{1}\u{7f}", String(repeating: "[", count: 20000), String(repeating: "n", count: 100_000),
        "{\"Name\":\"" + String(repeating: "n", count: 5000) + "\",\"Address\":\"10.88.1.1\",\"Port\":80}",
    ]

    @Test("absurd registrations get no proxy and hurt nobody")
    func absurd() throws {
        let bed = try Bed(machines: 1)
        let machine = bed.machines[0]
        for (number, value) in Self.absurdities.enumerated() {
            try bed.registry.put("/services/absurd-\(number)/1", value, from: machine.namespace)
        }
        let vip = try bed.meshWeb()
        #expect(try bed.pages(5, from: bed.alice, at: vip) == ["web-1": 5])
        #expect(try bed.remora.ask("get", "proxies").array.count == 1)
        #expect(bed.remora.pinnedServices().count == 2)
        #expect(try bed.remora.ask("status")["alarms"].array.isEmpty)
    }
}
