import Model
import Packets
import Testing

@testable import Registries

@Suite("DNS messages") struct DNSMessageTests {
    private func name(_ bytes: [UInt8], at offset: Int = 0) -> (name: DNSName, end: Int)? {
        var cursor = DNSCursor(bytes[...])
        cursor.offset = offset
        return DNSName(at: &cursor).map { ($0, cursor.offset) }
    }

    private func name(_ text: String) throws -> DNSName { try #require(name(DNSWire.name(text))).name }

    // MARK: - Names

    @Test("a name is read where it stands and through pointers back") func compression() throws {
        // "example" at 0, "web.(0)" at 9, a bare pointer to it at 15.
        let bytes = DNSWire.name("example") + [3] + Array("web".utf8) + [0xc0, 0] + [0xc0, 9]
        let first = try #require(name(bytes, at: 9))
        #expect(first.name.zoneText() == "web.example")
        #expect(first.end == 15)
        let second = try #require(name(bytes, at: 15))
        #expect(second.name == first.name)
        #expect(second.end == 17)
    }

    @Test(
        "pointers that lead forward, to themselves or in circles make no name",
        arguments: [
            [0xc0, 0], [0xc0, 2, 0, 0], [0xc0, 200], [0xc0], [1, 97, 0xc0, 0], [0xc0, 2, 0xc0, 0],
        ] as [[UInt8]])
    func loops(_ bytes: [UInt8]) {
        for offset in bytes.indices { #expect(name(bytes, at: offset)?.name.labels.count ?? 0 <= 1) }
        #expect(name(bytes) == nil)
    }

    @Test("a chain of pointers has an end before the message has one") func chain() {
        // A name at 0, then pointers each to the one before.
        var bytes: [UInt8] = [1, 97, 0, 0]
        for place in stride(from: 4, to: 204, by: 2) {
            bytes += [0xc0, place == 4 ? 0 : UInt8(place - 2)]
        }
        #expect(name(bytes, at: 4 + 2 * 20)?.name.zoneText() == "a")
        #expect(name(bytes, at: 4 + 2 * 40) == nil)
    }

    @Test("labels have at most 63 bytes and names 255") func lengths() throws {
        #expect(name([64] + [UInt8](repeating: 97, count: 64) + [0]) == nil)
        #expect(name([0x80, 97, 0]) == nil)
        let label = String(repeating: "a", count: 63)
        let longest = [label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")
        #expect(name(DNSWire.name(longest))?.name.labels.count == 4)
        #expect(name(DNSWire.name(longest + "c")) == nil)
    }

    @Test("names are equal whatever the case of their letters, and of nothing else") func cases() throws {
        #expect(try name("Web.EXAMPLE") == name("wEb.example"))
        #expect(try name("Web.EXAMPLE").hashValue == name("wEb.example").hashValue)
        #expect(try name("web[.example") != name("web{.example"))
        #expect(try name("web.example") != name("webb.example"))
        #expect(try name("we.bexample") != name("web.example"))
    }

    @Test("as in a zone file, all that could be misread is escaped") func zoneText() throws {
        #expect(try name("My Web/2._http._tcp.Example").zoneText() == "My\\032Web\\.2._http._tcp.Example")
        #expect(try name("Büro\\;").zoneText(lowercase: true) == "b\\195\\188ro\\\\\\;")
    }

    @Test("as people read it, an instance's name is left as it is") func plainText() throws {
        #expect(try name("Büro 2/0._http._tcp.local").plainText == "Büro 2.0._http._tcp.local.")
        #expect(name([3, 0xff, 0x0a, 97, 0])?.name.plainText == "\\255\\010a.")
    }

    @Test("a service's name tells its type, transport, instance and subtype") func serviceNames() throws {
        let type = try #require(ServiceName(name("_HTTP._tcp.local")))
        #expect(type.type.plainText == "_http._tcp.local.")
        #expect(type.instance == nil && type.subtype == nil && type.transport == "tcp")
        let instance = try #require(ServiceName(name("a/b c._dns._UDP.x.example")))
        #expect(instance.instance == "a.b c" && instance.transport == "udp")
        #expect(instance.type.zoneText() == "_dns._udp.x.example")
        let subtype = try #require(ServiceName(name("_printer._sub._http._tcp.local")))
        #expect(subtype.subtype == "_printer" && subtype.type.zoneText() == "_http._tcp.local")
        let dotted = try #require(ServiceName(name("a.b c._dns._udp.x.example")))
        #expect(dotted.instance == instance.instance)
        for other in ["web.example", "_http.local", "_tcp.local", "http._tcp.local"] {
            #expect(try ServiceName(name(other)) == nil)
        }
        #expect(try #require(ServiceName(name("_services._dns-sd._udp.local"))).isTypeEnumeration)
        let domains = try #require(ServiceName(name("lb._dns-sd._udp.local")))
        #expect(domains.isEnumeration && !domains.isTypeEnumeration)
    }

    // MARK: - Records

    private func record(_ type: DNSType, _ data: [UInt8], ttl: UInt32 = 120) -> DNSRecord? {
        DNSMessage(DNSWire(DNSWire.answer).with("a.example", type, data, ttl: ttl).bytes[...])?.answers.first
    }

    @Test("addresses, services, pointers and texts are read") func records() throws {
        #expect(record(.a, [10, 0, 0, 1])?.data == .address(.v4(IPv4Address(bits: 0x0a00_0001))))
        #expect(record(.aaaa, DNSWire.address("fd77::1"))?.data == IPAddress("fd77::1").map { .address($0) })
        guard
            case .service(let target)? = record(.service, DNSWire.target("web.example", 80, priority: 5, weight: 7))?
                .data
        else {
            Issue.record("no SRV")
            return
        }
        #expect(target.host == (try name("web.example")))
        #expect(target.port == 80 && target.priority == 5 && target.weight == 7)
        #expect(record(.pointer, DNSWire.name("b.example"))?.data == .name(try name("b.example")))
        let texts = record(.text, DNSWire.texts("path=/a=b", "PATH", "path=/c", "=x", ""))
        #expect(texts?.data.attributes == ["path": "/a=b", "PATH": ""])
    }

    @Test("a binding tells its port and hints, whatever else stands in it") func bindings() throws {
        let parameters: [UInt8] =
            [0, 1, 0, 3, 2, 104, 50] + [0, 3, 0, 2, 0x1f, 0x90] + [0, 4, 0, 8, 10, 0, 0, 1, 10, 0, 0, 2]
        guard case .binding(let binding)? = record(.https, [0, 1] + DNSWire.name("web.example") + parameters)?.data
        else {
            Issue.record("no HTTPS")
            return
        }
        #expect(binding.port == 8080 && binding.priority == 1)
        #expect(binding.hints.map(\.description) == ["10.0.0.1", "10.0.0.2"])
    }

    @Test("data of another length than its type has is none, and what follows is still read") func misfits() throws {
        let message = DNSMessage(
            DNSWire(DNSWire.answer).with("a.example", .a, [10, 0, 0]).with("a.example", .a, [10, 0, 0, 1, 0])
                .with("a.example", .service, [0, 0]).with("a.example", .text, [9, 97])
                .with("a.example", .a, [10, 0, 0, 9]).bytes[...])
        let data = message?.answers.map(\.data) ?? []
        #expect(Array(data.prefix(4)) == [DNSData](repeating: .other, count: 4))
        #expect(message?.answers.last?.data == .address(.v4(IPv4Address(bits: 0x0a00_0009))))
    }

    @Test("life times with a sign bit are none") func lifeTimes() {
        #expect(record(.a, [10, 0, 0, 1], ttl: 0x8000_0001)?.ttl == 0)
        #expect(record(.a, [10, 0, 0, 1], ttl: 0x7fff_ffff)?.ttl == 0x7fff_ffff)
    }

    @Test("EDNS holds the upper bits of the answer's code, and the life of what is registered") func options() {
        let plain = DNSWire(DNSWire.answer | 1)
        #expect(DNSMessage(plain.bytes[...])?.code == 1)
        let extended = plain.with(.additional, "", .options, [], ttl: 0x0100_0000, class: 1232)
        #expect(DNSMessage(extended.bytes[...])?.code == 17)
        let lease = plain.with(.additional, "", .options, [0, 10, 0, 1, 9, 0, 2, 0, 4, 0, 0, 14, 16], class: 1232)
        #expect(DNSMessage(lease.bytes[...])?.leaseSeconds == 3600)
    }

    // MARK: - Hostile input

    private let whole = DNSWire(DNSWire.answer).asking("a.example", .any)
        .with("_http._tcp.example", .service, DNSWire.target("web.example", 80))
        .with("a.example", .text, DNSWire.texts("a=1")).with("a.example", .https, [0, 1, 0, 0, 3, 0, 2, 0, 80])
        .with(.authority, "a.example", .a, [10, 0, 0, 1])
        .with(.additional, "", .options, [0, 10, 0, 1, 9], class: 1232)

    @Test("a message cut short anywhere is none") func truncated() {
        let bytes = whole.bytes
        #expect(DNSMessage(bytes[...]) != nil)
        for end in bytes.indices { #expect(DNSMessage(bytes[..<end]) == nil, "\(end) bytes") }
    }

    @Test("a message is read the same wherever it stands in a buffer") func slices() {
        let bytes = [UInt8](repeating: 0xff, count: 9) + whole.bytes
        let message = DNSMessage(bytes[9...])
        #expect(message?.answers == DNSMessage(whole.bytes[...])?.answers)
        #expect(message?.answers.count == 3)
    }

    @Test("counts beyond what a message holds cost nothing") func counts() {
        var message = DNSWire(DNSWire.answer)
        message.sections[1] = Array(repeating: [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0], count: DNSMessage.mostRecords)
        #expect(DNSMessage(message.bytes[...])?.answers.count == DNSMessage.mostRecords)
        message.sections[1].append(message.sections[1][0])
        #expect(DNSMessage(message.bytes[...]) == nil)
    }

    @Test("no mutation of a message brings a dialect down") func mutations() {
        var numbers = SplitMix(seed: 53)
        let talk = DNSTalk()
        let link = MulticastTalk()
        let update = DNSWire(DNSWire.update).asking("example", DNSType(rawValue: 6))
            .with(.authority, "_a._tcp.example", .service, DNSWire.target("h.example", 80))
            .with(.authority, "h.example", .a, [10, 0, 0, 1]).with(.authority, "h.example", .a, [], class: 255)
        let messages = [whole.bytes, update.bytes, DNSWire().asking("_http._tcp.local", .pointer).bytes]
        for round in 0..<6000 {
            var bytes = messages[round % messages.count]
            for _ in 0...numbers.next() % 4 {
                let place = Int(numbers.next() % UInt64(bytes.count))
                bytes[place] = UInt8(truncatingIfNeeded: numbers.next())
            }
            if numbers.next() % 4 == 0 { bytes.removeLast(Int(numbers.next() % UInt64(bytes.count))) }
            for told in talk.told(bytes) + talk.told(bytes, fromGuest: false) {
                #expect(told.advertisement.service?.utf8.count ?? 0 <= Bounds.longestName)
            }
            _ = link.mdns.hear(
                Datagram(
                    bytes: bytes[...], guest: talk.address, guestPort: 5353, fromGuest: true, origin: talk.origin),
                of: MulticastTalk.group)
        }
        #expect(talk.dns.unreadable > 50 && link.mdns.unreadable > 50)
    }
}
