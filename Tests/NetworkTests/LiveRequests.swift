import Lab
import Testing

/// Registries that are told by requests over HTTP or gRPC: real clients, from registration to proxied service to gone.
extension Networks {
    @Test("Consul by py-consul: registered, looked up, deregistered; what is renewed no more goes", .needs(.clients))
    func liveConsul() throws {
        let live = try Live()
        try live.server.serveRegistry("consul", at: Live.address)
        let brief = try live.abandon("brief", by: "with_consul.py", ["2"])
        let client = try live.register("web", by: "with_consul.py", ["60"])
        let vip = try live.isServed("web")
        try client.tell("look up", until: "looked up")
        try live.isCaller()
        try client.tell("deregister", until: "gone")
        try live.isGone("web", vip)
        try live.isGone("brief", brief, limit: .seconds(30))
    }

    @Test(
        "etcd 3 by etcd3, over gRPC: a key ends by deletion, by its lease's revocation and by its end",
        .needs(.clients))
    func liveEtcd() throws {
        let live = try Live()
        let registry = live.bed.registry.endpoint.address
        let brief = try live.abandon("brief", by: "with_etcd3.py", ["2"], at: registry)
        let client = try live.register("web", by: "with_etcd3.py", ["60"], at: registry)
        let vip = try live.isServed("web")
        try client.tell("look up", until: "looked up")
        try live.isCaller()
        try client.tell("delete", until: "deleted")
        try live.isGone("web", vip)
        try client.tell("put again", until: "put again")
        try live.isServed("web")
        try client.tell("revoke", until: "gone")
        try live.isGone("web", vip)
        try live.isGone("brief", brief, limit: .seconds(30))
    }

    @Test("etcd 2 by its own API: a key with a time to live is renewed and deleted, or lapses", .needs(.clients))
    func liveEtcd2() throws {
        let live = try Live()
        let registry = live.bed.registry.endpoint.address
        let brief = try live.abandon("brief", by: "with_etcd2.py", ["2"], at: registry)
        let client = try live.register("web", by: "with_etcd2.py", ["60"], at: registry)
        let vip = try live.isServed("web")
        try client.tell("deregister", until: "gone")
        try live.isGone("web", vip)
        try live.isGone("brief", brief, limit: .seconds(30))
    }

    @Test("Eureka by py_eureka_client: registered, renewed and cancelled, or renewed no more", .needs(.clients))
    func liveEureka() throws {
        let live = try Live()
        try live.server.serveRegistry("eureka", at: Live.address)
        let brief = try live.abandon("brief", shown: "BRIEF", by: "with_eureka.py", ["3"])
        let client = try live.register("web", by: "with_eureka.py", ["60"])
        let vip = try live.isServed("WEB")
        try client.tell("deregister", until: "gone")
        try live.isGone("WEB", vip)
        try live.isGone("BRIEF", brief, limit: .seconds(30))
    }

    @Test("Nacos by nacos-sdk-python 1, over HTTP: registered, looked up, deregistered", .needs(.clients))
    func liveNacos() throws {
        let live = try Live()
        try live.server.serveRegistry("nacos", at: Live.address)
        let client = try live.register("web", by: "with_nacos1.py")
        let vip = try live.isServed("web")
        try client.tell("look up", until: "looked up")
        try live.isCaller()
        try client.tell("deregister", until: "gone")
        try live.isGone("web", vip)
    }

    @Test(
        "Nacos by nacos-sdk-python 3, over gRPC: an instance ends by its deregistration and with its connection",
        .needs(.clients, .nacosClient))
    func liveNacosGRPC() throws {
        let live = try Live()
        try live.server.serveRegistry("nacos", at: Live.address)
        try live.server.serveNacosGRPC(at: Live.address)
        let files = live.bed.lab.directory
        let brief = try live.abandon("brief", by: "with_nacos3.py", [files], tool: .nacosClient)
        try live.isGone("brief", brief)
        let client = try live.register("web", by: "with_nacos3.py", [files], tool: .nacosClient)
        let vip = try live.isServed("web")
        try client.tell("look up", until: "looked up")
        try live.isCaller()
        try client.tell("deregister", until: "deregistered")
        try live.isGone("web", vip)
        try client.tell("register again", until: "registered again")
        try live.isServed("web")
        try client.tell("shut down", until: "gone")
        try live.isGone("web", vip)
    }

    @Test("UDDI by plain SOAP: a service is saved, another found, the first deleted", .needs(.clients))
    func liveUDDI() throws {
        let live = try Live()
        try live.server.serveRegistry("uddi", at: Live.address)
        let client = try live.register("web", by: "with_soap.py")
        let vip = try live.isServed("web")
        try client.tell("look up", until: "looked up")
        try live.isCaller()
        try client.tell("deregister", until: "gone")
        try live.isGone("web", vip)
    }
}
