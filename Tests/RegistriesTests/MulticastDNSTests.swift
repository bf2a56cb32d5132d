import Model
import Packets
import Testing

@testable import Registries

@Suite("Multicast DNS") struct MulticastDNSTests {
    private let query = DNSWire()
    private let said = DNSWire(DNSWire.answer)
    private static let web = "My Web/2._http._tcp.local"

    private func service(_ message: DNSWire? = nil, port: UInt16 = 8080, ttl: UInt32 = 120) -> DNSWire {
        (message ?? said)
            .with(.answer, "_http._tcp.local", .pointer, DNSWire.name(Self.web), ttl: ttl)
            .with(.answer, Self.web, .service, DNSWire.target("host.local", port), ttl: ttl, class: 0x8001)
    }

    private func host(_ address: String, _ message: DNSWire? = nil, ttl: UInt32 = 120, flush: Bool = true) -> DNSWire {
        (message ?? said).with(
            .additional, "Host.local", address.contains(":") ? .aaaa : .a, DNSWire.address(address), ttl: ttl,
            class: flush ? 0x8001 : 1)
    }

    @Test("an announcement is a registration, with all that it says") func announcement() throws {
        let talk = MulticastTalk()
        let message = host("10.77.0.11", service()).with(
            .answer, Self.web, .text, DNSWire.texts("path=/a", "v=1"), class: 0x8001)
        let told = talk.hear(message)
        #expect(told.count == 1)
        let one = try #require(told.first)
        #expect(one.registry == "mdns" && one.op == .register && one.service == "_http._tcp.local.")
        #expect(one.id == "My Web.2._http._tcp.local." && one.instance == "My Web.2" && one.protocol == "tcp")
        #expect(one.address == "10.77.0.11" && one.port == 8080 && one.host == "host.local.")
        #expect(one.meta == ["path": "/a", "v": "1"] && one.ttlSeconds == 120)
        #expect(one.accepted == nil)
        #expect(talk.hear(message) == told)
    }

    @Test("a probe registers nothing, whatever it carries, and nothing is asked for by it") func probe() {
        let talk = MulticastTalk()
        let probe = query.asking(Self.web, .any, class: 0x8001)
            .with(.authority, Self.web, .service, DNSWire.target("host.local", 8080))
            .with(.authority, "host.local", .a, [10, 77, 0, 11])
        #expect(talk.hear(probe).isEmpty)
        #expect(talk.hear(host("10.77.0.11")).isEmpty)
    }

    @Test("of a name that two hosts want, the one that defends it has it") func conflict() {
        let talk = MulticastTalk()
        let probe = query.asking(Self.web, .any)
            .with(.authority, Self.web, .service, DNSWire.target("other.local", 9999))
        #expect(talk.hear(probe, from: "10.77.0.12", mac: 0x0200_0000_000c).isEmpty)
        let told = talk.hear(host("10.77.0.11", service()))
        #expect(told.map(\.address) == ["10.77.0.11"])
    }

