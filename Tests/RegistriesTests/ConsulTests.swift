import Model
import Testing

@testable import Registries

@Suite("Consul") struct ConsulTests {
    @Test("a registration with all it may say") func whole() throws {
        let body = #"""
            {"ID":"web/1","Name":"web","Tags":["a","b"],"Address":"fd77::11","Port":80,"Meta":{"k":"v"},
             "Namespace":"team","Checks":[{"TTL":"1m30s"},{"HTTP":"http://x","Interval":"3s"},{"CheckID":"own","ttl":"20s"}]}
            """#
        let heard = talk([("PUT", "/v1/agent/service/register?partition=p1&ns=other", body, 200)])
        let told = try #require(heard.first)
        #expect(told.summary == "register web web/1 fd77::11:80 true")
        #expect(told.tags == ["a", "b"] && told.meta == ["k": "v"] && told.ttlSeconds == 20)
        #expect(told.namespace == "team" && told.partition == "p1")
        #expect(heard.dropFirst().map(\.op) == [.status, .status])
        #expect(heard.dropFirst().map(\.id) == ["service:web/1:1", "own"])
        #expect(heard.dropFirst().map(\.ttlSeconds) == [90, 20])
    }

    @Test("keys count in any case, the id defaults to the name, the address to the registry's") func defaults() throws {
        let told = try #require(
            talk([("PUT", "/v1/agent/service/register", #"{"name":"noaddr","port":7000,"check":{"ttl":"20s"}}"#, 200)])
                .first)
        #expect(told.service == "noaddr" && told.id == "noaddr" && told.address == nil && told.port == 7000)
        #expect(told.addressDefault == "registry" && told.ttlSeconds == 20)
    }

    @Test("heartbeats name the check, the service it belongs to and its TTL") func heartbeats() {
        let heard = talk([
            ("PUT", "/v1/agent/service/register", #"{"Name":"web","Check":{"CheckID":"beat","TTL":"1500ms"}}"#, 200),
            ("PUT", "/v1/agent/check/pass/beat?note=fine", "", 200),
            ("PUT", "/v1/agent/check/warn/service:other", "", 200),
            ("PUT", "/v1/agent/check/update/beat", #"{"Status":"passing","Output":"x"}"#, 200),
            ("PUT", "/v1/agent/check/fail/beat", "", 200),
            ("PUT", "/v1/agent/check/update/beat", #"{"Status":"critical"}"#, 200),
            ("PUT", "/v1/agent/check/pass/gone", "", 404),
        ]).dropFirst(2)
        #expect(heard.map(\.op) == [.heartbeat, .heartbeat, .heartbeat, .status, .status, .heartbeat])
        #expect(heard.map(\.id) == ["beat", "service:other", "beat", "beat", "beat", "gone"])
        #expect(heard.map(\.serviceId) == ["web", "other", "web", "web", "web", nil])
        #expect(heard.map(\.status) == ["passing", "warning", "passing", "critical", "critical", "passing"])
        #expect(heard.map(\.ttlSeconds) == [2, nil, 2, 2, 2, nil])
        #expect(heard.last?.accepted == false)
    }

    @Test("of a check that may be one service's or another's none is told, unless it was registered") func numbered() {
        let heard = talk([
            ("PUT", "/v1/agent/check/pass/service:web:2", "", 200),
            ("PUT", "/v1/agent/service/register", #"{"Name":"web","Checks":[{"TTL":"9s"},{"TTL":"9s"}]}"#, 200),
            ("PUT", "/v1/agent/check/pass/service:web:2", "", 200), ("PUT", "/v1/agent/check/pass/service:", "", 200),
        ]).filter { $0.op == .heartbeat }
        #expect(heard.map(\.serviceId) == [nil, "web", nil])
    }

    @Test("a check registered on its own") func check() throws {
        let body = #"{"Name":"Beat of web","ID":"beat","ServiceID":"web-1","TTL":"15s"}"#
        let heard = talk([
            ("PUT", "/v1/agent/check/register", body, 200), ("PUT", "/v1/agent/check/pass/beat", "", 200),
        ])
        #expect(heard.map(\.op) == [.status, .heartbeat])
        #expect(heard.map(\.serviceId) == ["web-1", "web-1"] && heard.map(\.ttlSeconds) == [15, 15])
    }

    @Test("deregistration takes its id from the path, decoded") func deregistration() {
        let heard = talk([
            ("PUT", "/v1/agent/service/deregister/web%2F1%20x", "", 200),
            ("PUT", "http://registry:8500/v1/agent/service/deregister/abs", "", 200),
            ("PUT", "/v1/agent/service/deregister/", "", 404),
        ])
        #expect(heard.map(\.id) == ["web/1 x", "abs"])
    }

    @Test(
        "discovery, by service and of all",
        arguments: [
            ("/v1/catalog/services", nil), ("/v1/catalog/service/web?dc=east", "web"), ("/v1/agent/services", nil),
            ("/v1/health/service/web?passing&index=40&wait=5m", "web"), ("/v1/health/connect/web", "web"),
            ("/v1/agent/health/service/name/web", "web"), ("/v1/catalog/node/n1", nil),
            ("/v1/catalog/node-services/n1", nil),
        ] as [(String, String?)])
    func discovery(path: String, service: String?) {
        let heard = talk([("GET", path, "", 200)])
        #expect(heard.map(\.op) == [.discover] && heard.first?.service == service)
        #expect(heard.first?.dc == (path.contains("dc=") ? "east" : nil))
    }

    @Test(
        "what only looks like a registration is none",
        arguments: [
            ("PUT", "/v1/kv/v1/agent/service/register"), ("PUT", "/upload?next=/v1/agent/service/register"),
            ("POST", "/paste"), ("PUT", "/v1/session/create"), ("GET", "/v1/agent/service/register"),
            ("PUT", "/v1/agent/service/register/x"), ("DELETE", "/v1/agent/service/deregister/x"),
            ("PUT", "/V1/agent/service/register"), ("GET", "/v1/catalog/nodes"), ("GET", "/v1/health/state/any"),
        ])
    func negatives(method: String, path: String) {
        let text = HTTP.request("PUT", "/v1/agent/service/register", EarTests.body)
        #expect(talk([(method, path, EarTests.body, 200), (method, path, text, 200)]) == [])
    }

    @Test(
        "Go's durations",
        arguments: [
            ("15s", 15), ("1m30s", 90), ("1.5h", 5400), ("10ms", 1), ("1000000us", 1), ("0s", nil), ("-5s", nil),
            ("", nil),
            ("5", nil), ("s", nil), ("1e9s", nil), ("99999999999999999999h", nil), ("1..2s", nil), ("٣s", nil),
        ] as [(String, Int?)])
    func durations(text: String, seconds: Int?) {
        #expect(GoDuration.seconds(text) == seconds)
    }

    private func talk(_ requests: [(method: String, path: String, body: String, status: Int)]) -> [Advertisement] {
        var wire = Wire()
        wire.open()
        for one in requests {
            wire.ask(HTTP.request(one.method, one.path, one.body))
            wire.answer(HTTP.answer(one.status))
        }
        var listening = Listening()
        return listening.hear(wire.take())
    }
}
