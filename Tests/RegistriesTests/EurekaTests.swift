import Model
import Testing

@testable import Registries

@Suite("Eureka") struct EurekaTests {
    private static let json = #"""
        {"instance":{"instanceId":"h:shop:8081","app":"shop","appGroupName":"G","ipAddr":"10.0.0.1","hostName":"vm1",
        "status":"UP","overriddenStatus":"UNKNOWN","port":{"$":8081,"@enabled":"true"},
        "securePort":{"$":443,"@enabled":"false"},"vipAddress":"shop,store","countryId":1,
        "dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},
        "leaseInfo":{"renewalIntervalInSecs":5,"durationInSecs":20},
        "metadata":{"@class":"java.util.Collections$EmptyMap","zone":"z1","n":7}}}
        """#

    private static let xml = #"""
        <?xml version="1.0" encoding="UTF-8"?>
        <instance><instanceId>h:shop:8081</instanceId><app>shop</app><appGroupName>G</appGroupName>
          <ipAddr>10.0.0.1</ipAddr><hostName>vm1</hostName><status>UP</status><port enabled="true">8081</port>
          <securePort enabled="false">443</securePort><vipAddress>shop,store</vipAddress>
          <dataCenterInfo class="com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"><name>MyOwn</name></dataCenterInfo>
          <leaseInfo><renewalIntervalInSecs>5</renewalIntervalInSecs><durationInSecs>20</durationInSecs></leaseInfo>
          <metadata class="java.util.Map"><zone>z1</zone><n>7</n></metadata></instance>
        """#

    @Test("a registration says the same in both notations", arguments: [json, xml]) func whole(body: String) throws {
        let told = try #require(Eureka().hear([Exchange("POST", "/eureka/apps/SHOP", body, status: 204)]).first)
        #expect(told.summary == "register SHOP h:shop:8081 10.0.0.1:8081 true")
        #expect(told.protocol == "http" && told.hostName == "vm1" && told.group == "G" && told.status == "UP")
        #expect(told.ttlSeconds == 20 && told.ttlDefaultSeconds == nil && told.renewalIntervalSeconds == 5)
        #expect(told.meta == ["zone": "z1", "n": "7"] && told.zone == "z1" && told.key == "SHOP/h:shop:8081")
        #expect(told.update == nil)
    }

    @Test(
        "any place of the API",
        arguments: ["/eureka/v2/apps/shop", "/v2/apps/shop", "/apps/shop", "/a/b/eureka/apps/shop/"])
    func places(path: String) {
        let body = #"{"instance":{"hostName":"vm1","ipAddr":"10.0.0.1","port":{"$":"80"}}}"#
        let heard = Eureka().hear([Exchange("POST", path, body, status: 204)])
        #expect(heard.map(\.summary) == ["register SHOP vm1 10.0.0.1:80 true"])
        #expect(heard.first?.ttlSeconds == nil && heard.first?.ttlDefaultSeconds == 90)
    }

    @Test(
        "which port, and what is spoken there",
        arguments: [
            (#""port":{"$":80,"@enabled":true},"securePort":{"$":443,"@enabled":true}"#, 80, "http"),
            (#""port":{"$":80,"@enabled":"false"},"securePort":{"$":443,"@enabled":"true"}"#, 443, "https"),
            (#""port":80"#, 80, "http"), (#""securePort":{"$":443,"@enabled":"true"}"#, 443, "https"),
            (#""port":{"$":80,"@enabled":false},"securePort":{"$":443,"@enabled":false}"#, 80, "http"),
            (#""port":{"$":70000}"#, nil, nil), (#""port":{"@enabled":"true"}"#, nil, nil), (#""port":[]"#, nil, nil),
        ] as [(String, Int?, String?)])
    func ports(fields: String, port: Int?, spoken: String?) {
        let body = #"{"instance":{"hostName":"vm1","app":"A","ipAddr":"10.0.0.1",\#(fields)}}"#
        let told = Eureka().hear([Exchange("POST", "/eureka/apps/A", body, status: 204)]).first
        #expect(told != nil && told?.port == port && told?.protocol == spoken)
    }

    @Test("an id of its own, of its data centre, or its host's name") func ids() {
        let amazon = #""dataCenterInfo":{"name":"Amazon","metadata":{"instance-id":"i-1","availability-zone":"az"}}"#
        let heard = [#""instanceId":"x","hostName":"h",\#(amazon)"#, #""hostName":"h",\#(amazon)"#, #""hostName":"h""#]
            .flatMap {
                Eureka().hear([Exchange("POST", "/eureka/apps/A", #"{"instance":{\#($0)}}"#, status: 204)])
            }
        #expect(heard.map(\.id) == ["x", "i-1", "h"] && heard.map(\.zone) == ["az", "az", nil])
    }

    @Test("renewals last as long as the registration said, and end with it") func life() {
        let eureka = Eureka()
        let heard = eureka.hear([
            Exchange("POST", "/eureka/apps/SHOP", Self.json, status: 204),
            Exchange("PUT", "/eureka/apps/shop/h%3Ashop%3A8081?status=UP&lastDirtyTimestamp=1"),
            Exchange("POST", "/eureka/apps/SHOP", Self.xml.replacing(">UP<", with: ">DOWN<"), status: 204),
            Exchange("DELETE", "/eureka/apps/SHOP/h:shop:8081", status: 500),
            Exchange("PUT", "/eureka/apps/SHOP/h:shop:8081"),
            Exchange("DELETE", "/eureka/apps/SHOP/h:shop:8081"),
            Exchange("PUT", "/eureka/apps/SHOP/h:shop:8081", status: 404),
        ])
        #expect(
            heard.map(\.op) == [.register, .heartbeat, .register, .deregister, .heartbeat, .deregister, .heartbeat])
        #expect(heard.map(\.ttlSeconds) == [20, 20, 20, nil, 20, nil, nil])
        #expect(heard.map(\.accepted) == [true, true, true, false, true, true, false])
        #expect(heard.map(\.update) == [nil, nil, true, nil, nil, nil, nil] && heard[2].status == "DOWN")
        #expect(heard.allSatisfy { $0.key == "SHOP/h:shop:8081" && $0.service == "SHOP" })
    }

    @Test("status overrides and metadata are changes of an instance") func changes() {
        let heard = Eureka().hear([
            Exchange("PUT", "/eureka/apps/A/i/status?value=OUT_OF_SERVICE"),
            Exchange("DELETE", "/eureka/apps/A/i/status?value=UP"), Exchange("DELETE", "/eureka/apps/A/i/status"),
            Exchange("PUT", "/eureka/apps/A/i/metadata?color=blue&x=y%20z"),
        ])
        #expect(heard.map(\.op) == [.status, .status, .status, .status])
        #expect(heard.map(\.status) == ["OUT_OF_SERVICE", "UP", nil, nil])
        #expect(heard.last?.meta == ["color": "blue", "x": "y z"] && heard.last?.update == true)
    }

    @Test(
        "fetching",
        arguments: [
            ("/eureka/apps", nil, nil), ("/eureka/apps/", nil, nil), ("/eureka/apps/delta?regions=x", nil, nil),
            ("/eureka/v2/apps/shop", "SHOP", nil), ("/eureka/apps/shop/i1", "SHOP", "i1"),
            ("/eureka/vips/store", "SHOP", nil), ("/eureka/vips/other", "other", nil),
            ("/eureka/svips/Shop", "SHOP", nil), ("/eureka/instances/h%3Ashop%3A8081", "SHOP", "h:shop:8081"),
            ("/eureka/instances/x", nil, "x"),
        ] as [(String, String?, String?)])
    func discovery(path: String, service: String?, id: String?) {
        let eureka = Eureka()
        _ = eureka.hear([Exchange("POST", "/eureka/apps/SHOP", Self.json, status: 204)])
        let heard = eureka.hear([Exchange("GET", path, answer: nil)])
        #expect(heard.map(\.op) == [.discover] && heard.first?.accepted == true)
        #expect(heard.first?.service == service && heard.first?.id == id)
        #expect(eureka.hear([Exchange("GET", "/eureka/vips/store")], at: .other).first?.service == "store")
    }

    @Test(
        "what is no such request, or no instance, is nothing",
        arguments: [
            ("POST", "/other/eureka-apps/X", json), ("GET", "/", ""), ("GET", "/eureka/", ""),
            ("GET", "/eureka/css/a", ""),
            ("POST", "/eureka/apps", json), ("POST", "/eureka/apps/X/y", json), ("PUT", "/eureka/apps/X", ""),
            ("DELETE", "/eureka/apps/X", ""), ("PUT", "/eureka/apps/X/y/other", ""),
            ("POST", "/a/b/c/d/e/apps/X", json),
            ("POST", "/eureka/apps/X", ""), ("POST", "/eureka/apps/X", "{}"), ("POST", "/eureka/apps/X", "<a/>"),
            ("POST", "/eureka/apps/X", #"{"instance":[]}"#), ("POST", "/eureka/apps/X", #"{"instance":{"app":"X"}}"#),
            ("POST", "/eureka/apps/X", "<instance><app>X</app></instance>"), ("POST", "/eureka/vips/X", json),
            ("POST", "/eureka/apps/X", "<!DOCTYPE instance [<!ENTITY e 'x'>]>" + xml), ("GET", "/eureka/vips/a/b", ""),
        ])
    func negatives(method: String, path: String, body: String) {
        #expect(Eureka().hear([Exchange(method, path, body)]) == [])
    }

    @Test("hostile instances leave the field out") func hostile() throws {
        let long = String(repeating: "x", count: 600)
        let bodies = [
            #"{"instance":{"hostName":"h","ipAddr":"rm -rf /","port":{"$":-1},"status":7,"leaseInfo":[],"metadata":"x"}}"#,
            #"{"instance":{"hostName":"h","ipAddr":{},"port":{"$":1e9},"leaseInfo":{"durationInSecs":-5}}}"#,
            #"{"instance":{"hostName":"h","hostname":"i","HostName":"h","instanceId":"\#(long)"}}"#,
            "<instance><hostName>h</hostName><ipAddr>a b</ipAddr><port>99999999999999999999</port>"
                + "<leaseInfo><durationInSecs>0</durationInSecs></leaseInfo></instance>",
            "<instance><hostName>h</hostName><hostName>i</hostName><port/><instanceId>\(long)</instanceId></instance>",
        ]
        for body in bodies {
            let told = try #require(Eureka().hear([Exchange("POST", "/eureka/apps/X", body, status: 204)]).first)
            #expect(told.id == "h" && told.service == "X" && told.address == nil && told.port == nil)
            #expect(told.ttlSeconds == nil && told.meta == nil)
        }
        let deep = String(repeating: "<metadata>", count: 5000)
        #expect(Eureka().hear([Exchange("POST", "/eureka/apps/X", "<instance>" + deep)]) == [])
        #expect(Eureka().hear([Exchange("DELETE", "/eureka/apps/X/\(long)")]) == [])
    }

    @Test("metadata names that XML does not allow") func escaped() {
        let body = "<instance><hostName>h</hostName><metadata><a__b>1</a__b><c_-d>2</c_-d><e.f/></metadata></instance>"
        let told = Eureka().hear([Exchange("POST", "/eureka/apps/X", body, status: 204)]).first
        #expect(told?.meta == ["a_b": "1", "c$d": "2", "e.f": ""])
    }
}
