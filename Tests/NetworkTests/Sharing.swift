import Foundation
import Lab
import Testing

/// The NIC belongs to others, too.
extension Networks {
    @Test("an agent of another node finds the ports taken, says so, and the first goes on")
    func otherNode() throws {
        let bed = try Bed()
        let vip = try bed.meshWeb()
        let other = try Remora(on: bed.site.nic)
        try other.start()
        for port in try other.ask("get", "ports").array where port["state"].string != "waiting" {
            #expect(port["state"].string == "failed")
            #expect(port["problem"].string?.contains("another agent") == true, "\(port)")
        }
        #expect(try !other.ask("status")["alarms"].array.isEmpty)
        #expect(try bed.pages(10, from: bed.alice, at: vip).values.reduce(0, +) == 10)
        try other.tell("detach", "--all")
        try other.stop()
        #expect(try bed.pages(10, from: bed.alice, at: vip).values.reduce(0, +) == 10)
        #expect(try bed.remora.ask("get", "ports").array.filter { $0["state"].string == "attached" }.count == 3)
    }

    @Test("others' filters on a port see what they saw before, and are there when Remora has left")
    func others() throws {
        let bed = try Bed(machines: 1, start: false)
        let nic = bed.site.nic
        try call(["tc", "qdisc", "add", "dev", "vm1", "clsact"], in: nic)
        for hook in ["ingress", "egress"] {
            try call(
                ["tc", "filter", "add", "dev", "vm1", hook, "u32", "match", "u32", "0", "0", "classid", "1:1"], in: nic)
        }
        let rules = "table netdev others { chain in { type filter hook ingress device vm1 priority 0; counter; }; }"
        try call(["nft", rules], in: nic)
        let filters = try filters(in: nic)
        try bed.remora.start()
        let vip = try bed.meshWeb()
        let before = try counted(in: nic)
        #expect(try bed.pages(10, from: bed.alice, at: vip) == ["web-1": 10])
        // handed on, not taken: a VM's answer has four packets at least
        #expect(try counted(in: nic) >= before + 40)
        try bed.remora.tell("detach", "--all")
        let last = try counted(in: nic)
        #expect(try bed.pages(3, from: bed.alice, at: bed.machines[0].web) == ["web-1": 3])
        #expect(try counted(in: nic) > last)
        #expect(try self.filters(in: nic) == filters)
    }

    private func filters(in nic: Namespace) throws -> [String] {
        try ["ingress", "egress"].map { try call(["tc", "filter", "show", "dev", "vm1", $0], in: nic) }
    }

    /// Packets that came by the others' chain.
    private func counted(in nic: Namespace) throws -> Int {
        let words = try call(["nft", "list", "table", "netdev", "others"], in: nic).split(separator: " ")
        guard let label = words.firstIndex(of: "packets"), let count = Int(words[label + 1]) else {
            throw Failure("nft counts nothing: \(words)")
        }
        return count
    }

    @Test("one port is detached: it is as it was, and the others carry on")
    func onePort() throws {
        let bed = try Bed()
        let vip = try bed.meshWeb()
        try bed.remora.tell("detach", "vm2")
        try bed.remora.waitForProxy(of: "web", live: 1)
        #expect(try bed.pages(10, from: bed.alice, at: vip) == ["web-1": 10])
        #expect(try bed.pages(3, from: bed.alice, at: bed.machines[1].web) == ["web-2": 3])
        let row = try bed.remora.ask("get", "ports").array.first { $0["name"].string == "vm2" }
        #expect(row?["state"].string == "detached")
        #expect(!FileManager.default.fileExists(atPath: "\(bed.remora.pins)/ports/vm2"))
    }

    @Test("services are taken in one by one, and let go again, while the node observes")
    func oneByOne() throws {
        var settings = Remora.Settings()
        settings.mode = "observe"
        let bed = try Bed(machines: 1, settings: settings)
        let machine = bed.machines[0]
        _ = try machine.namespace.serve("orders", port: 8081)
        try bed.register("web", on: machine)
        try bed.register("orders", on: machine, port: 8081)
        try bed.remora.waitForVerdict("vm", on: machine.web)
        try bed.remora.waitForVerdict("vm", on: Endpoint(machine.address, 8081))
        #expect(bed.remora.pinnedServices().isEmpty)
        try bed.remora.tell("mode", "enforce", "--service", "orders")
        let orders = try bed.remora.waitForProxy(of: "orders", live: 1)
        #expect(try bed.pages(5, from: bed.alice, at: orders) == ["orders": 5])
        #expect(try bed.remora.service("web")["proxy"].string == nil)
        #expect(try bed.pages(3, from: bed.alice, at: machine.web) == ["web-1": 3])
        try bed.remora.tell("mode", "observe", "--service", "orders")
        try bed.remora.waitForEnd(of: "orders")
        #expect(bed.isSilent(orders, to: bed.alice))
        #expect(try bed.pages(3, from: bed.alice, at: Endpoint(machine.address, 8081)) == ["orders": 3])
    }
}
