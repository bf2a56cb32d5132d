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
        try bed.register(name, on: bed.machines[0])
        try bed.register("web", on: bed.machines[0], port: 80)
        try wait(for: "the agent to have heard of web") { try bed.remora.service("web")["name"].string != nil }
        let table = try bed.remora.tell("get", "services")
        #expect(!table.unicodeScalars.contains { $0.value < 32 && $0 != "\n" })
        for path in bed.remora.pinnedServices() {
            #expect(path.hasPrefix("\(bed.remora.pins)/services/"))
            #expect(!path.dropFirst(bed.remora.pins.count).contains("."))
        }
        #expect(try bed.remora.cli("status").code == 0)
    }
}
