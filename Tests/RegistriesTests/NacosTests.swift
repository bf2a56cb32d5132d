import Model
import Testing

@testable import Registries

@Suite("Nacos") struct NacosTests {
    private let form = "application/x-www-form-urlencoded; charset=UTF-8"
    private let done = #"{"code":0,"message":"success","data":"ok"}"#

    @Test("a registration whose fields stand in the query") func query() throws {
        let target =
            "/nacos/v1/ns/instance?ip=10.0.0.1&port=8085&serviceName=user&weight=1.5&enable=True&healthy=True"
            + "&clusterName=c1&ephemeral=True&groupName=G&namespaceId=team&metadata=%7B%22v%22%3A+%221%26%22%7D"
        let told = try #require(Nacos().hear([Exchange("POST", target, answer: "ok")]).first)
        #expect(told.summary == "register user 10.0.0.1:8085 true")
        #expect(told.group == "G" && told.namespace == "team" && told.cluster == "c1" && told.weight == 1.5)
        #expect(told.meta == ["v": "1&"] && told.ephemeral == true && told.id == nil && told.status == nil)
        #expect(told.ttlSeconds == nil && told.ttlDefaultSeconds == 15)
        #expect(told.key == "10.0.0.1#8085#G@@user#team")
    }

    @Test("fields in a form, in both, under another context path, of every version")
    func places() {
        let heard = Nacos().hear([
            Exchange("POST", "/nacos/v2/ns/instance", "serviceName=a&ip=10.0.0.1&port=80", type: form, answer: done),
            Exchange(
                "POST", "/v1/ns/instance?serviceName=b&ip=10.0.0.1", "port=81&ip=9.9.9.9", type: form, answer: "ok"),
            Exchange("POST", "/x/y/v3/client/ns/instance", "serviceName=c&ip=::1&port=82", answer: done),
            Exchange("POST", "/nacos/v3/admin/ns/instance?serviceName=d&ip=h&port=83", answer: done),
            Exchange("POST", "/nacos/v2/ns/instance", "serviceName=e&ip=10.0.0.1&port=80", type: "application/json"),
        ])
        #expect(
            heard.map(\.summary) == [
                "register a 10.0.0.1:80 true", "register b 10.0.0.1:81 true", "register c ::1:82 true",
                "register d h:83 true",
            ])
    }

    @Test("group and service in one name") func grouped() {
        let heard = Nacos().hear([
            Exchange(
                "POST", "/nacos/v1/ns/instance?serviceName=G%40%40a&groupName=H&ip=10.0.0.1&port=80", answer: "ok"),
            Exchange("GET", "/nacos/v1/ns/instance/list?serviceName=G%40%40a&clusters=c1"),
            Exchange("GET", "/nacos/v1/ns/instance/list?serviceName=%40%40a&groupName=H"),
        ])
        #expect(heard.map(\.service) == ["a", "a", "a"] && heard.map(\.group) == ["G", "G", "H"])
        #expect(heard[1].op == .discover && heard[1].cluster == "c1" && heard[1].accepted == true)
    }

    @Test("metadata as pairs, and with values that are no text")
    func metadata() {
        let heard = ["a=1,b=x", #"{"a":1,"b":true,"c":[1],"d":1.5}"#, "a", "a=b=c", ""].flatMap { text in
            Nacos().hear([
                Exchange(
                    "POST", "/nacos/v1/ns/instance", "serviceName=s&ip=10.0.0.1&port=80&metadata=\(text)", answer: "ok")
            ])
        }
        #expect(
            heard.map(\.meta) == [["a": "1", "b": "x"], ["a": "1", "b": "true", "d": "1.5"], nil, nil, nil])
    }

    @Test("a change of an instance, its health, and its end") func changes() {
        let heard = Nacos().hear([
            Exchange("PUT", "/nacos/v2/ns/instance?serviceName=s&ip=10.0.0.1&port=80&enabled=false", answer: done),
            Exchange("PATCH", "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=80&weight=0", answer: "ok"),
            Exchange(
                "PUT", "/nacos/v1/ns/health/instance", "serviceName=s&ip=10.0.0.1&port=80&healthy=false", answer: "ok"),
            Exchange("DELETE", "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=80&ephemeral=false", answer: "ok"),
        ])
        #expect(heard.map(\.op) == [.register, .register, .status, .deregister])
        #expect(heard.map(\.update) == [true, true, nil, nil])
        #expect(heard.map(\.status) == ["disabled", nil, "unhealthy", nil])
        #expect(heard[1].weight == 0 && heard.allSatisfy { $0.key == heard[0].key && $0.accepted == true })
    }

    @Test("beats, whole and light, renew for the time that the registration gave") func beats() {
        let beat = "%7B%22ip%22%3A%2210.0.0.1%22%2C%22port%22%3A80%2C%22serviceName%22%3A%22G%40%40s%22%7D"
        let own = "&metadata=%7B%22preserved.heart.beat.timeout%22%3A%229500%22%7D"
        let heard = Nacos().hear([
            Exchange("POST", "/nacos/v1/ns/instance?serviceName=s&groupName=G&ip=10.0.0.1&port=80\(own)", answer: "ok"),
            Exchange(
                "PUT", "/nacos/v1/ns/instance/beat?serviceName=G%40%40s", "beat=\(beat)", answer: #"{"code":10200}"#),
            Exchange("PUT", "/nacos/v1/ns/instance/beat", "beat=\(beat)", type: form, answer: #"{"code":10200}"#),
            Exchange(
                "PUT", "/nacos/v1/ns/instance/beat?serviceName=G%40%40s&ip=10.0.0.1&port=80", answer: #"{"code":20404}"#
            ),
            Exchange("PUT", "/nacos/v1/ns/instance/beat?serviceName=s&ip=10.0.0.1&port=80", answer: nil),
            Exchange(
                "POST", "/nacos/v3/client/ns/instance?serviceName=s&groupName=G&ip=10.0.0.1&port=80&heartBeat=true",
                answer: done),
            Exchange(
                "POST", "/nacos/v3/client/ns/instance?serviceName=s&ip=10.0.0.1&port=80&heartBeat=true",
                answer: #"{"code":21003}"#),
        ])
        #expect(heard.map(\.op) == [.register] + Array(repeating: .heartbeat, count: 6))
        #expect(heard.map(\.ttlSeconds) == [10, 10, 10, 10, nil, 10, nil])
        #expect(heard.map(\.accepted) == [true, true, true, false, nil, true, false])
        #expect(heard.map(\.ttlDefaultSeconds) == [nil, nil, nil, nil, 15, nil, 15])
        #expect(heard.prefix(4).allSatisfy { $0.summary.contains(" s 10.0.0.1:80 ") && $0.key == heard[0].key })
    }

    @Test("one registry's instances are not another's, and what is persistent does not lapse") func memory() {
        let nacos = Nacos()
        let register = "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=80"
        let own = "&metadata=preserved.heart.beat.timeout%3D3000"
        let beat = Exchange("PUT", "/nacos/v1/ns/instance/beat?serviceName=s&ip=10.0.0.1&port=80")
        #expect(nacos.hear([Exchange("POST", register + own, answer: "ok")]).first?.ttlSeconds == 3)
        #expect(nacos.hear([beat], at: .other).first?.ttlSeconds == nil)
        #expect(nacos.hear([beat]).first?.ttlSeconds == 3)
        #expect(nacos.hear([Exchange("PATCH", register + "&weight=2", answer: "ok")]).first?.ttlSeconds == 3)
        _ = nacos.hear([Exchange("DELETE", register, status: 500)])
        #expect(nacos.hear([beat]).first?.ttlSeconds == 3)
        _ = nacos.hear([Exchange("DELETE", register, answer: "ok")])
        #expect(nacos.hear([beat]).first?.ttlSeconds == nil)
        let kept = nacos.hear([Exchange("POST", register + "&ephemeral=false", answer: "ok")]).first
        #expect(kept?.ttlSeconds == nil && kept?.ttlDefaultSeconds == nil && kept?.ephemeral == false)
    }

    @Test(
        "looking up, one service or all",
        arguments: [
            ("/nacos/v1/ns/instance/list?serviceName=s", "s"), ("/nacos/v2/ns/instance?serviceName=s&ip=a&port=1", "s"),
            ("/nacos/v1/ns/service/list?pageNo=1&pageSize=9", nil),
            ("/nacos/v3/client/ns/instance/list?serviceName=s", "s"),
            ("/nacos/v1/ns/catalog/instances?serviceName=s", "s"), ("/nacos/v1/ns/service?serviceName=s", "s"),
        ] as [(String, String?)])
    func discovery(target: String, service: String?) {
        let heard = Nacos().hear([Exchange("GET", target, answer: nil)])
        #expect(heard.map(\.op) == [.discover] && heard.first?.service == service && heard.first?.accepted == true)
    }

    @Test("refused, or its answer not in view") func refused() {
        let target = "/nacos/v2/ns/instance?serviceName=s&ip=10.0.0.1&port=80"
        let heard = Nacos().hear([
            Exchange("POST", target, status: 403), Exchange("POST", target, status: nil),
            Exchange("POST", target, answer: #"{"code":22001}"#), Exchange("POST", target, answer: nil),
        ])
        #expect(heard.map(\.accepted) == [false, nil, false, nil])
    }

    @Test(
        "what is no naming request, or cannot be one, is nothing",
        arguments: [
            ("POST", "/nacos/v1/cs/configs?serviceName=s&ip=10.0.0.1&port=80"), ("POST", "/nacos/v1/ns/instance"),
            ("POST", "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1"), ("POST", "/other/ns/instance?serviceName=s"),
            ("POST", "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=0"),
            ("POST", "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=65536"),
            ("POST", "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=-1"),
            ("POST", "/nacos/v1/ns/instance?serviceName=s&ip=a%20b&port=80"),
            ("POST", "/nacos/v1/ns/instance?serviceName=&ip=10.0.0.1&port=80"),
            ("PUT", "/nacos/v1/ns/instance/beat?serviceName=s&ip=10.0.0.1&port=80&beat=%5B%5B"),
            ("PUT", "/nacos/v1/ns/instance/beat?serviceName=s&beat=%7B%22ip%22%3A7%7D"),
            ("POST", "/nacos/v1/ns/service?serviceName=s"), ("GET", "/v1/agent/services"),
            ("PUT", "/nacos/v1/ns/instance/metadata/batch?serviceName=s&instances=%5B%5D"),
        ])
    func negatives(method: String, target: String) { #expect(Nacos().hear([Exchange(method, target)]) == []) }

    @Test("hostile fields leave the field out") func hostile() throws {
        let long = String(repeating: "a=1,", count: 5000)
        let deep = String(repeating: "%7B%22a%22%3A", count: 600)
        let base = "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=80"
        for junk in ["weight=1e999", "weight=nan", "weight=-1", "metadata=\(deep)", "ephemeral=7", "healthy="] {
            let told = try #require(Nacos().hear([Exchange("POST", "\(base)&\(junk)", answer: "ok")]).first)
            #expect(told.weight == nil && told.meta == nil && told.ephemeral == nil && told.status == nil)
        }
        let wide = Nacos().hear([Exchange("POST", base, "metadata=\(long)", answer: "ok")]).first
        #expect((wide?.meta?.count ?? 0) <= 1025)
        let timeless = base + "&metadata=preserved.heart.beat.timeout%3D"
        for time in ["0", "-1", "9999999999999999999", "x"] {
            #expect(Nacos().hear([Exchange("POST", timeless + time, answer: "ok")]).first?.ttlSeconds == nil)
        }
        let pairs = String(repeating: "x=1&", count: 100_000)
        #expect(Nacos().hear([Exchange("POST", "/nacos/v1/ns/instance", pairs + "serviceName=s")]) == [])
    }
}
