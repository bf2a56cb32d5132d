import Foundation
import Lab
import Testing

/// Which of two connections with one five-tuple comes first.
enum First: String, CaseIterable, Sendable { case vip, own }

extension Networks {
    @Test(
        "a client's connections from one port to the VIP and to the VM's own address both live",
        arguments: First.allCases)
    func samePort(first: First) throws {
        let bed = try Bed(machines: 1)
        let vip = try bed.meshWeb()
        let own = bed.machines[0].web
        let order = first == .vip ? [vip, own] : [own, vip]
        for port in UInt16(40001)...40005 {
            let one = try Connection(from: bed.alice, to: order[0], sourcePort: port)
            let two = try Connection(from: bed.alice, to: order[1], sourcePort: port)
            try two.send(Page.request("/", at: order[1]))
            #expect(try Page.read(from: two).body == "web-1")
            try one.send(Page.request("/", at: order[0]))
            #expect(try Page.read(from: one).body == "web-1")
        }
    }

    @Test(
        "a source port is used again within TIME_WAIT, towards the VIP and the VM's own address",
        arguments: First.allCases)
    func timeWait(first: First) throws {
        let bed = try Bed(machines: 1)
        let vip = try bed.meshWeb()
        let own = bed.machines[0].web
        // The server closes first, so that TIME_WAIT is in the VM; the client's side is free at once.
        for round in 0..<5 {
            for endpoint in first == .vip ? [vip, own, vip] : [own, vip, own] {
                let page = try Page.get(from: bed.alice, at: endpoint, sourcePort: 40100, timeout: .seconds(2))
                #expect(page.body == "web-1", "round \(round), \(endpoint)")
            }
        }
    }

    @Test("a connection with half its request sent finishes after the service has deregistered")
    func drains() throws {
        let bed = try Bed(machines: 1)
        let registration = try bed.register(on: bed.machines[0])
        let vip = try bed.remora.waitForProxy(of: "web", live: 1)
        let open = try Connection(from: bed.alice, to: vip)
        try open.send("GET / HTTP/1.1\r\nHost: ")
        try registration.withdraw()
        try wait(for: "new connections to be refused") { bed.isSilent(vip, to: bed.bob, for: .milliseconds(200)) }
        try open.send("x\r\nConnection: close\r\n\r\n")
        #expect(try Page.read(from: open).body == "web-1")
        try bed.remora.waitForEnd(of: "web")
    }

    /// Offloads of the machine's and of the client's device.
    static let offloads = [(true, true), (true, false), (false, true), (false, false)]

    @Test("bulk TCP arrives whole both ways, with offloads on and off on either side", arguments: forwardings, offloads)
    func bulk(forwarding: String, offloads: (Bool, Bool)) throws {
        let bed = try Bed(machines: 1, forwarding: forwarding)
        let vip = try bed.meshWeb()
        let machine = bed.machines[0]
        try machine.namespace.setOffloads(offloads.0, of: "eth0")
        try bed.site.nic.setOffloads(offloads.0, of: machine.port)
        try bed.alice.setOffloads(offloads.1, of: "eth0")
        try bed.site.nic.setOffloads(offloads.1, of: Site.uplink)
        try expectBulk(from: bed.alice, through: vip, pages: machine.name, in: bed.lab)
    }

    @Test(
        "bulk TCP through a real VM's tap arrives whole, with offloads on and off at the client", arguments: forwardings
    )
    func bulkThroughTap(forwarding: String) throws {
        let bed = try Bed(machines: 0, forwarding: forwarding)
        let guest = try bed.site.addVirtualMachine(
            "guest", tap: "vm1", address: "10.88.1.1", registry: bed.registry.endpoint)
        try guest.waitUntilReady()
        try guest.run(["dd", "if=/dev/zero", "of=/www/bulk", "bs=1M", "count=8"])
        try guest.serve(port: 80)
        try guest.register("web", port: 80)
        let vip = try bed.remora.waitForProxy(of: "web", live: 1)
        for on in [true, false] {
            try bed.alice.setOffloads(on, of: "eth0")
            try bed.site.nic.setOffloads(on, of: Site.uplink)
            let page = try Page.get("/bulk", from: bed.alice, at: vip, timeout: .seconds(20))
            #expect(page.body.utf8.count == 8 << 20)
        }
    }

    /// 16 MiB down, and up again into a checksum.
    private func expectBulk(from client: Namespace, through vip: Endpoint, pages name: String, in lab: Lab) throws {
        let pages = "\(lab.directory)/pages-\(name)"
        let file = try lab.file("bulk", String(repeating: "0123456789abcde\n", count: 1 << 20))
        try FileManager.default.copyItem(atPath: file, toPath: "\(pages)/bulk")
        try FileManager.default.createDirectory(atPath: "\(pages)/cgi-bin", withIntermediateDirectories: true)
        let script = try lab.file("sum", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nexec cksum\n")
        try call(["install", "-m", "755", script, "\(pages)/cgi-bin/sum"])
        let back = "\(lab.directory)/back"
        try call(["curl", "-sS", "--fail", "-o", back, "http://\(vip)/bulk"], in: client)
        #expect(FileManager.default.contentsEqual(atPath: file, andPath: back))
        let up = ["curl", "-sS", "--fail", "-H", "Expect:", "--data-binary", "@\(file)", "http://\(vip)/cgi-bin/sum"]
        let sum = try call(up, in: client)
        let wanted = try call(["sh", "-c", "cksum < '\(file)'"])
        #expect(sum == wanted)
    }
}
