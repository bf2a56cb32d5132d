import Foundation
import Model
import Testing

@testable import Registries

@Suite("etcd's JSON gateway") struct EtcdGatewayTests {
    static let value = #"{"Name": "web", "Address": "10.0.0.1", "Port": 80}"#
    static let granted = #"{"header":{},"ID":"7668682376692516620","TTL":"12"}"#
    static let lease = "7668682376692516620"

    static func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
    static func put(_ key: String, _ value: String, lease: String? = nil) -> Exchange {
        let suffix = lease.map { #","lease":\#($0)"# } ?? ""
        return Exchange("kv/put", #"{"key":"\#(base64(key))","value":"\#(base64(value))"\#(suffix)}"#, "{}")
    }
    static func delete(_ key: String, to end: String? = nil) -> Exchange {
        let suffix = end.map { #","range_end":"\#(base64($0))""# } ?? ""
        return Exchange("kv/deleterange", #"{"key":"\#(base64(key))"\#(suffix)}"#, #"{"deleted":"1"}"#)
    }

    struct Exchange {
        var call: String
        var body: String
        var answer: String
        var status = 200
        init(_ call: String, _ body: String, _ answer: String, status: Int = 200) {
            self.call = call
            self.body = body
            self.answer = answer
            self.status = status
        }
    }

    @Test("a lease, a key on it, renewal and revocation", arguments: ["v3", "v3beta", "v3alpha"], [true, false])
    func life(version: String, leaseIsText: Bool) throws {
        let id = leaseIsText ? #""\#(Self.lease)""# : Self.lease
        let heard = talk(
            [
                Exchange("lease/grant", #"{"TTL":12,"ID":0}"#, Self.granted),
                Self.put("/services/web/web-1", Self.value, lease: id),
                Exchange("lease/keepalive", #"{"ID":\#(id)}"#, #"{"result":\#(Self.granted)}"#),
                Exchange("lease/revoke", #"{"ID":\#(id)}"#, "{}"),
                Exchange("lease/revoke", #"{"ID":\#(id)}"#, #"{"error":"lease not found"}"#, status: 404),
            ], version: version)
        #expect(
            heard.map(\.summary) == [
                "lease \(Self.lease) true", "register web web-1 10.0.0.1:80 \(Self.lease) true",
                "heartbeat \(Self.lease) true", "deregister \(Self.lease) true",
                "deregister web web-1 10.0.0.1:80 \(Self.lease) true", "deregister \(Self.lease) false",
            ])
        #expect(heard.prefix(3).map(\.ttlSeconds) == [12, 12, 12])
        #expect(heard[1].key == "/services/web/web-1" && heard[1].value == Self.value)
        #expect(heard[4].key == "/services/web/web-1" && heard[4].ttlSeconds == nil)
    }

    @Test("the gateway's yes to a lease that is gone is a no") func lapsed() {
        let heard = talk([
            Exchange("lease/keepalive", #"{"ID":"5"}"#, #"{"result":{"header":{},"ID":"5","TTL":"0"}}"#),
            Exchange("lease/keepalive", #"{"ID":"5"}"#, #"{"result":{"header":{},"ID":"5"}}"#),
            Exchange("lease/keepalive", #"{"ID":"5"}"#, "unreadable"),
        ])
        #expect(heard.map(\.accepted) == [false, false, nil])
    }

    @Test("several renewals on one stream") func stream() {
        let line = #"{"result":{"ID":"5","TTL":"9"}}"#
        let heard = talk([
            Exchange("lease/keepalive", "{\"ID\":5}\n{\"ID\":6}\n", "\(line)\n{\"result\":{\"ID\":\"6\"}}\n")
        ])
        #expect(heard.map(\.summary) == ["heartbeat 5 true", "heartbeat 6 false"])
    }

    @Test(
        "what counts as a service's key and value",
        arguments: [
            ("/services/web/a", "10.0.0.1:80", nil, "register web a 10.0.0.1:80 true"),
            ("/services/web/a", "http://10.0.0.1:80/path", nil, "register web a 10.0.0.1:80 true"),
            ("user.rpc/7587", "[fd00::1]:80", "9", "register user.rpc 7587 fd00::1:80 9 true"),
            ("/app/x", #"{"Op":0,"Addr":"10.0.0.1:80"}"#, "9", "register app x 10.0.0.1:80 9 true"),
            (
                "/microservices/a/1", #"{"name":"a","endpoints":["grpc://10.0.0.1:9000"]}"#, "9",
                "register a 1 10.0.0.1:9000 9 true"
            ),
            (
                "web/10.0.0.1:80", #"{"Op":0,"Addr":"10.0.0.1:80","Metadata":null}"#, "9",
                "register web 10.0.0.1:80 10.0.0.1:80 9 true"
            ),
            (
                "/micro/registry/greeter/g-1",
                #"{"name":"greeter","endpoints":[{"name":"Say"}],"nodes":[{"id":"g-1","address":"10.0.0.1:80"}]}"#,
                "9", "register greeter g-1 10.0.0.1:80 9 true"
            ),
            (
                "/services/a/b", #"{"service":{"name":"a","ip":"10.0.0.1","port":80}}"#, nil,
                "register a b 10.0.0.1:80 true"
            ),
            ("/x/y", #"{"name":"n","host":"10.0.0.1","port":"8"}"#, nil, "register n y 10.0.0.1:8 true"),
            (
                "/services/web/a", #"{"Name":"web","Address":"10.0.0.1","Port":70000}"#, nil,
                "register web a 10.0.0.1:- true"
            ),
            (
                "traefik/http/services/web/loadBalancer/servers/0/url", "http://10.0.0.1:80", nil,
                "register web 0 10.0.0.1:80 true"
            ),
            ("traefik/http/services/web/loadBalancer/passHostHeader", "true", nil, nil),
            ("/config/db/endpoint", "10.0.0.5:5432", nil, nil), ("/config/db/size", "12", "9", nil),
            ("/services/web/a", "hello", nil, nil), ("/services/web/a", #"{"color":"red"}"#, nil, nil),
            ("/services/web/a", "fd00::1:80:x", nil, nil), ("/services/web/a", "", nil, nil),
            ("/services/web/10.0.0.1:80", "", nil, "register web 10.0.0.1:80 10.0.0.1:80 true"),
            ("/my/web/10.0.0.1:80", #"{"weight":1}"#, "9", "register web 10.0.0.1:80 10.0.0.1:80 9 true"),
            ("/my/web/10.0.0.1:80", "", nil, nil), ("/election/web/a", "10.0.0.1:80", "9", nil),
            ("/my/locks/a", "10.0.0.1:80", "9", nil), ("/state/ip/10.0.0.5", #"{"IP":"10.0.0.5"}"#, "9", nil),
        ] as [(String, String, String?, String?)])
    func values(key: String, value: String, lease: String?, expected: String?) {
        #expect(talk([Self.put(key, value, lease: lease)]).map(\.summary) == [expected].compactMap { $0 })
    }

    @Test("Dubbo's providers stand in the key, whatever its value") func dubbo() {
        let base = "/dubbo/com.example.Greeter/"
        let url = "dubbo%3A%2F%2F10.0.0.1%3A20880%2Fcom.example.Greeter%3Fversion%3D1.0%26group%3Dg"
        let heard = talk([Self.put(base + "providers/" + url, ""), Self.put(base + "configurators/" + url, "")])
        #expect(heard.map(\.service) == ["com.example.Greeter"] && heard.first?.port == 20880)
        #expect(heard.first?.address == "10.0.0.1" && heard.first?.group == "g" && heard.first?.version == "1.0")
    }

    @Test("an absurdly long name is not replaced by the key's") func longName() {
        let name = String(repeating: "n", count: Bounds.longestName + 1)
        let value = #"{"Name":"\#(name)","Address":"10.0.0.1","Port":80}"#
        #expect(talk([Self.put("/services/web/a", value)]).isEmpty)
    }

    @Test("a deletion ends what was put, one or a range, and what its name tells") func deletion() {
        let heard = talk([
            Self.put("/my/web/a", "10.0.0.1:80", lease: "4"), Self.put("/my/web/b", "10.0.0.2:80", lease: "4"),
            Self.put("/my/zap/c", "10.0.0.3:80", lease: "4"), Self.delete("/my/web/", to: "/my/web0"),
            Self.delete("/my/web/a"), Self.delete("/my/zap/c"), Self.delete("/services/old/x"),
            Self.delete("/config/db/x"), Exchange("lease/revoke", #"{"ID":4}"#, "{}"),
        ]).dropFirst(3)
        #expect(
            heard.map(\.summary) == [
                "deregister web a 10.0.0.1:80 4 true", "deregister web b 10.0.0.2:80 4 true",
                "deregister zap c 10.0.0.3:80 4 true", "deregister old x true", "deregister 4 true",
            ])
    }

    @Test("a refused put is not remembered") func refused() {
        var put = Self.put("/my/web/a", "10.0.0.1:80", lease: "4")
        put.status = 400
        let heard = talk([put, Exchange("lease/revoke", #"{"ID":4}"#, "{}")])
        #expect(heard.map(\.summary) == ["register web a 10.0.0.1:80 4 false", "deregister 4 true"])
    }

    @Test("look-ups of services, and of nothing else") func discovery() {
        func range(_ key: String, _ end: String?) -> Exchange {
            let suffix = end.map { #","rangeEnd":"\#(Self.base64($0))""# } ?? ""
            return Exchange("kv/range", #"{"key":"\#(Self.base64(key))"\#(suffix)}"#, "{}")
        }
        let heard = talk([
            range("/services/web/", "/services/web0"), range("/services/", "/services0"),
            range("/services/web/a", nil), range("/config/x", nil), Self.put("/my/web/a", "10.0.0.1:80", lease: "4"),
            range("/my/web", "/my/wec"),
        ]).filter { $0.op == .discover }
        #expect(heard.map(\.service) == ["web", nil, "web", "web"])
        #expect(heard.map(\.key) == ["/services/web/", "/services/", "/services/web/a", "/my/web"])
    }

    @Test("a transaction does one half or the other, as its answer says", arguments: [true, false]) func transaction(
        succeeded: Bool
    ) {
        func operation(_ key: String) -> String {
            #"{"requestPut":{"key":"\#(Self.base64(key))","value":"\#(Self.base64(Self.value))","lease":"3"}}"#
        }
        let body =
            #"{"compare":[],"success":[\#(operation("/services/web/yes"))],"failure":[\#(operation("/services/web/no"))]}"#
        let heard = talk([Exchange("kv/txn", body, succeeded ? #"{"succeeded":true}"# : "{}")])
        #expect(heard.map(\.id) == [succeeded ? "yes" : "no"] && heard.first?.accepted == true)
    }

    @Test("bad base64, bytes that are no text and absurd leases") func absurd() {
        let heard = talk([
            Exchange("kv/put", #"{"key":"!!!","value":"!!!"}"#, "{}"),
            Exchange("kv/put", #"{"key":"//79","value":"MTAuMC4wLjE6ODA="}"#, "{}"),
            Exchange("kv/put", #"{"key":7}"#, "{}"), Exchange("kv/put", "[[[[", "{}"),
            Exchange("lease/revoke", #"{"ID":"99999999999999999999999"}"#, "{}"),
            Exchange("lease/revoke", #"{"ID":-1}"#, "{}"), Exchange("lease/keepalive", "{}", "{}"),
            Exchange("lease/grant", #"{"TTL":-9223372036854775808}"#, "{}"),
        ])
        #expect(heard.map(\.summary) == ["lease true"] && heard.first?.ttlSeconds == nil)
    }

    @Test("what is remembered of leases and keys is bounded") func bounded() throws {
        var memory = LeasedKeys()
        let place = RegistryPlace(network: NetworkID(0), address: try #require(IPAddress("10.0.0.1")), port: 2379)
        for index in 0..<40_000 {
            var told = Advertisement(registry: "etcd", op: .register)
            told.key = "/services/a/\(index)"
            told.leaseId = "1"
            memory.put(told, at: told.key, in: place)
        }
        #expect(memory.revoked("1", in: place).count == 16_384)
        #expect(memory.revoked("1", in: place) == [])
    }

    private func talk(_ exchanges: [Exchange], version: String = "v3") -> [Advertisement] {
        var wire = Wire(registryPort: 2379)
        wire.open()
        for one in exchanges {
            wire.ask(HTTP.request("POST", "/\(version)/\(one.call)", one.body))
            wire.answer(HTTP.answer(one.status, one.answer))
        }
        var listening = Listening()
        return listening.hear(wire.take())
    }
}
