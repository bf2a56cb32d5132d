import Model
import Testing

@testable import Agent

@Suite("Declared documents") struct DocumentsTests {
    let networks = [
        Config.Network(name: "default", id: NetworkID(0), vips: IPv4Prefix("10.99.0.0/24")),
        Config.Network(name: "blue", id: NetworkID(7)),
    ]

    func problems(_ text: String) -> [String] {
        do {
            _ = try Documents.parse(text, file: "d.yaml", networks: networks)
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test("a service and its policy are read from one file") func both() throws {
        let text = """
            kind: Service
            name: web/front
            namespace: prod
            network: blue
            runsIn: vm
            instances:
              - {address: 10.0.0.11, port: 80}
              - {address: 10.0.0.12, port: 5353, protocol: udp}
            ---
            # nothing
            ---
            kind: Policy
            service: web/front
            namespace: prod
            network: blue
            rules:
              - deny: {from: 10.0.0.0/8, port: 80, protocol: tcp}
              - allow: {from: any}
            """
        let list = try Documents.parse(text, file: "d.yaml", networks: networks).list
        let id = ServiceID(network: NetworkID(7), namespace: "prod", name: "web/front")
        let instances = try ["10.0.0.11:80/tcp", "10.0.0.12:5353/udp"].map { text in
            let parts = text.split(whereSeparator: { $0 == ":" || $0 == "/" }).map(String.init)
            return InstanceID(
                network: NetworkID(7), address: try #require(IPAddress(parts[0])), port: try #require(UInt16(parts[1])),
                proto: try #require(TransportProtocol(rawValue: parts[2])))
        }
        let ten = try #require(IPv4Prefix("10.0.0.0/8"))
        #expect(
            list == [
                .service(DeclaredService(id: id, instances: instances, runsIn: .vm)),
                .policy(
                    id,
                    PolicyRules(rules: [
                        .init(action: .deny, source: ten, port: 80, proto: .tcp), .init(action: .allow, source: .any),
                    ])),
            ])
    }

    @Test(
        "what is wrong is told on its line, and the file refused whole",
        arguments: [
            ("kind: Sevice\nname: a", "d.yaml:1:7: unknown kind 'Sevice'; did you mean 'Service'?"),
            ("name: a", "needs a 'kind'"),
            ("kind: Service\ninstances: []", "'name' is missing"),
            ("kind: Service\nname: a", "'instances' is missing"),
            ("kind: Service\nname: a\ninstances: [{address: 10.0.0.1}]", "'port' is missing"),
            ("kind: Service\nname: a\ninstances: [{port: 1}]", "'address' is missing"),
            ("kind: Service\nname: a\ninstances: [{address: 10.0.0.1, port: 70000}]", "d.yaml:3:"),
            (
                "kind: Service\nname: a\ninstances: [{address: 127.0.0.1, port: 1}]",
                "no address that a service can have"
            ),
            (
                "kind: Service\nname: a\ninstances: [{address: 10.99.0.1, port: 1}]",
                "lies in the VIP range 10.99.0.0/24"
            ),
            (
                "kind: Service\nname: a\ninstances: [{address: 10.0.0.1, port: 1}, {address: 10.0.0.1, port: 1}]",
                "given twice"
            ),
            ("kind: Service\nname: a\nrunsIn: unknown\ninstances: []", "must be vm or container"),
            ("kind: Service\nname: ''\ninstances: []", "must have 1 to 255 bytes"),
            ("kind: Service\nname: a\nnetwork: blu\ninstances: []", "unknown network 'blu'; did you mean 'blue'?"),
            ("kind: Policy\nservice: a", "'rules' is missing"),
            ("kind: Policy\nservice: a\nrules: [{}]", "d.yaml:3:9: rules[0]: a rule is either"),
            ("kind: Policy\nservice: a\nrules: [{deny: {from: any}, allow: {from: any}}]", "a rule is either"),
            ("kind: Policy\nservice: a\nrules: [{deny: {}}]", "'from' is missing"),
            ("kind: Policy\nservice: a\nrules: [{deny: {from: 10.0.0.1/8}}]", "no IPv4 range"),
            ("kind: Policy\nservice: a\nrules: [{deny: {from: any, ports: 3}}]", "unknown key 'ports'"),
            (
                "kind: Policy\nservice: a\nrules: []\n---\nkind: Policy\nservice: a\nrules: []",
                "a second Policy for 'a'"
            ),
            ("", "holds no document"),
            ("kind: Policy\nservice: a\nrules: []\n---\n]", "d.yaml:5:"),
        ]) func mistakes(text: String, expected: String)
    {
        let found = problems(text)
        #expect(found.contains { $0.contains(expected) }, "\(found)")
    }

    @Test("half a policy is no policy: the good rules of a bad file do not come through") func refusedWhole() {
        let text = "kind: Policy\nservice: a\nrules: [{deny: {from: any}}, {deny: {from: nowhere}}]"
        #expect(throws: ProblemList.self) { try Documents.parse(text, file: "d", networks: networks) }
    }
}
