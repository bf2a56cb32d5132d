import Lab
import Testing

/// Two networks with the same addresses on one NIC.
extension Networks {
    @Test(
        "two tenants with the same addresses and names never meet, and have policies of their own",
        arguments: forwardings)
    func tenants(forwarding: String) throws {
        var settings = Remora.Settings()
        settings.forwarding = forwarding
        settings.hasBlue = true
        let bed = try Bed(machines: 1, settings: settings)
        let blue = try BlueTenant(on: bed)
        let vip = try bed.meshWeb()
        _ = try Registration(
            "web", id: "1", address: "10.88.1.1", port: 80, ttl: 60, with: blue.registry, from: blue.guest)
        try wait(for: "both proxies") {
            try bed.remora.ask("get", "services").array.filter { $0["state"].string == "live" }.count == 2
        }
        let text = try bed.remora.ask("get", "services").array.first { $0["network"].number == 7 }?["vip"].string
        let blueVIP = try #require(text.flatMap(Endpoint.init(text:)))
        let own = bed.machines[0].web
        for endpoint in [vip, own] { #expect(try bed.pages(5, from: bed.alice, at: endpoint) == ["web-1": 5]) }
        for endpoint in [blueVIP, own] { #expect(try bed.pages(5, from: blue.client, at: endpoint) == ["blue": 5]) }
        #expect(bed.isSilent(blueVIP, to: bed.alice) && bed.isSilent(vip, to: blue.client))
        // of the same address as the other tenant's client
        try bed.remora.apply("network: blue\n" + Remora.denial(of: "web", from: ["\(Bed.aliceAddress)/32"]))
        try wait(for: "the policy on blue") { bed.isSilent(blueVIP, to: blue.client) }
        #expect(bed.isSilent(own, to: blue.client))
        for endpoint in [vip, own] { #expect(try bed.pages(5, from: bed.alice, at: endpoint) == ["web-1": 5]) }
    }

    /// A guest behind a port of its own, a client and a registry, all with addresses that others on the bed have.
    private struct BlueTenant {
        let guest: Namespace
        let client: Namespace
        let registry: EtcdServer

        init(on bed: Bed) throws {
            let nic = bed.site.nic
            let fabric = try Namespace("blue-fabric", in: bed.lab)
            try nic.addBridge("br1")
            try fabric.addBridge("fab1")
            try nic.addCable("ub0", to: fabric, "nic0")
            try fabric.plug("nic0", into: "fab1")
            guest = try Namespace("blue-guest", in: bed.lab)
            client = try Namespace("blue-client", in: bed.lab)
            let server = try Namespace("blue-etcd", in: bed.lab)
            try nic.addCable("vb1", to: guest, "eth0")
            for port in ["ub0", "vb1"] { try nic.plug(port, into: "br1") }
            for (namespace, name) in [(client, "client"), (server, "etcd")] {
                try namespace.addCable("eth0", to: fabric, name)
                try fabric.plug(name, into: "fab1")
            }
            for (namespace, address) in [(guest, "10.88.1.1"), (client, Bed.aliceAddress), (server, "10.88.0.2")] {
                try namespace.ip("address add \(address)/16 dev eth0")
            }
            _ = try guest.serve("blue", port: 80)
            registry = try EtcdServer(in: server, address: "10.88.0.2")
        }
    }
}
