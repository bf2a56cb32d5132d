import Model
import Packets
import Testing

@testable import Registries

@Suite("Datagrams") struct DatagramTests {
    private let murmur = Murmur()

    private func listening(port: UInt16 = 7777) -> Listening {
        Listening(Ear(posts: ListeningPosts([(address: nil, port: port, dialects: [murmur])])))
    }

    @Test("what a guest sends and what is answered reach the dialect, over IPv4 and IPv6", arguments: [false, true])
    func bothWays(isV6: Bool) throws {
        var wire = Wire(registryPort: 7777, isV6: isV6)
        wire.vlan = 9
        wire.send(datagram: "web")
        wire.send(datagram: "ok", fromGuest: false)
        var listening = listening()
        let heard = listening.whole(wire.take(), network: 4, port: 6)
        #expect(heard.map(\.advertisement.service) == ["web"])
        let one = try #require(heard.first)
        #expect(one.network == NetworkID(4) && one.port == 6 && one.source == wire.guest)
        #expect(one.sourceMAC == Wire.guestMAC && one.advertisement.registryPort == 7777)
        #expect(one.advertisement.registryIp == wire.registry.description)
        #expect(murmur.datagrams.map(\.fromGuest) == [true, false])
        #expect(murmur.datagrams.allSatisfy { $0.guest == wire.guest && $0.guestPort == 40_000 })
        #expect(listening.ear.counters.messages == 2 && listening.ear.connections == 0)
    }

    @Test("of multicast the sender is the guest, the group the registry") func multicast() throws {
        let group = try #require(IPAddress("224.0.0.251"))
        var wire = Wire(registryPort: 5353)
        wire.guestPort = 5353
        wire.registry = group
        wire.send(datagram: "announced")
        var listening = listening(port: 5353)
        let heard = listening.whole(wire.take())
        #expect(heard.map(\.source) == [wire.guest])
        #expect(heard.map(\.advertisement.registryIp) == ["224.0.0.251"])
        #expect(murmur.datagrams.map(\.fromGuest) == [true])
    }

    @Test("a fragmented datagram is heard once it is whole", arguments: [false, true]) func fragmented(isV6: Bool) {
        var wire = Wire(registryPort: 7777, isV6: isV6)
        let text = String(repeating: "long ", count: 100)
        wire.send(datagram: text)
        let pieces = wire.take().flatMap { Fragmenting.cut($0, at: 80, id: 3) }
        var listening = listening()
        #expect(listening.hear(Array(pieces.dropFirst())) == [])
        #expect(listening.hear([pieces[0]]).map(\.service) == [text])
        #expect(listening.ear.counters.otherFrames == 0)
    }

    @Test("what no answer came for is told in time") func late() {
        var wire = Wire(registryPort: 7777)
        wire.send(datagram: "web")
        var listening = listening()
        #expect(listening.hear(wire.take()).count == 1)
        #expect(listening.wait(.milliseconds(900)) == [])
        #expect(listening.wait(.milliseconds(200)).map(\.service) == ["late"])
        #expect(listening.wait(.seconds(5)) == [])
    }

    @Test("a port where only datagrams are spoken follows no connections, and the other way round") func carriers() {
        var wire = Wire(registryPort: 8500)
        wire.send(datagram: EarTests.registration)
        var streams = Listening(Ear())
        #expect(streams.hear(wire.take()) == [] && streams.ear.counters.otherFrames == 1)
    }
}
