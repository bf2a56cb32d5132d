import Model
import Packets
import Testing

@testable import Registries

@Suite("DNS") struct DNSTests {
    private func ask(_ name: String, _ type: DNSType, id: UInt16 = 7) -> DNSWire {
        DNSWire(DNSWire.query, id: id).asking(name, type)
    }

    // MARK: - Discovery

    @Test(
        "questions for services are discovery",
        arguments: [
            ("web1.svc.example", DNSType.a, "web1.svc.example"), ("web1.svc.example", .aaaa, "web1.svc.example"),
            ("_http._tcp.svc.example", .service, "_http._tcp.svc.example"),
            ("web.service.consul", .service, "web.service.consul"),
            ("api.example", .https, "api.example"), ("_8443._foo.api.example", .binding, "_8443._foo.api.example"),
            ("_http._tcp.svc.example", .pointer, "_http._tcp.svc.example"),
            ("_Printer._sub._http._tcp.example", .pointer, "_http._tcp.example"),
            ("My Web._http._tcp.example", .text, "my\\032web._http._tcp.example"),
            ("wEb.eXAMPle", .a, "web.example"), ("localhost.example", .a, "localhost.example"),
        ])
    func discovery(name: String, type: DNSType, service: String) {
        let told = DNSTalk().exchange(ask(name, type))
        #expect(told.map(\.service) == [service])
        #expect(told.first?.op == .discover && told.first?.registry == "dns" && told.first?.accepted == true)
    }

    @Test(
        "what keeps DNS, mail and certificates going is none",
        arguments: [
            ("2.0.77.10.in-addr.arpa", DNSType.pointer), ("1.0.0.ip6.ARPA", .pointer), ("ipv4only.arpa", .aaaa),
            ("example", DNSType(rawValue: 6)), ("example", DNSType(rawValue: 15)), ("example", .text), ("", .a),
            ("b._dns-sd._udp.example", .pointer), ("_acme-challenge.example", .text), ("example", .any),
            ("LocalHost", .a), ("web.localhost", .aaaa), ("a.Root-Servers.net", .a),
        ])
    func noDiscovery(name: String, type: DNSType) {
        #expect(DNSTalk().exchange(ask(name, type)).isEmpty)
    }

    @Test("whoever asks for the types there are, names none") func enumeration() {
        let told = DNSTalk().exchange(ask("_services._dns-sd._udp.example", .pointer))
        #expect(told.map(\.op) == [.discover])
        #expect(told.first?.service == nil && told.first?.query == "_services._dns-sd._udp.example PTR")
    }

    @Test("a name that is not there was asked for all the same; a refusal says no") func codes() {
        #expect(DNSTalk().exchange(ask("a.example", .a), code: 3).map(\.accepted) == [true])
        #expect(DNSTalk().exchange(ask("a.example", .a), code: 5).map(\.accepted) == [false])
        #expect(DNSTalk().exchange(ask("a.example", .a), code: 2).map(\.accepted) == [false])
    }

    @Test("a question is told with its answer, or without one once nobody waits any more") func patience() {
        var talk = DNSTalk()
        #expect(talk.hear(ask("a.example", .a)).isEmpty)
        #expect(talk.dns.deadline == talk.time + DNSExchanges.patience)
        #expect(talk.wait(.milliseconds(4999)).isEmpty)
        let told = talk.wait(.milliseconds(1))
        #expect(told.map(\.service) == ["a.example"])
        #expect(told.first?.accepted == .some(nil))
        #expect(talk.dns.deadline == nil)
        #expect(talk.wait(.seconds(60)).isEmpty)
    }

    @Test("a question that is repeated is one, another under its number a second") func repeats() {
        var talk = DNSTalk()
        #expect(talk.hear(ask("a.example", .a)).isEmpty)
        let first = talk.time
        talk.time = talk.time + .seconds(1)
        #expect(talk.hear(ask("a.example", .a)).isEmpty)
        let told = talk.told(ask("b.example", .a))
        #expect(told.map(\.advertisement.service) == ["a.example"])
        #expect(told.first?.origin.time == first)
        #expect(talk.wait(.seconds(5)).map(\.service) == ["b.example"])
    }

