import Model
import Testing

@testable import Registries

@Suite("Mutated requests") struct MutatedTests {
    private static var exchanges: [(any HTTPDialect.Type, [Exchange])] {
        [
            (
                Consul.self,
                [
                    Exchange(
                        "PUT", "/v1/agent/service/register?ns=a",
                        #"{"Name":"w","Port":80,"Ports":[{"Name":"p","Port":1}],"Connect":{"SidecarService":{}},"Check":{"TTL":"5s"}}"#
                    ),
                    Exchange("PUT", "/v1/agent/check/pass/service:w"),
                    Exchange("GET", "/v1/agent/service/deregister/w"),
                    Exchange(
                        "PUT", "/v1/txn", #"[{"Service":{"Verb":"set","Node":"n","Service":{"Service":"x","Port":1}}}]"#
                    ),
                    Exchange("PUT", "/v1/catalog/register", #"{"Node":"n","Address":"a","Service":{"Service":"x"}}"#),
                ]
            ),
            (
                Eureka.self,
                [
                    Exchange(
                        "POST", "/eureka/apps/A",
                        #"{"instance":{"hostName":"h","ipAddr":"10.0.0.1","port":{"$":80,"@enabled":"true"},"metadata":{"a":1}}}"#
                    ),
                    Exchange(
                        "POST", "/eureka/apps/A",
                        "<instance><hostName>h</hostName><port enabled='true'>80</port></instance>"),
                    Exchange("PUT", "/eureka/apps/A/h?status=UP"),
                    Exchange("DELETE", "/eureka/apps/A/h/status?value=UP"),
                ]
            ),
            (
                Nacos.self,
                [
                    Exchange(
                        "POST", "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=80", "metadata=a%3D1&weight=1.0"),
                    Exchange(
                        "PUT", "/nacos/v1/ns/instance/beat?serviceName=s&beat=%7B%22ip%22%3A%22a%22%2C%22port%22%3A1%7D"
                    ),
                ]
            ),
            (
                UDDI.self,
                [
                    Exchange(
                        "POST", UDDITests.path,
                        UDDITests.v2(
                            "save_service", UDDITests.service("s", "Q", UDDITests.binding("b", "http://10.0.0.1/"))),
                        answer: UDDITests.v2("serviceDetail", UDDITests.service("s", "Q"))),
                    Exchange("POST", UDDITests.path, UDDITests.v2("delete_service", "<serviceKey>s</serviceKey>")),
                ]
            ),
        ]
    }

    @Test("no request crashes a dialect, whatever became of its bytes", arguments: 0..<16) func mutated(seed: Int) {
        var random = SplitMix(seed: UInt64(seed))
        for (type, exchanges) in Self.exchanges {
            let dialect: any HTTPDialect = type.init()
            for _ in 0..<60 {
                guard var one = exchanges.randomElement(using: &random) else { continue }
                for _ in 0..<Int.random(in: 1...4, using: &random) { Self.mutate(&one, &random) }
                let told = dialect.hear([one])
                #expect(told.count <= 512 && told.allSatisfy { $0.port.map { (0...65535).contains($0) } ?? true })
            }
        }
    }

    private static func mutate(_ one: inout Exchange, _ random: inout SplitMix) {
        var body = one.request.body ?? []
        switch Int.random(in: 0..<6, using: &random) {
        case 0: body = Array(body.prefix(Int.random(in: 0...body.count, using: &random)))
        case 1:
            guard let place = body.indices.randomElement(using: &random) else { break }
            body.insert(contentsOf: body[place...].prefix(40), at: place)
        case 2: one.request.path.swapAt(0, one.request.path.count - 1)
        case 3:
            if let key = one.request.query.keys.sorted().randomElement(using: &random) {
                one.request.query[key] = String(repeating: "9", count: Int.random(in: 0...30, using: &random))
            }
        case 4: one.answer = HTTPAnswer(status: Int.random(in: 100...599, using: &random), body: body)
        default:
            guard let place = body.indices.randomElement(using: &random) else { break }
            body[place] = UInt8.random(in: 0...255, using: &random)
        }
        one.request.body = body
    }
}
