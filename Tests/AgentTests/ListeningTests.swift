import Model
import Testing

@testable import Agent
@testable import Registries
@testable import remora

@Suite("What was heard of registries") struct ListeningTests {
    let network = NetworkID(0)
    let registry = IPAddress.v4(IPv4Address(bits: 0x0a00_00fe))
    let now = Instant(milliseconds: 1000)

    func said(_ op: Advertisement.Operation, accepted: Bool?, at address: IPAddress? = nil) -> Advertisement {
        var said = Advertisement(registry: "nacos", op: op)
        said.accepted = accepted
        said.registryIp = (address ?? registry).description
        said.registryPort = 8848
        return said
    }

    @Test("events are counted by dialect, operation and answer, and by registry") func events() {
        var listening = Listening()
        for accepted in [true, false, nil, true] {
            listening.heard(said(.register, accepted: accepted), in: network, at: now)
        }
        listening.heard(said(.heartbeat, accepted: true), in: network, at: Instant(milliseconds: 2000))
        #expect(listening.events[.init(registry: "nacos", op: .register, accepted: true)] == 2)
        #expect(listening.events[.init(registry: "nacos", op: .register, accepted: nil)] == 1)
        #expect(listening.events.count == 4)
        let place = Listening.Place(network: network, address: registry, port: 8848)
        #expect(listening.places[place] == .init(events: 5, latest: Instant(milliseconds: 2000)))
    }

    @Test("a guest that speaks TLS is news once, and counted") func encrypted() {
        var listening = Listening()
        let one = EncryptedRegistry(network: network, address: registry, port: 2379, guest: registry)
        let news = [listening.found(one, at: now), listening.found(one, at: Instant(milliseconds: 5000))]
        #expect(news == [true, false])
        #expect(
            listening.encrypted[one] == .init(since: now, latest: Instant(milliseconds: 5000), connections: 2))
    }

    @Test("however many places a guest talks to, so many are remembered") func bounded() {
        var listening = Listening()
        for number in 0..<5000 as Range<UInt32> {
            let address = IPAddress.v4(IPv4Address(bits: 0x0a00_0000 + number))
            listening.heard(said(.register, accepted: true, at: address), in: network, at: now)
            _ = listening.found(.init(network: network, address: address, port: 1, guest: registry), at: now)
        }
        #expect(listening.places.count == 1024 && listening.encrypted.count == 1024)
        #expect(listening.events.values.reduce(0, +) == 5000)
    }

    @Test("`remora get registries` tells where is listened, what was heard, and for whom it is encrypted") func row() {
        let view = RegistryView(
            kinds: ["eureka", "nacos"], port: 8080, transports: [.tcp],
            heard: [.init(network: network, address: registry, events: 7, seen: now)],
            encrypted: [
                .init(
                    network: network, address: registry, guest: .v4(IPv4Address(bits: 0x0a00_0001)), connections: 1,
                    since: now, seen: now)
            ])
        #expect(
            view.cells == [
                "eureka nacos", "any", "8080", "tcp", "10.0.0.254", "7", now.time, "10.0.0.1 at 10.0.0.254",
            ])
        #expect(RegistryView(kinds: ["dns"], port: 53, transports: [.tcp, .udp]).cells.last == "-")
    }

    @Test("`remora status` tells what the ear counted") func status() {
        let view = StatusView(
            node: "n", version: "0", mode: .observe, started: now, heard: ["frames": 40, "advertisements": 3],
            encryptedRegistries: 2)
        let text = StatusCommand.text(view, width: nil)
        #expect(text.contains("heard: 3 events in 0 messages of 40 frames; 0 gaps, 0 unreadable, 2 encrypted"))
    }
}