    @Test("a service is told once its host's address is known, whichever comes first") func order() {
        let talk = MulticastTalk()
        #expect(talk.hear(service()).isEmpty)
        #expect(
            talk.hear(host("10.77.0.241")).map(\.summary) == [
                "register _http._tcp.local. My Web.2._http._tcp.local. 10.77.0.241:8080 unseen"
            ])
        let other = MulticastTalk()
        #expect(other.hear(host("10.77.0.241")).isEmpty)
        #expect(other.hear(service()).map(\.address) == ["10.77.0.241"])
    }

    @Test("texts and subtypes that come later are told then, once") func later() {
        let talk = MulticastTalk()
        _ = talk.hear(host("10.77.0.11", service()))
        let texts = said.with(.answer, Self.web, .text, DNSWire.texts("v=2"))
        #expect(talk.hear(texts).map(\.meta) == [["v": "2"]])
        #expect(talk.hear(texts).isEmpty)
        let subtype = said.with(.answer, "_printer._sub._http._tcp.local", .pointer, DNSWire.name(Self.web))
        #expect(talk.hear(subtype).map(\.tags) == [["_printer"]])
        #expect(talk.hear(subtype).isEmpty)
    }

    @Test("texts before the service are kept for it") func textsFirst() {
        let talk = MulticastTalk()
        #expect(talk.hear(said.with(.answer, Self.web, .text, DNSWire.texts("v=2"))).isEmpty)
        #expect(talk.hear(host("10.77.0.11", service())).map(\.meta) == [["v": "2"]])
    }

    @Test("a goodbye of the pointer, the service or both is one deregistration") func goodbye() {
        let pointer = said.with(.answer, "_http._tcp.local", .pointer, DNSWire.name(Self.web), ttl: 0)
        let target = said.with(.answer, Self.web, .service, DNSWire.target("host.local", 8080), ttl: 0)
        for message in [pointer, target, host("10.77.0.11", service(ttl: 0), ttl: 0)] {
            let talk = MulticastTalk()
            _ = talk.hear(host("10.77.0.11", service()))
            let told = talk.hear(message)
            #expect(told.map(\.op) == [.deregister])
            #expect(told.first?.id == "My Web.2._http._tcp.local." && told.first?.service == "_http._tcp.local.")
            #expect(talk.hear(host("10.77.0.11", service())).map(\.op) == [.register])
        }
    }

    @Test("a goodbye in two messages is one, and whoever comes again can go again") func splitGoodbye() {
        let pointer = said.with(.answer, "_http._tcp.local", .pointer, DNSWire.name(Self.web), ttl: 0)
        let target = said.with(.answer, Self.web, .service, DNSWire.target("host.local", 8080), ttl: 0)
        let talk = MulticastTalk()
        for _ in 0..<2 {
            #expect(talk.hear(host("10.77.0.11", service())).map(\.op) == [.register])
            let told = talk.hear(pointer) + talk.hear(target)
            #expect(told.map(\.op) == [.deregister] && told.first?.port == 8080)
        }
    }

    @Test("who came before anybody listened can still say goodbye") func unknownGoodbye() {
        #expect(MulticastTalk().hear(service(ttl: 0)).map(\.id) == ["My Web.2._http._tcp.local."])
    }

    @Test("goodbyes of texts, subtypes and lists of types end nothing") func otherGoodbyes() {
        let talk = MulticastTalk()
        _ = talk.hear(host("10.77.0.11", service()))
        let message = said.with(.answer, Self.web, .text, [0], ttl: 0)
            .with(.answer, "_services._dns-sd._udp.local", .pointer, DNSWire.name("_http._tcp.local"), ttl: 0)
            .with(.answer, "_printer._sub._http._tcp.local", .pointer, DNSWire.name(Self.web), ttl: 0)
        #expect(talk.hear(message).isEmpty)
    }

    @Test("with its host's last address every instance on it is gone; with one of several it moves")
    func hostGoodbye() {
        let talk = MulticastTalk()
        _ = talk.hear(host("fd77::11", host("10.77.0.11", service())))
        let moved = talk.hear(host("10.77.0.11", ttl: 0))
        #expect(moved.map(\.op) == [.register])
        #expect(moved.first?.address == "fd77::11" && moved.first?.update == true)
        #expect(talk.hear(host("fd77::11", ttl: 0)).map(\.op) == [.deregister])
        #expect(talk.hear(host("fd77::11", ttl: 0)).isEmpty)
        #expect(talk.hear(host("10.77.0.13")).map(\.op) == [.register])
    }

    @Test("of several addresses the speaker's own is told, else one that can be routed") func addresses() {
        let all = host("fe80::11", host("10.99.0.1", host("10.77.0.11", host("fd77::11", service()))))
        #expect(MulticastTalk().hear(all).map(\.address) == ["10.77.0.11"])
        #expect(MulticastTalk().hear(all, from: "10.99.0.1").map(\.address) == ["10.99.0.1"])
        #expect(MulticastTalk().hear(all, from: "fd77::11").map(\.address) == ["10.77.0.11"])
        #expect(MulticastTalk().hear(all, from: "fe80::99").map(\.address) == ["10.77.0.11"])
        let six = host("fd77::11", host("fe80::11", service()))
        #expect(MulticastTalk().hear(six, from: "fe80::99").map(\.address) == ["fd77::11"])
        #expect(MulticastTalk().hear(six).first?.addresses == ["fe80::11", "fd77::11"])
    }

    @Test("a record that flushes replaces what is older than a second, of its own family") func flush() {
        var talk = MulticastTalk()
        _ = talk.hear(host("fd77::11", host("10.77.0.11", service())))
        #expect(talk.hear(host("10.77.0.12")).map(\.addresses) == [["10.77.0.11", "fd77::11", "10.77.0.12"]])
        talk.time = talk.time + .milliseconds(1001)
        let told = talk.hear(host("10.77.0.13"))
        #expect(told.map(\.addresses) == [["fd77::11", "10.77.0.13"]])
        talk.time = talk.time + .seconds(2)
        #expect(talk.hear(host("10.77.0.14", flush: false)).first?.addresses?.count == 3)
    }

    @Test("no host speaks for another's name") func otherHost() {
        let talk = MulticastTalk()
        _ = talk.hear(host("10.77.0.11", service()))
        #expect(talk.hear(host("10.66.6.6"), from: "10.77.0.66", mac: 0x0200_0000_0066).isEmpty)
        #expect(talk.hear(host("10.77.0.11", ttl: 0), from: "10.77.0.66", mac: 0x0200_0000_0066).isEmpty)
        #expect(talk.hear(service()).map(\.address) == ["10.77.0.11"])
    }

    @Test("one host is one over IPv4 and IPv6") func families() {
        let talk = MulticastTalk()
        #expect(talk.hear(service(), from: "fe80::11").isEmpty)
        #expect(talk.hear(host("10.77.0.11")).map(\.address) == ["10.77.0.11"])
        #expect(talk.hear(service(), from: "fe80::11").isEmpty)
        #expect(talk.hear(service()).count == 1)
        #expect(talk.hear(host("10.77.0.11", ttl: 0), from: "fe80::11").isEmpty)
        #expect(talk.hear(host("10.77.0.11", ttl: 0)).map(\.op) == [.deregister])
        #expect(talk.hear(host("10.77.0.11", service())).map(\.op) == [.register])
        #expect(talk.hear(service(ttl: 0), from: "fe80::11").map(\.op) == [.deregister])
        #expect(talk.hear(service(ttl: 0)).map(\.op) == [.deregister])
    }

    @Test("a name that is held without a service is none") func held() {
        let talk = MulticastTalk()
        #expect(talk.hear(host("10.77.0.11", service(port: 0))).isEmpty)
        _ = talk.hear(service())
        #expect(talk.hear(service(port: 0)).map(\.op) == [.deregister])
    }

    @Test("another port or host under the same name is told") func changes() {
        let talk = MulticastTalk()
        _ = talk.hear(host("10.77.0.11", service()))
        #expect(talk.hear(service(port: 8081)).map(\.port) == [8081])
        let moved = said.with(.answer, Self.web, .service, DNSWire.target("new.local", 8081))
            .with(.answer, "new.local", .a, [10, 77, 0, 12])
        #expect(talk.hear(moved).map(\.address) == ["10.77.0.12"])
        #expect(talk.hear(host("10.77.0.99")).isEmpty)
    }

    // MARK: - Browsing

    @Test("browsing and looking at an instance is discovery; one look is one") func browsing() {
        let talk = MulticastTalk()
        let browse = query.asking("_HTTP._tcp.local", .pointer, class: 0x8001)
            .with(.answer, "_http._tcp.local", .pointer, DNSWire.name(Self.web))
        #expect(talk.hear(browse).map(\.service) == ["_http._tcp.local."])
        let look = [DNSType.service, .text, .a, .aaaa].reduce(query) { $0.asking(Self.web, $1) }
        let told = talk.hear(look)
        #expect(told.map(\.id) == ["My Web.2._http._tcp.local."])
        #expect(told.first?.op == .discover && told.first?.service == "_http._tcp.local.")
        let subtype = query.asking("_printer._sub._http._tcp.local", .pointer)
        #expect(talk.hear(subtype, port: 50_000).map(\.service) == ["_http._tcp.local."])
    }

    @Test("asking for all types names none, and a host's address only the host") func otherQuestions() {
        let talk = MulticastTalk()
        let all = talk.hear(query.asking("_services._dns-sd._udp.local", .pointer))
        #expect(all.map(\.op) == [.discover] && all.first?.service == nil)
        let host = talk.hear(query.asking("host.local", .a).asking("host.local", .aaaa))
        #expect(host.map(\.host) == ["host.local."] && host.first?.service == nil)
        #expect(talk.hear(query.asking("11.0.77.10.in-addr.arpa", .pointer)).isEmpty)
        #expect(talk.hear(query.asking("lb._dns-sd._udp.local", .pointer)).isEmpty)
    }

    @Test("answers of other ports, refusals and other operations are ignored") func ignored() {
        let talk = MulticastTalk()
        #expect(talk.hear(host("10.77.0.11", service()), port: 50_000).isEmpty)
        #expect(talk.hear(host("10.77.0.11", service(DNSWire(DNSWire.answer | 3)))).isEmpty)
        #expect(talk.hear(host("10.77.0.11", service(DNSWire(DNSWire.updated)))).isEmpty)
        #expect(talk.hear(host("10.77.0.11", service())).count == 1)
    }

    @Test("an answer to a one-shot question is its sender's announcement too") func legacyAnswer() {
        let talk = MulticastTalk()
        let place = RegistryPlace(
            network: NetworkID(0), address: .v4(IPv4Address(bits: 0x0a4d_000b)), port: 5353)
        let told = talk.mdns.hear(
            Datagram(
                bytes: host("10.77.0.11", service()).bytes[...], guest: .v4(IPv4Address(bits: 0x0a4d_000c)),
                guestPort: 50_000, fromGuest: false,
                origin: Origin(mac: MACAddress(bits: 0x0200_0000_000b), port: 1, time: talk.time)), of: place)
        #expect(told.map(\.guest.description) == ["10.77.0.11"])
        #expect(told.first?.advertisement.address == "10.77.0.11")
    }

    @Test("however many names come, the memory has an end, and what is forgotten can say goodbye") func bounded() {
        let talk = MulticastTalk()
        for number in 0..<10_000 {
            let name = "n\(number)._http._tcp.local"
            let told = talk.hear(
                said.with(.answer, name, .service, DNSWire.target("h\(number).local", 80))
                    .with(.answer, "h\(number).local", .a, [10, 77, 0, 11]))
            #expect(told.count == 1)
        }
        #expect(talk.hear(said.with(.answer, "h0.local", .a, [10, 77, 0, 11], ttl: 0)).isEmpty)
        #expect(talk.hear(said.with(.answer, "h9999.local", .a, [10, 77, 0, 11], ttl: 0)).count == 1)
    }
}
