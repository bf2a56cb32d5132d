import Lab
import Testing

/// Registries with protocols of their own: real servers where there is one, and real clients.
extension Networks {
    @Test(
        "ZooKeeper by kazoo: an ephemeral node ends by deletion, with its closed session and with its silent one",
        .needs(.clients, .zooKeeper))
    func liveZooKeeper() throws {
        let live = try Live()
        try live.server.serveZooKeeper(at: Live.address)
        let brief = try live.abandon("brief", by: "with_kazoo.py", ["2"])
        let client = try live.register("web", by: "with_kazoo.py", ["5"])
        let vip = try live.isServed("web")
        try client.tell("look up", until: "looked up")
        try live.isCaller()
        try client.tell("delete", until: "deleted")
        try live.isGone("web", vip)
        try client.tell("create again", until: "created again")
        try live.isServed("web")
        try client.tell("close", until: "gone")
        try live.isGone("web", vip)
        try live.isGone("brief", brief, limit: .seconds(30))
    }

    @Test("BIND by dnspython: signed updates add SRV and A records, and delete them", .needs(.clients, .named))
    func liveDNS() throws {
        let live = try Live()
        let key = try live.server.serveDNS(at: Live.address)
        let client = try live.register("web", by: "with_dnspython.py", [key])
        let vip = try live.isServed("_web._tcp.svc.example")
        try client.tell("look up", until: "looked up")
        try live.isCaller()
        try client.tell("deregister", until: "gone")
        try live.isGone("_web._tcp.svc.example", vip)
    }

    @Test("DNS-SD by zeroconf: announced, looked up, taken back with a goodbye", .needs(.clients))
    func liveZeroconf() throws {
        let live = try Live()
        try live.giveDefaultRoute()
        let client = try live.register("web", by: "with_zeroconf.py")
        let vip = try live.isServed("_web._tcp.local.")
        try client.tell("look up", until: "looked up")
        try live.isCaller()
        try client.tell("deregister", until: "gone")
        try live.isGone("_web._tcp.local.", vip)
    }

    @Test("DNS-SD by avahi-daemon: a service's file is there, and is removed", .needs(.avahi))
    func liveAvahi() throws {
        let live = try Live()
        try live.giveDefaultRoute()
        let daemon = try AvahiDaemon("_web._tcp", at: 80, in: live.guest.namespace)
        let vip = try live.isServed("_web._tcp.local.")
        try daemon.withdraw()
        try live.isGone("_web._tcp.local.", vip)
    }

    @Test("NATS by nats-py: a micro service is shown and explained, and cannot be proxied", .needs(.clients))
    func liveNATS() throws {
        let live = try Live()
        try live.server.serveNATS(at: Live.address)
        let client = try live.register("calc", by: "with_nats.py")
        let remora = live.bed.remora
        let row = try wait(for: "calc to be shown") { try remora.instance(of: "calc") }
        #expect(row["address"].string == live.guest.address)
        #expect(row["state"].string == "waiting")
        let why = try remora.ask("explain", "calc")
        #expect(why.mentions("told of no port"), "\(why)")
        #expect(try remora.service("calc")["proxy"].string == nil)
        try client.tell("deregister", until: "gone")
        try wait(for: "calc to be gone") { try remora.instance(of: "calc") == nil }
    }
}

extension Remora {
    /// The first row of `get instances` of a service.
    fileprivate func instance(of service: String) throws -> JSON? {
        try ask("get", "instances").array.first { $0.mentions(service) }
    }
}
