import Model
import Testing

@testable import Registries

@Suite("Consul's sidecars, ports, catalog and transactions") struct ConsulCatalogTests {
    private static let register = "/v1/agent/service/register"

    @Test("a sidecar is an instance of its own, takes over what it does not say, and goes with its service")
    func sidecar() throws {
        let body = #"""
            {"ID":"web-1","Name":"web","Address":"10.0.0.1","Port":80,"Tags":["t"],"Meta":{"k":"v"},
             "Connect":{"SidecarService":{}},"Check":{"TTL":"10s"}}
            """#
        let consul = Consul()
        let heard = consul.hear([Exchange("PUT", Self.register, body)])
        #expect(heard.map(\.op) == [.register, .status, .register])
        let proxy = try #require(heard.last)
        #expect(proxy.summary == "register web-sidecar-proxy web-1-sidecar-proxy 10.0.0.1:- true")
        #expect(
            proxy.tags == ["t"] && proxy.meta == ["k": "v"] && proxy.serviceId == "web-1" && proxy.ttlSeconds == nil)
        let gone = consul.hear([Exchange("PUT", "/v1/agent/service/deregister/web-1")])
        #expect(gone.map(\.summary) == ["deregister web-1 true", "deregister web-1-sidecar-proxy true"])
        #expect(consul.hear([Exchange("PUT", "/v1/agent/service/deregister/web-1")]).count == 1)
    }

    @Test("a sidecar's own words go first, but for its id") func ownSidecar() throws {
        let body = #"""
            {"name":"web","port":80,"connect":{"sidecar_service":{"ID":"x","name":"p","port":20000,"address":"10.0.0.9",
             "tags":["u"],"check":{"ttl":"5s"}}}}
            """#
        let heard = Consul().hear([Exchange("PUT", Self.register, body)])
        #expect(
            heard.map(\.summary) == [
                "register web web true", "register p web-sidecar-proxy 10.0.0.9:20000 true",
                "status service:web-sidecar-proxy true",
            ])
        #expect(heard[1].tags == ["u"] && heard[1].ttlSeconds == 5 && heard[2].serviceId == "web-sidecar-proxy")
    }

    @Test("each port of a service is told; its checks are all of theirs; a port left out is gone") func ports() {
        let consul = Consul()
        func body(_ ports: String) -> String {
            #"{"Name":"api","ID":"a1","Address":"10.0.0.1","Check":{"TTL":"10s"},"Ports":[\#(ports)]}"#
        }
        let both = #"{"Name":"grpc","Port":9090},{"Name":"http","Port":8080,"Default":true}"#
        let heard = consul.hear([Exchange("PUT", Self.register, body(both))]).filter { $0.op == .register }
        #expect(heard.map(\.port) == [8080, 9090] && heard.map(\.key) == [nil, "a1/grpc"])
        #expect(heard.allSatisfy { $0.id == "a1" && $0.batch == true && $0.ttlSeconds == 10 })
        let beats = consul.hear([Exchange("PUT", "/v1/agent/check/pass/service:a1")])
        #expect(beats.map(\.serviceId) == ["a1", "a1/grpc"] && beats.allSatisfy { $0.ttlSeconds == 10 })
        let one = consul.hear([Exchange("PUT", Self.register, body(#"{"Name":"http","Port":8080}"#))])
        #expect(one.filter { $0.op == .deregister }.map(\.key) == ["a1/grpc"])
        #expect(consul.hear([Exchange("PUT", "/v1/agent/check/pass/service:a1")]).map(\.serviceId) == ["a1"])
        _ = consul.hear([Exchange("PUT", Self.register, body(both))])
        let refused = consul.hear([Exchange("PUT", "/v1/agent/service/deregister/a1", status: 500)])
        #expect(refused.map(\.summary) == ["deregister a1 false"])
        let gone = consul.hear([Exchange("PUT", "/v1/agent/service/deregister/a1")])
        #expect(gone.map(\.op) == [.deregister, .deregister] && gone.map(\.key) == [nil, "a1/grpc"])
    }

    @Test("weight, zone and tagged addresses") func placed() throws {
        let body = #"""
            {"Name":"web","Address":"10.0.0.1","Port":80,"Weights":{"Passing":10,"Warning":1},
             "Locality":{"Region":"r","Zone":"z"},"TaggedAddresses":{"lan":{"Address":"10.0.0.1","Port":80},
             "wan":{"Address":"192.0.2.1","Port":80},"lan_ipv6":{"Address":"fd00::1"}}}
            """#
        let told = try #require(Consul().hear([Exchange("PUT", Self.register, body)]).first)
        #expect(told.weight == 10 && told.zone == "z" && told.addresses == ["10.0.0.1", "fd00::1", "192.0.2.1"])
    }

    @Test("maintenance, of a service and of a node") func maintenance() {
        let heard = Consul().hear([
            Exchange("PUT", "/v1/agent/service/maintenance/web-1?enable=true&reason=x"),
            Exchange("PUT", "/v1/agent/service/maintenance/web-1?enable=false"),
            Exchange("PUT", "/v1/agent/maintenance?enable=true"),
        ])
        #expect(heard.map(\.op) == [.status, .status, .status] && heard.map(\.serviceId) == ["web-1", "web-1", nil])
        #expect(heard.map(\.status) == ["maintenance", nil, "maintenance"])
    }

    @Test("a check that is deregistered needs no more heartbeats") func checks() {
        let heard = Consul().hear([
            Exchange("PUT", "/v1/agent/check/register", #"{"Name":"c","ServiceID":"s","TTL":"9s","Status":"passing"}"#),
            Exchange("GET", "/v1/agent/check/pass/c"), Exchange("GET", "/v1/agent/check/deregister/c"),
            Exchange("PUT", "/v1/agent/check/pass/c"),
        ])
        #expect(heard.map(\.op) == [.status, .heartbeat, .status, .heartbeat])
        #expect(heard.map(\.ttlSeconds) == [9, 9, 0, nil] && heard.map(\.serviceId) == ["s", "s", "s", nil])
    }

    @Test("the same check in two namespaces is two checks") func namespaces() {
        let consul = Consul()
        func check(_ id: String) -> String { #"{"ID":"c","Name":"c","ServiceID":"\#(id)","TTL":"9s"}"# }
        let heard = consul.hear([
            Exchange("PUT", "/v1/agent/check/register?ns=a", check("s1")),
            Exchange("PUT", "/v1/agent/check/register", check("s2"), headers: ["x-consul-namespace": "b"]),
            Exchange("PUT", "/v1/agent/check/pass/c?ns=a"), Exchange("PUT", "/v1/agent/check/pass/c?ns=b"),
            Exchange("PUT", "/v1/agent/check/pass/c?ns=a&partition=p"),
        ])
        #expect(heard.map(\.serviceId) == ["s1", "s2", "s1", "s2", nil])
        #expect(heard.map(\.namespace) == ["a", "b", "a", "b", "a"] && heard.last?.partition == "p")
    }

    @Test("the catalog: a node's service, its checks, and their end") func catalog() {
        let service = #"{"ID":"r1","Service":"redis","Tags":["p"],"Port":6379}"#
        let check = #"{"Node":"n","CheckID":"service:r1","ServiceID":"r1","Status":"passing"}"#
        let heard = Consul().hear([
            Exchange(
                "PUT", "/v1/catalog/register",
                #"{"Datacenter":"d","Node":"n","Address":"10.0.0.5","Service":\#(service),"Check":\#(check)}"#),
            Exchange("PUT", "/v1/catalog/register", #"{"Node":"n","Address":"10.0.0.5","Checks":[\#(check)]}"#),
            Exchange("PUT", "/v1/catalog/register", #"{"Node":"n","Address":"10.0.0.5"}"#),
            Exchange("PUT", "/v1/catalog/deregister", #"{"Node":"n","ServiceID":"r1","Datacenter":"d"}"#),
            Exchange("PUT", "/v1/catalog/deregister", #"{"Node":"n","CheckID":"service:r1"}"#),
            Exchange("PUT", "/v1/catalog/deregister", #"{"Node":"n"}"#),
        ])
        #expect(heard.map(\.op) == [.register, .status, .status, .deregister, .deregister])
        #expect(heard[0].summary == "register redis r1 10.0.0.5:6379 true" && heard[0].addressDefault == "node")
        #expect(heard.allSatisfy { $0.node == "n" && $0.key == nil })
        #expect(heard.map(\.dc) == ["d", "d", nil, "d", nil] && heard[1].serviceId == "r1")
        #expect(heard[1].status == "passing" && heard[4].id == nil)
    }

    @Test("a transaction's operations are told one by one") func transaction() {
        let body = #"""
            [{"Node":{"Verb":"set","Node":{"Node":"n","Address":"10.0.0.5"}}},
             {"Service":{"Verb":"set","Node":"n","Service":{"ID":"w1","Service":"web","Address":"10.0.0.5","Port":80}}},
             {"Service":{"Verb":"cas","Node":"n","Service":{"ID":"w2","Service":"web","Port":81}}},
             {"Service":{"Verb":"delete","Node":"n","Service":{"ID":"w3"}}},
             {"Service":{"Verb":"delete-cas","Node":"n","Service":{"ID":"w4","Service":"web"}}},
             {"Service":{"Verb":"get","Node":"n","Service":{"ID":"w5","Service":"web"}}},
             {"Check":{"Verb":"set","Check":{"Node":"n","CheckID":"c","ServiceID":"w1","Status":"critical"}}},
             {"Check":{"Verb":"delete","Check":{"Node":"n","CheckID":"c"}}},
             {"KV":{"Verb":"set","Key":"k","Value":"eyJTZXJ2aWNlIjoieCJ9"}},
             {"Node":{"Verb":"delete","Node":{"Node":"m"}}}]
            """#
        let heard = Consul().hear([Exchange("PUT", "/v1/txn", body)])
        #expect(
            heard.map(\.summary) == [
                "register web w1 10.0.0.5:80 true", "register web w2 true", "deregister w3 true", "deregister w4 true",
                "discover web w5 true", "status c true", "deregister true",
            ])
        #expect(heard[1].addressDefault == "node" && heard.allSatisfy { $0.batch == true && $0.accepted == true })
        #expect(heard.last?.node == "m")
        #expect(Consul().hear([Exchange("PUT", "/v1/txn", body, status: 409)]).allSatisfy { $0.accepted == false })
        #expect(Consul().hear([Exchange("PUT", "/v1/txn", #"[{"KV":{"Verb":"get","Key":"k"}}]"#)]) == [])
    }

    @Test(
        "prepared queries and what else looks up",
        arguments: [
            ("/v1/query/web/execute?near=_agent", "web", nil, "web"),
            (
                "/v1/query/8f246b77-f3e1-ff88-5b48-8ec93abf3e05/execute", nil, nil,
                "8f246b77-f3e1-ff88-5b48-8ec93abf3e05"
            ),
            ("/v1/discovery-chain/web", "web", nil, nil), ("/v1/agent/service/w1", nil, "w1", nil),
            ("/v1/agent/health/service/id/w1", nil, "w1", nil), ("/v1/catalog/connect/web", "web", nil, nil),
        ] as [(String, String?, String?, String?)])
    func lookUps(path: String, service: String?, id: String?, query: String?) {
        let heard = Consul().hear([Exchange("GET", path)])
        #expect(heard.map(\.op) == [.discover] && heard.first?.service == service)
        #expect(heard.first?.id == id && heard.first?.query == query)
    }

    @Test(
        "what the catalog, transactions and queries cannot mean",
        arguments: [
            ("/v1/catalog/register", ""), ("/v1/catalog/register", "[]"), ("/v1/catalog/register", #"{"Node":7}"#),
            ("/v1/catalog/register", #"{"Service":{"Service":"x"}}"#), ("/v1/catalog/deregister", "{}"),
            ("/v1/catalog/register", #"{"Node":"n","Service":{"ID":"x"},"Check":[],"Checks":7}"#),
            ("/v1/txn", ""), ("/v1/txn", "{}"), ("/v1/txn", "[7]"), ("/v1/txn", "[]"), ("/v1/txn", "[[[[]]]]"),
            ("/v1/txn", #"[{"Service":{"Verb":7,"Node":"n","Service":{"Service":"x"}}}]"#),
            ("/v1/txn", #"[{"Service":{"Verb":"set","Service":{"Service":"x"}}}]"#),
            ("/v1/query/web/execute", ""), ("/v1/agent/service/maintenance", ""), ("/v1/agent/check/update/c", "[]"),
        ])
    func negatives(path: String, body: String) { #expect(Consul().hear([Exchange("PUT", path, body)]) == []) }

    @Test("no list has a length that its sender decides") func bounded() {
        let ports = (1...500).map { #"{"Name":"p\#($0)","Port":\#($0)}"# }.joined(separator: ",")
        let many = Consul().hear([Exchange("PUT", Self.register, #"{"Name":"a","Ports":[\#(ports)]}"#)])
        #expect(many.count == ConsulService.mostPorts)
        let operation = #"{"Service":{"Verb":"delete","Node":"n","Service":{"ID":"x"}}}"#
        let all = "[" + Array(repeating: operation, count: 1000).joined(separator: ",") + "]"
        #expect(Consul().hear([Exchange("PUT", "/v1/txn", all)]).count == Consul.mostOperations)
        let checks = Array(repeating: #"{"TTL":"1s"}"#, count: 1000).joined(separator: ",")
        #expect(Consul().hear([Exchange("PUT", Self.register, #"{"Name":"a","Checks":[\#(checks)]}"#)]).count == 17)
        let hostile =
            #"{"Name":"a","Ports":[{"Port":-1},{"Port":70000},{"Port":"x"}],"Weights":7,"Connect":[],"Locality":""}"#
        #expect(Consul().hear([Exchange("PUT", Self.register, hostile)]).map(\.port) == [nil, nil, nil])
    }
}
