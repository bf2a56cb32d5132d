import Model
import Packets
import Testing

@testable import Registries

@Suite("Which dialect a stream speaks, and its end") struct FirstBytesTests {
    private let consul = Consul()
    private let murmur = Murmur()

    private func listening(_ dialects: [any Dialect], limits: Ear.Limits = Ear.Limits()) -> Listening {
        Listening(Ear(posts: ListeningPosts([(address: nil, port: 7777, dialects: dialects)]), limits: limits))
    }

    private func services(_ heard: [Advertisement]) -> [String] { heard.compactMap(\.service) }

    @Test("one port may allow several, the first bytes decide, however they are cut", arguments: [1, 2, 3, 5, 1460])
    func decided(size: Int) {
        for (first, expected) in [
            ("MURMUR\nweb\n", ["MURMUR", "web"]), (EarTests.registration, ["web"]), ("MUMBLE\nweb\n", []),
        ] {
            var wire = Wire(registryPort: 7777)
            wire.segment = size
            wire.open()
            wire.ask(first)
            wire.answer(HTTP.answer())
            var listening = listening([consul, murmur])
            let heard = services(listening.hear(wire.take())).filter { !$0.hasPrefix("<") }
            #expect(heard == expected)
            #expect(listening.ear.takeIgnored().count == (expected.isEmpty ? 1 : 0))
        }
    }

    @Test("empty lines before a connection's first request are skipped", arguments: [1, 2, 3, 1460])
    func emptyLines(size: Int) {
        var wire = Wire(registryPort: 7777)
        wire.segment = size
        wire.open()
        wire.ask("\r\n\r\n" + EarTests.registration)
        wire.answer(HTTP.answer())
        var listening = listening([consul, murmur])
        #expect(services(listening.hear(wire.take())) == ["web"])
        var endless = Wire(registryPort: 7777)
        endless.guestPort = 40_001
        endless.open()
        endless.ask(String(repeating: "\r\n", count: 4000))
        #expect(listening.hear(endless.take()) == [] && listening.ear.takeIgnored().count == 1)
    }

    @Test("what is not named is not tried") func unnamed() {
        for (first, allowed) in [("MURMUR\nweb\n", consul), (EarTests.registration, murmur)] as [(String, any Dialect)]
        {
            var wire = Wire(registryPort: 7777)
            wire.open()
            wire.ask(first)
            wire.answer(HTTP.answer())
            var listening = listening([allowed])
            #expect(listening.hear(wire.take()) == [])
            #expect(listening.ear.takeIgnored().count == 1)
        }
    }

    @Test("a registry that speaks first is heard first, from one side alone nothing") func serverFirst() {
        var wire = Wire(registryPort: 7777)
        wire.open()
        wire.answer("welcome")
        wire.ask("MUR")
        wire.ask("MUR\n")
        wire.answer("ok")
        var listening = listening([murmur])
        #expect(services(listening.hear(wire.take())) == ["< welcome", "MURMUR", "< ok"])
        var mute = Wire(registryPort: 7777)
        mute.open()
        for _ in 0..<100 { mute.answer(String(repeating: "x", count: 1400)) }
        mute.ask("MURMUR\n")
        var other = self.listening([murmur])
        let heard = services(other.hear(mute.take()))
        #expect(heard.first?.hasPrefix("< missed") == true && heard.last == "MURMUR")
        #expect(other.ear.bytes < 1 << 17)
    }

    @Test("what comes byte by byte before anybody understands is not held for long") func drops() {
        var wire = Wire(registryPort: 7777)
        wire.open()
        wire.segment = 1
        wire.answer(String(repeating: "x", count: 2000))
        var listening = listening([murmur])
        _ = listening.hear(wire.take())
        #expect(listening.ear.bytes <= TCPStreamLimits().waitingSegments)
        wire.ask("MURMUR\n")
        #expect(services(listening.hear(wire.take())).first == "< missed 1744")
    }

    @Test("joined in the middle, it is the next segment that shows a beginning") func joined() {
        var wire = Wire(registryPort: 7777)
        wire.open()
        wire.ask("the rest of something\n")
        wire.ask("MURMUR\nweb\n")
        let frames = wire.take()
        var middle = listening([murmur, consul])
        #expect(services(middle.hear(Array(frames.dropFirst(3)))) == ["MURMUR", "web"])
        #expect(middle.ear.counters.skippedBytes == 22)
        // From its start, the same bytes are another protocol's.
        var start = listening([murmur, consul])
        #expect(start.hear(frames) == [] && start.ear.takeIgnored().count == 1)
    }

