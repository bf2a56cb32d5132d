import Model
import Testing

@testable import Registries

@Suite("UDDI") struct UDDITests {
    static let path = "/juddi/publish"

    static func soap(_ message: String) -> String {
        """
        <?xml version="1.0" encoding="UTF-8"?>
        <soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>\(message)\
        </soapenv:Body></soapenv:Envelope>
        """
    }

    static func v2(_ name: String, _ content: String, _ attributes: String = "") -> String {
        soap("<\(name) generic=\"2.0\" xmlns=\"urn:uddi-org:api_v2\" \(attributes)>\(content)</\(name)>")
    }

    static func binding(_ key: String, _ url: String, service: String = "s-1") -> String {
        """
        <bindingTemplate bindingKey="\(key)" serviceKey="\(service)"><description xml:lang="en">d</description>
        <accessPoint URLType="http">\(url)</accessPoint><tModelInstanceDetails/></bindingTemplate>
        """
    }

    static func service(_ key: String, _ name: String, _ bindings: String...) -> String {
        """
        <businessService serviceKey="\(key)" businessKey="b-1"><name xml:lang="en">\(name)</name>
        <description xml:lang="en">quotes</description><bindingTemplates>\(bindings.joined())</bindingTemplates>
        <categoryBag/></businessService>
        """
    }

    private static let done = v2("dispositionReport", #"<result errno="0"><errInfo errCode="E_success"/></result>"#)
    private static let refused = soap(
        """
        <soapenv:Fault><faultcode>Client</faultcode><faultstring>Client Error</faultstring><detail><dispositionReport
        generic="2.0" xmlns="urn:uddi-org:api_v2"><result errno="10120"><errInfo errCode="E_authTokenRequired">no
        </errInfo></result></dispositionReport></detail></soapenv:Fault>
        """)

    /// Saved with two bindings; the answer gives the keys.
    private func saved(_ uddi: UDDI) -> [Advertisement] {
        let request = Self.v2(
            "save_service",
            "<authInfo>secret</authInfo>"
                + Self.service(
                    "", "StockQuote", Self.binding("", "http://10.0.0.1:8080/quote", service: ""),
                    Self.binding("", "https://10.0.0.2/quote", service: "")))
        let answer = Self.v2(
            "serviceDetail",
            Self.service(
                "s-1", "StockQuote", Self.binding("b-1", "http://10.0.0.1:8080/quote"),
                Self.binding("b-2", "https://10.0.0.2/quote")))
        return uddi.hear([Exchange("POST", Self.path, request, answer: answer)])
    }

    @Test("a service is saved with its bindings; where they are is in their URLs, and keys are in the answer")
    func whole() {
        let heard = saved(UDDI())
        #expect(
            heard.map(\.summary) == [
                "register StockQuote b-1 10.0.0.1:8080 true", "register StockQuote b-2 10.0.0.2:443 true",
            ])
        #expect(heard.map(\.protocol) == ["http", "https"] && heard.allSatisfy { $0.serviceId == "s-1" })
        #expect(heard.allSatisfy { $0.update == nil && $0.accepted == true })
    }

    @Test("deletions name what their keys stood for, once") func deletions() {
        let uddi = UDDI()
        _ = saved(uddi)
        let binding = Exchange(
            "POST", Self.path, Self.v2("delete_binding", "<authInfo/><bindingKey>b-1</bindingKey>"), answer: Self.done)
        let service = Exchange(
            "POST", Self.path, Self.v2("delete_service", "<serviceKey> s-1 </serviceKey>"), answer: Self.done)
        var heard = uddi.hear([binding])
        #expect(heard.map(\.summary) == ["deregister StockQuote b-1 10.0.0.1:8080 true"])
        #expect(heard.first?.serviceId == "s-1")
        #expect(uddi.hear([binding]).map(\.summary) == ["deregister b-1 true"])
        #expect(uddi.hear([service], at: .other).map(\.summary) == ["deregister s-1 true"])
        heard = uddi.hear([service])
        #expect(heard.map(\.summary) == ["deregister StockQuote b-2 10.0.0.2:443 true"])
        #expect(uddi.hear([service]).map(\.summary) == ["deregister s-1 true"])
    }