    @Test("an answer belongs to the guest, port and number that asked") func pairing() {
        var talk = DNSTalk()
        _ = talk.hear(ask("a.example", .a))
        let answer = DNSWire(DNSWire.answer, id: 8).asking("a.example", .a)
        #expect(talk.hear(answer, fromGuest: false).isEmpty)
        talk.guestPort = 40_001
        #expect(talk.hear(DNSWire(DNSWire.answer), fromGuest: false).isEmpty)
        talk.guestPort = 40_000
        talk.guest = "10.77.0.12"
        #expect(talk.hear(DNSWire(DNSWire.answer), fromGuest: false).isEmpty)
        talk.guest = "10.77.0.11"
        #expect(talk.hear(DNSWire(DNSWire.answer), fromGuest: false).map(\.accepted) == [true])
    }

    @Test("a guest's own answers are no answers to it, and a server's questions none of a guest") func direction() {
        let talk = DNSTalk()
        _ = talk.hear(ask("a.example", .a))
        #expect(talk.hear(DNSWire(DNSWire.answer), fromGuest: true).isEmpty)
        #expect(talk.hear(ask("b.example", .a, id: 9), fromGuest: false).isEmpty)
        #expect(talk.dns.deadline != nil)
    }

    @Test("between two servers' own ports the answer is known by what it says") func forwarders() {
        var talk = DNSTalk()
        talk.guestPort = 53
        _ = talk.told(ask("a.example", .a))
        let answer = DNSWire(DNSWire.answer).asking("a.example", .a)
        let back = talk.dns.hear(
            Datagram(
                bytes: answer.bytes[...], guest: talk.server.address, guestPort: 53, fromGuest: true,
                origin: talk.origin),
            of: RegistryPlace(network: NetworkID(0), address: talk.address, port: 53))
        #expect(back.map(\.advertisement.accepted) == [true])
        #expect(back.first?.guest == talk.address && back.first?.registry == talk.server)
    }

    @Test("what nobody answers is bounded: the oldest is told without an answer") func bounded() {
        var talk = DNSTalk()
        var told = 0
        for round in 0..<20_000 {
            talk.guestPort = UInt16(1024 + round)
            told += talk.hear(ask("a.example", .a)).count
        }
        #expect(told == 20_000 - 16_384)
    }

    // MARK: - Updates

    private static let zone = DNSType(rawValue: 6)
    private var update: DNSWire { DNSWire(DNSWire.update).asking("svc.example", Self.zone) }

    private func adding(_ name: String, _ address: String, to message: DNSWire? = nil) -> DNSWire {
        (message ?? update).with(.authority, name, address.contains(":") ? .aaaa : .a, DNSWire.address(address))
    }

    private let service = DNSWire.target("node-a.svc.example", 8700, priority: 5, weight: 10)