    @Test("the end is told: FIN of either side, a reset after what it overtook, a port used again") func ends() {
        var wire = Wire(registryPort: 7777)
        wire.open()
        wire.ask("MURMUR\n")
        let beginning = wire.take()
        wire.close()
        var closed = listening([murmur])
        #expect(
            services(closed.hear(beginning + wire.take())) == [
                "MURMUR", "ended: guest", "ended: registry", "ended: forgotten",
            ])
        wire = Wire(registryPort: 7777)
        wire.open()
        wire.ask("MURMUR\n")
        wire.reset()
        var reset = listening([murmur])
        #expect(services(reset.hear(wire.take())) == ["MURMUR"])
        #expect(services(reset.wait(.seconds(2))) == ["ended: reset", "ended: forgotten"])
        wire = Wire(registryPort: 7777)
        wire.open()
        wire.ask("MURMUR\n")
        var again = Wire(registryPort: 7777, initial: 77)
        again.open()
        var replaced = listening([murmur])
        #expect(services(replaced.hear(wire.take() + again.take())) == ["MURMUR", "ended: reset", "ended: forgotten"])
    }

    @Test("a reset that is far off is somebody else's") func forgedReset() {
        var wire = Wire(registryPort: 7777)
        wire.open()
        wire.ask("MURMUR\n")
        var forged = Wire(registryPort: 7777, initial: 0x1234_5678)
        forged.reset(fromGuest: true)
        var listening = listening([murmur])
        _ = listening.hear(wire.take() + forged.take())
        #expect(listening.wait(.seconds(10)) == [])
    }

    @Test("what is thrown out of a full table has not ended") func evicted() {
        var limits = Ear.Limits()
        limits.connections = 1
        var listening = listening([murmur], limits: limits)
        var heard: [String] = []
        for port in [UInt16(1), 2] {
            var wire = Wire(registryPort: 7777)
            wire.guestPort = 30_000 + port
            wire.open()
            wire.ask("MURMUR\n")
            heard += services(listening.hear(wire.take()))
        }
        #expect(heard == ["MURMUR", "ended: forgotten", "MURMUR"])
    }

    @Test("a reader that wants no more is not shown more") func unwanted() {
        var wire = Wire(registryPort: 7777)
        wire.open()
        wire.ask("MURMUR\nSECRET\n")
        wire.ask("web\n")
        wire.answer("ok")
        var listening = listening([murmur])
        #expect(services(listening.hear(wire.take())) == ["MURMUR", "SECRET"])
        #expect(listening.ear.takeIgnored().count == 1 && listening.ear.bytes == 0)
    }

    @Test("a gap is told where it is") func gaps() {
        var wire = Wire(registryPort: 7777)
        wire.open()
        wire.ask("MURMUR\n")
        wire.ask("lost\n")
        wire.ask("web\n")
        wire.acknowledge()
        var frames = wire.take()
        frames.remove(at: 4)
        var listening = listening([murmur])
        let heard = listening.hear(frames) + listening.wait(.seconds(3))
        #expect(services(heard) == ["MURMUR", "missed 5", "web"])
        #expect(listening.ear.counters.gaps == 1)
    }

    @Test("TLS is counted and said by registry and guest, whatever the record's size", arguments: [1, 4, 1460])
    func encrypted(size: Int) {
        var wire = Wire(registryPort: 7777)
        wire.segment = size
        wire.open()
        wire.ask([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3] + [UInt8](repeating: 7, count: 100))
        var listening = listening([consul, murmur])
        #expect(listening.hear(wire.take()) == [])
        #expect(
            listening.ear.takeEncrypted() == [
                EncryptedRegistry(network: NetworkID(0), address: wire.registry, port: 7777, guest: wire.guest)
            ])
        #expect(listening.ear.takeEncrypted() == [] && listening.ear.counters.tlsStreams == 1)
    }

    @Test("every kind has a name and its ports, and no other name is one") func kinds() {
        #expect(RegistryEndpoint.Kind(rawValue: "consul")?.usualPorts == [8500])
        #expect(RegistryEndpoint.Kind(rawValue: "murmur") == nil && RegistryEndpoint.Kind(rawValue: "") == nil)
        let names = RegistryEndpoint.Kind.allCases.map(\.rawValue)
        #expect(Set(names).count == names.count && names.allSatisfy { !$0.isEmpty })
        let defaults = RegistryEndpoint.defaults
        #expect(Set(defaults.map(\.port)).count == defaults.count)
        for dialect in Dialects.all {
            for port in dialect.usualPorts {
                let place = defaults.first { $0.port == port }
                #expect(place?.kinds.contains { $0.rawValue == dialect.name } == true)
            }
        }
        let both = RegistryEndpoint.places(of: [.etcd, .consul], port: 9)
        #expect(both == [RegistryEndpoint(kinds: [.etcd, .consul], port: 9)])
    }
}