    @Test("what is refused, by a fault or a report, changes nothing") func refusals() {
        let uddi = UDDI()
        _ = saved(uddi)
        let message = Self.v2("delete_service", "<serviceKey>s-1</serviceKey>")
        let report = Self.v2(
            "dispositionReport", #"<result errno="10210"><errInfo errCode="E_invalidKeyPassed"/></result>"#)
        let heard = uddi.hear([
            Exchange("POST", Self.path, message, status: 500, answer: Self.refused),
            Exchange("POST", Self.path, message, answer: Self.refused),
            Exchange("POST", Self.path, message, answer: report),
        ])
        #expect(heard.count == 6 && heard.allSatisfy { $0.accepted == false && $0.service == "StockQuote" })
        #expect(uddi.hear([Exchange("POST", Self.path, message, status: nil)]).map(\.accepted) == [nil, nil])
    }

    @Test("a binding is saved for a service that was heard of, or looked up") func bindings() {
        let uddi = UDDI()
        let save = Self.v2("save_binding", Self.binding("", "http://user@[fd00::1]:81/x"))
        let answer = Self.v2("bindingDetail", Self.binding("b-9", "http://[fd00::1]:81/x"))
        #expect(
            uddi.hear([Exchange("POST", Self.path, save, answer: answer)]).map(\.summary) == [
                "register b-9 fd00::1:81 true"
            ])
        let found = Self.v2(
            "serviceList",
            #"<serviceInfos><serviceInfo serviceKey="s-1" businessKey="b"><name>Quote</name></serviceInfo></serviceInfos>"#
        )
        let find = Self.v2("find_service", "<name>Quo%</name>", #"businessKey="b""#)
        #expect(uddi.hear([Exchange("POST", "/juddi/inquiry", find, answer: found)]).map(\.query) == ["Quo%"])
        let again = uddi.hear([Exchange("POST", Self.path, save, answer: answer)])
        #expect(again.map(\.summary) == ["register Quote b-9 fd00::1:81 true"])
        let gone = uddi.hear([
            Exchange("POST", Self.path, Self.v2("delete_binding", "<bindingKey>b-9</bindingKey>"), answer: Self.done)
        ])
        #expect(gone.map(\.summary) == ["deregister Quote b-9 fd00::1:81 true"])
    }

    @Test("a service that is saved again has no other bindings; a binding that is has not moved the others")
    func replaced() {
        let uddi = UDDI()
        _ = saved(uddi)
        let one = Self.v2("save_binding", Self.binding("b-1", "http://10.0.0.3:1/"))
        let moved = uddi.hear([
            Exchange(
                "POST", Self.path, one, answer: Self.v2("bindingDetail", Self.binding("b-1", "http://10.0.0.3:1/")))
        ])
        #expect(moved.map(\.summary) == ["register StockQuote b-1 10.0.0.3:1 true"] && moved.first?.update == true)
        let whole = Self.service("s-1", "StockQuote", Self.binding("b-1", "http://10.0.0.4:1/"))
        let heard = uddi.hear([
            Exchange("POST", Self.path, Self.v2("save_service", whole), answer: Self.v2("serviceDetail", whole))
        ])
        #expect(
            heard.map(\.summary) == [
                "register StockQuote b-1 10.0.0.4:1 true", "deregister StockQuote b-2 10.0.0.2:443 true",
            ])
    }