    @Test("an address and a service that leads to it are registered each for itself") func registration() throws {
        let told = DNSTalk().exchange(
            adding("node-a.svc.example", "10.77.0.221").with(.authority, "_api._tcp.svc.example", .service, service))
        #expect(
            told.map(\.summary) == [
                "register node-a.svc.example 10.77.0.221:- true",
                "register _api._tcp.svc.example node-a.svc.example:8700 true",
            ])
        let api = try #require(told.last)
        #expect(api.registry == "dns-update" && api.zone == "svc.example" && api.ttlSeconds == 120)
        #expect(api.protocol == "tcp" && api.priority == 5 && api.weight == 10)
        #expect(api.addresses == ["10.77.0.221"] && api.key == "_api._tcp.svc.example SRV:")
    }

    @Test("a service registered before its host has an address is told again with it") func hostLater() {
        let talk = DNSTalk()
        let early = talk.exchange(update.with(.authority, "_api._tcp.svc.example", .service, service))
        #expect(early.map(\.addresses) == [nil])
        let told = talk.exchange(adding("Node-A.svc.example", "fd77::21"))
        #expect(told.map(\.service) == ["node-a.svc.example", "_api._tcp.svc.example"])
        #expect(told.last?.addresses == ["fd77::21"])
    }

    @Test("what is refused is told so and changes nothing", arguments: [5, 6, 8, 9, 10] as [UInt16])
    func refused(code: UInt16) {
        let talk = DNSTalk()
        let told = talk.exchange(adding("node-a.svc.example", "10.77.0.221"), code: code)
        #expect(told.map(\.accepted) == [false])
        let api = talk.exchange(update.with(.authority, "_api._tcp.svc.example", .service, service))
        #expect(api.map(\.addresses) == [nil])
    }

    @Test("a host whose new address is refused has not moved, and neither has what leads to it") func refusedMove() {
        let talk = DNSTalk()
        _ = talk.exchange(
            adding("node-a.svc.example", "10.77.0.221").with(.authority, "_api._tcp.svc.example", .service, service))
        let told = talk.exchange(adding("node-a.svc.example", "10.77.0.222"), code: 5)
        #expect(told.map(\.summary) == ["register node-a.svc.example 10.77.0.222:- false"])
    }

    @Test("an update whose answer was not seen may have been accepted") func unseen() {
        var talk = DNSTalk()
        #expect(talk.hear(adding("node-a.svc.example", "10.77.0.221")).isEmpty)
        let told = talk.wait(.seconds(5))
        #expect(told.map(\.summary) == ["register node-a.svc.example 10.77.0.221:- unseen"])
    }

    @Test("deleting a record, a type or a name says what it was") func deletion() {
        let both = adding("node-a.svc.example", "10.77.0.221")
        let deletions: [(DNSWire, [String?])] = [
            (
                update.with(.authority, "node-a.svc.example", .a, [10, 77, 0, 221], ttl: 0, class: 254),
                ["10.77.0.221"]
            ),
            (update.with(.authority, "node-a.svc.example", .a, [], ttl: 0, class: 255), ["10.77.0.221"]),
            (
                update.with(.authority, "node-a.svc.example", .any, [], ttl: 0, class: 255),
                ["10.77.0.221", "fd77::21"]
            ),
            (update.with(.authority, "node-a.svc.example", .aaaa, [], ttl: 0, class: 255), ["fd77::21"]),
        ]
        for (deletion, gone) in deletions {
            let talk = DNSTalk()
            let registered = talk.exchange(adding("node-a.svc.example", "fd77::21", to: both))
            let told = talk.exchange(deletion)
            #expect(told.map(\.address) == gone)
            #expect(told.allSatisfy { $0.op == .deregister && $0.accepted == true })
            #expect(Set(told.map(\.key)).isSubset(of: Set(registered.map(\.key))))
        }
    }

    @Test("a service's deletion names its port") func serviceDeletion() {
        let talk = DNSTalk()
        let registered = talk.exchange(update.with(.authority, "_api._tcp.svc.example", .service, service))
        let told = talk.exchange(
            update.with(.authority, "_api._tcp.svc.example", .service, service, ttl: 0, class: 254))
        #expect(told.map(\.summary) == ["deregister _api._tcp.svc.example node-a.svc.example:8700 true"])
        #expect(told.first?.key == registered.first?.key)
    }

    @Test("what was registered before anybody listened is deleted by the beginning of its keys") func unknown() {
        let talk = DNSTalk()
        let name = talk.exchange(update.with(.authority, "node-a.svc.example", .any, [], ttl: 0, class: 255))
        #expect(name.map(\.key) == ["node-a.svc.example "])
        let type = talk.exchange(update.with(.authority, "node-a.svc.example", .a, [], ttl: 0, class: 255))
        #expect(type.map(\.key) == ["node-a.svc.example A:"])
        let one = talk.exchange(
            update.with(.authority, "_api._tcp.svc.example", .service, service, ttl: 0, class: 254))
        #expect(one.map(\.key) == ["_api._tcp.svc.example SRV:"])
        #expect((name + type + one).allSatisfy { $0.op == .deregister && $0.id == nil })
    }

    @Test("a name of a reverse zone that is deleted was none") func reverse() {
        let gone = DNSTalk().exchange(
            update.with(.authority, "11.0.77.10.in-addr.arpa", .any, [], ttl: 0, class: 255))
        #expect(gone.isEmpty)
    }

    @Test("deleting and adding in one update replaces, and what leads there follows") func replacement() {
        let talk = DNSTalk()
        let first = talk.exchange(
            adding("node-a.svc.example", "10.77.0.221").with(.authority, "_api._tcp.svc.example", .service, service))
        let told = talk.exchange(
            adding(
                "node-a.svc.example", "10.77.0.222",
                to: update.with(.authority, "node-a.svc.example", .a, [], ttl: 0, class: 255)))
        #expect(told.map(\.op) == [.register, .register])
        #expect(told.map(\.key) == first.map(\.key))
        #expect(told.first?.update == true && told.first?.address == "10.77.0.222")
        #expect(told.last?.addresses == ["10.77.0.222"])
    }

    @Test("deleting and adding the same is a renewal") func renewal() {
        let talk = DNSTalk()
        let first = talk.exchange(adding("node-a.svc.example", "10.77.0.221"))
        let again = adding(
            "node-a.svc.example", "10.77.0.221",
            to: update.with(.authority, "node-a.svc.example", .any, [], ttl: 0, class: 255))
        #expect(talk.exchange(again) == first)
    }

    @Test("several addresses of one name are as many registrations") func roundRobin() {
        let talk = DNSTalk()
        let told = talk.exchange(
            adding("web.svc.example", "10.0.0.2", to: adding("web.svc.example", "10.0.0.1")))
        #expect(told.map(\.key) == ["web.svc.example A:", "web.svc.example A: 10.0.0.2"])
        let fewer = talk.exchange(
            update.with(.authority, "web.svc.example", .a, [10, 0, 0, 1], ttl: 0, class: 254))
        #expect(fewer.map(\.key) == ["web.svc.example A:"])
    }

    @Test("prerequisites and signatures are not what is registered") func signed() {
        let signature = DNSWire.name("hmac-sha256") + [UInt8](repeating: 1, count: 42)
        let signed = adding("node-a.svc.example", "10.77.0.221")
            .with(.answer, "node-b.svc.example", .a, [10, 77, 0, 9], ttl: 0)
            .with(.additional, "key.example", .signature, signature, ttl: 0, class: 255)
        #expect(DNSTalk().exchange(signed).map(\.address) == ["10.77.0.221"])
    }

    @Test("an instance of DNS-SD is registered under its type, with its texts") func instances() throws {
        let talk = DNSTalk()
        let told = talk.exchange(
            update.with(.authority, "My Web._http._tcp.svc.example", .service, service)
                .with(.authority, "My Web._http._tcp.svc.example", .text, DNSWire.texts("path=/a"))
                .with(.authority, "_http._tcp.svc.example", .pointer, DNSWire.name("My Web._http._tcp.svc.example")))
        let one = try #require(told.first)
        #expect(told.count == 1)
        #expect(one.service == "_http._tcp.svc.example" && one.id == "My\\032Web._http._tcp.svc.example")
        #expect(one.instance == "My Web" && one.meta == ["path": "/a"])
    }

    @Test("a lease that an update asks for is how long it stands") func lease() {
        let told = DNSTalk().exchange(
            adding("node-a.svc.example", "10.77.0.221")
                .with(.additional, "", .options, [0, 2, 0, 4, 0, 0, 14, 16], ttl: 0, class: 1232))
        #expect(told.map(\.ttlSeconds) == [3600])
    }

    @Test("a binding registers its name; one that is not offered does not") func bindings() {
        let https = DNSTalk().exchange(
            update.with(.authority, "api.svc.example", .https, [0, 1, 0, 0, 3, 0, 2, 0x20, 0xfb]))
        #expect(https.map(\.summary) == ["register api.svc.example api.svc.example:8443 true"])
        let nowhere = update.with(.authority, "_a._tcp.svc.example", .service, DNSWire.target("", 0))
            .with(.authority, "b.svc.example", .https, [0, 0] + DNSWire.name("c.svc.example"))
        #expect(DNSTalk().exchange(nowhere).isEmpty)
    }
}