    @Test("looking up, by name, by key, or by a binding's") func discovery() {
        let uddi = UDDI()
        _ = saved(uddi)
        let heard = uddi.hear(
            [
                Self.v2("find_service", "<findQualifiers/><name>A</name><name>B</name>"),
                Self.v2("find_service", "<tModelBag/>"),
                Self.v2("get_serviceDetail", "<serviceKey>s-1</serviceKey><serviceKey>s-2</serviceKey>"),
                Self.v2("find_binding", "<tModelBag/>", #"serviceKey="s-1""#),
                Self.v2("get_bindingDetail", "<bindingKey>b-2</bindingKey>"),
            ].map { Exchange("POST", "/uddi/inquiry", $0) })
        #expect(heard.allSatisfy { $0.op == .discover })
        #expect(heard.map(\.service) == ["A", "B", nil, "StockQuote", nil, "StockQuote", "StockQuote"])
    }

    @Test("versions 1 and 3, and services saved with their business") func versions() {
        let content = Self.service("s", "Q", Self.binding("b", "http://10.0.0.1/"))
        let business =
            "<businessEntity businessKey=\"\"><name>n</name><businessServices>\(content)</businessServices></businessEntity>"
        let messages = [
            Self.soap("<save_service generic=\"1.0\" xmlns=\"urn:uddi-org:api\">\(content)</save_service>"),
            Self.soap("<u:save_service xmlns:u=\"urn:uddi-org:api_v3\">\(content)</u:save_service>"),
            Self.v2("save_business", business),
        ]
        let heard = messages.flatMap { UDDI().hear([Exchange("POST", Self.path, $0, answer: Self.done)]) }
        #expect(heard.map(\.summary) == Array(repeating: "register Q b 10.0.0.1:80 true", count: 3))
    }

    @Test(
        "an answer that is none of UDDI's agrees to nothing, whatever its status",
        arguments: [
            ("<html><body>Welcome</body></html>", 200, nil), ("", 200, nil), ("{}", 200, nil), (nil, 200, nil),
            (soap("<other/>"), 200, nil), (done, 200, true), (refused, 200, false), ("<html/>", 502, false),
        ] as [(String?, Int, Bool?)])
    func answers(body: String?, status: Int, accepted: Bool?) {
        let message = Self.v2("save_service", Self.service("s", "Q", Self.binding("b", "http://10.0.0.1/")))
        let heard = UDDI().hear([Exchange("POST", Self.path, message, status: status, answer: body)])
        #expect(heard.map(\.accepted) == [accepted])
    }

    @Test(
        "at a path of the registry's own, SOAP is known by what stands in it",
        arguments: [
            (["SOAPAction: \"\""], true), (["Content-Type: text/xml; charset=utf-8"], true), ([], false),
        ] as [([String], Bool)])
    func paths(headers: [String], isHeard: Bool) {
        var wire = Wire(registryPort: 8080)
        wire.open()
        let message = Self.v2("find_service", "<name>Quote</name>")
        for body in [message, Self.soap("<getQuote xmlns=\"urn:other\"/>")] {
            wire.ask(HTTP.request("POST", "/RegistryService", body, headers: headers))
            wire.answer(HTTP.answer(200, Self.v2("serviceList", "<serviceInfos/>")))
        }
        var listening = Listening()
        let heard = listening.hear(wire.take())
        #expect(heard.map(\.summary) == (isHeard ? ["discover Quote true"] : []))
    }

    @Test(
        "access points that lead nowhere",
        arguments: [
            "", "mailto:a@b", "http://", "http://:80/", "http://10.0.0.1:99999/", "x://10.0.0.1", "http://a b/",
            "+1 555",
        ])
    func nowhere(url: String) {
        let message = Self.v2("save_service", Self.service("s", "Q", Self.binding("b", url)))
        let heard = UDDI().hear([Exchange("POST", Self.path, message, answer: Self.done)])
        #expect(heard.map(\.summary) == ["register Q b true"] && heard.first?.port == nil)
    }

    @Test(
        "what is no message of its, or none that counts, is nothing",
        arguments: [
            "", "<a/>", soap(""), soap("<save_service xmlns=\"urn:other\"/>"), v2("get_authToken", ""),
            v2("save_tModel", "<tModel/>"), v2("save_service", ""), v2("delete_service", "<serviceKey> </serviceKey>"),
            "<!DOCTYPE a [<!ENTITY e 'x'>]>" + v2("save_service", service("s", "Q", binding("b", "http://10.0.0.1/"))),
            v2("save_service", service("s", "Q", binding("b", "http://10.0.0.1/"))) + "<",
            String(repeating: "<a xmlns='urn:uddi-org:api'>", count: 5000),
        ])
    func negatives(body: String) { #expect(UDDI().hear([Exchange("POST", Self.path, body)]) == []) }

    @Test("no message has a length that its sender decides") func bounded() {
        let many = (0..<2000).map { Self.binding("b\($0)", "http://10.0.0.1:\($0 + 1)/") }.joined()
        let heard = UDDI().hear([Exchange("POST", Self.path, Self.v2("save_service", Self.service("s", "Q", many)))])
        #expect(heard.count <= UDDI.mostEntries)
        let keys = (0..<3000).map { "<serviceKey>k\($0)</serviceKey>" }.joined()
        #expect(UDDI().hear([Exchange("POST", Self.path, Self.v2("delete_service", keys))]).count == UDDI.mostEntries)
    }
}
