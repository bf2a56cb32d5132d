import Model
import Packets
import Testing

@testable import Registries

@Suite("The ear") struct EarTests {
    static let body = #"{"Name":"web","ID":"web-1","Address":"10.77.0.11","Port":8080,"Check":{"TTL":"15s"}}"#
    static let registration = HTTP.request("PUT", "/v1/agent/service/register", body)
    static let registered = "register web web-1 10.77.0.11:8080 true"
    static let deregistration = HTTP.request("PUT", "/v1/agent/service/deregister/web-1")

    /// Two registrations' worth of talk.
    static func talk(_ wire: inout Wire) {
        wire.open()
        wire.ask(registration)
        wire.answer(HTTP.answer())
        wire.ask(deregistration)
        wire.answer(HTTP.answer())
        wire.close()
    }

    static func told(_ heard: [Advertisement]) -> [String] {
        heard.filter { $0.op == .register || $0.op == .deregister }.map(\.summary)
    }

    @Test(
        "segments of any size, tags, IPv6 and jumbo frames make no difference",
        arguments: [1, 2, 11, 100, 1460, 60_000],
        [(false, nil), (true, nil), (false, 100), (true, 7)] as [(Bool, UInt16?)])
    func segments(size: Int, kind: (isV6: Bool, vlan: UInt16?)) {
        var wire = Wire(isV6: kind.isV6)
        wire.segment = size
        wire.vlan = kind.vlan
        Self.talk(&wire)
        var listening = Listening()
        let heard = Self.told(listening.hear(wire.take()))
        #expect(heard == [Self.registered, "deregister web-1 true"])
        #expect(listening.ear.counters.gaps == 0 && listening.ear.counters.messages == 4)
    }

    @Test("swapped and repeated segments make no difference") func reordered() {
        var random = SplitMix(seed: 3)
        for _ in 0..<60 {
            var wire = Wire()
            wire.segment = 23
            Self.talk(&wire)
            var frames = wire.take()
            for index in stride(from: 3, to: frames.count - 4, by: 4) {
                frames[index..<index + 4].shuffle(using: &random)
            }
            for _ in 0..<5 { frames.insert(frames[Int.random(in: 0..<3, using: &random)], at: 4) }
            var listening = Listening()
            #expect(Self.told(listening.hear(frames)) == [Self.registered, "deregister web-1 true"])
        }
    }

    @Test("a stream copied on two ports is heard once, from the port that was first") func twice() {
        var wire = Wire()
        Self.talk(&wire)
        var listening = Listening()
        var heard: [Heard] = []
        for frame in wire.take() {
            heard += listening.whole([frame], port: 4)
            heard += listening.whole([frame], port: 9)
        }
        #expect(Self.told(heard.map(\.advertisement)) == [Self.registered, "deregister web-1 true"])
        #expect(heard.allSatisfy { $0.port == 4 && $0.sourceMAC == Wire.guestMAC })
        #expect(listening.ear.connections == 1)
    }

    @Test("a whole second copy, after the connection ended, is not heard again") func late() {
        var wire = Wire()
        Self.talk(&wire)
        let frames = wire.take()
        var listening = Listening()
        #expect(listening.hear(frames).count > 0)
        #expect(listening.hear(frames) == [])
    }

    @Test("the same addresses and ports in two networks are two connections") func networks() {
        var wire = Wire()
        Self.talk(&wire)
        let frames = wire.take()
        var listening = Listening()
        for frame in frames {
            _ = listening.hear([frame], network: 1)
            for one in listening.whole([frame], network: 2) { #expect(one.network == NetworkID(2)) }
        }
        #expect(listening.ear.connections == 2)
    }

    @Test("where, from whom and when") func origin() throws {
        var wire = Wire()
        wire.open()
        wire.ask(Self.registration)
        wire.answer(HTTP.answer())
        var listening = Listening()
        let heard = try #require(listening.whole(wire.take(), network: 3, port: 17).first)
        #expect(heard.network == NetworkID(3) && heard.port == 17 && heard.sourceMAC == Wire.guestMAC)
        #expect(heard.source == wire.guest && heard.time == listening.now)
        #expect(heard.advertisement.sourceIp == "10.77.0.11" && heard.advertisement.registryIp == "10.77.0.2")
        #expect(heard.advertisement.registryPort == 8500)
    }

    @Test("a refusal is told as one") func refused() {
        #expect(
            heard(Self.registration, HTTP.answer(403, "Permission denied")) == [
                "register web web-1 10.77.0.11:8080 false"
            ])
    }

    @Test("answers are matched in order when requests are pipelined") func pipelined() {
        var wire = Wire()
        wire.open()
        wire.ask(Self.registration + HTTP.request("GET", "/v1/kv/x") + Self.deregistration + Self.registration)
        wire.answer(HTTP.answer(403) + HTTP.answer(404) + HTTP.answer() + HTTP.answer(500))
        var listening = Listening()
        #expect(
            Self.told(listening.hear(wire.take())) == [
                "register web web-1 10.77.0.11:8080 false", "deregister web-1 true",
                "register web web-1 10.77.0.11:8080 false",
            ])
    }

    @Test("chunked bodies, Expect: 100-continue and answers that end with the connection") func variants() {
        #expect(
            heard(HTTP.chunked("PUT", "/v1/agent/service/register", Self.body, size: 7), HTTP.answer()) == [
                Self.registered
            ])
        var wire = Wire()
        wire.open()
        let parts = HTTP.request("PUT", "/v1/agent/service/register", Self.body, headers: ["Expect: 100-continue"])
            .split(separator: "{", maxSplits: 1)
        wire.ask(String(parts[0]))
        wire.answer("HTTP/1.1 100 Continue\r\n\r\n")
        wire.ask("{" + parts[1])
        wire.answer("HTTP/1.1 200 OK\r\n\r\n")
        wire.registryCloses()
        var listening = Listening()
        #expect(Self.told(listening.hear(wire.take())) == [Self.registered])
    }

    @Test("without an answer in view it is told after a while, and again should the answer come") func unseen() {
        var wire = Wire()
        wire.open()
        wire.ask(Self.registration)
        var listening = Listening()
        #expect(listening.hear(wire.take()) == [])
        #expect(listening.wait(.seconds(4)) == [])
        #expect(Self.told(listening.wait(.seconds(2))) == ["register web web-1 10.77.0.11:8080 unseen"])
        #expect(listening.wait(.seconds(20)) == [])
        wire.answer(HTTP.answer(500))
        wire.ask(Self.deregistration)
        wire.answer(HTTP.answer())
        #expect(
            Self.told(listening.hear(wire.take())) == [
                "register web web-1 10.77.0.11:8080 false", "deregister web-1 true",
            ])
    }

    @Test("a connection that ends without an answer", arguments: [true, false]) func ended(byReset: Bool) {
        var wire = Wire()
        wire.open()
        wire.ask(Self.registration)
        if byReset { wire.reset() } else { wire.registryCloses() }
        var listening = Listening()
        let heard = listening.hear(wire.take()) + listening.wait(.seconds(2))
        #expect(Self.told(heard) == ["register web web-1 10.77.0.11:8080 unseen"])
    }

    @Test("one direction alone is told as unseen") func oneDirection() {
        var wire = Wire()
        Self.talk(&wire)
        let requests = wire.take().filter { frame in frame.withUnsafeBytes { Frame($0)?.tcp?.tcp.sourcePort == 40_000 }
        }
        var listening = Listening()
        let heard = listening.hear(requests) + listening.wait(.seconds(6))
        #expect(Self.told(heard) == ["register web web-1 10.77.0.11:8080 unseen", "deregister web-1 unseen"])
    }

    @Test("a connection older than the ear is joined at its next request") func joined() {
        var wire = Wire()
        wire.segment = 40
        wire.open()
        wire.ask(HTTP.request("PUT", "/v1/kv/x", String(repeating: "v", count: 300)))
        wire.answer(HTTP.answer(200, "true"))
        wire.ask(Self.registration)
        wire.answer(HTTP.answer())
        let frames = wire.take()
        for missed in 1...14 {
            var listening = Listening()
            #expect(Self.told(listening.hear(Array(frames.dropFirst(missed)))) == [Self.registered])
        }
    }

    @Test("a lost frame costs its own message and never pairs an answer wrongly") func losses() {
        var wire = Wire()
        wire.segment = 30
        wire.open()
        for index in 0..<4 {
            wire.ask(HTTP.request("PUT", "/v1/agent/service/deregister/id-\(index)"))
            // Every second one is refused: a shift by one would show.
            wire.answer(HTTP.answer(index % 2 == 0 ? 200 : 500))
            wire.acknowledge()
        }
        let frames = wire.take()
        for lost in frames.indices {
            var listening = Listening()
            var some = frames
            some.remove(at: lost)
            let heard = listening.hear(some) + listening.wait(.seconds(1)) + listening.wait(.seconds(10))
            for one in heard {
                let isEven = one.id?.last?.wholeNumberValue.map { $0 % 2 == 0 }
                #expect(one.accepted == nil || one.accepted == isEven, "lost \(lost): \(one.summary)")
            }
            #expect(Set(heard.map(\.id)).count >= 2, "lost \(lost)")
        }
    }

    @Test("only the configured registry's answers and requests count") func endpoints() throws {
        var wire = Wire()
        Self.talk(&wire)
        let frames = wire.take()
        let other = try #require(IPAddress("10.77.0.3"))
        var elsewhere = Listening(RegistryEndpoint.places(of: [.consul], address: other))
        #expect(elsewhere.hear(frames) == [] && elsewhere.ear.connections == 0)
        var here = Listening(RegistryEndpoint.places(of: [.consul], address: wire.registry))
        #expect(here.hear(frames).count > 0)
        // A guest that talks to another guest, and answers itself.
        var forged = Wire()
        forged.registryPort = 9999
        Self.talk(&forged)
        var listening = Listening()
        #expect(listening.hear(forged.take()) == [])
    }

    @Test("TLS, HTTP/2 and other traffic is given up and named once, HTTP of no dialect after a while") func ignored() {
        for (first, isTLS) in [([22, 3, 1, 2, 0, 1], true), (Array("PRI * HTTP/2.0\r\n".utf8), false)]
            as [([UInt8], Bool)]
        {
            var wire = Wire()
            wire.open()
            wire.ask(first)
            wire.ask(first)
            var listening = Listening()
            #expect(listening.hear(wire.take()) == [])
            let ignored = listening.ear.takeIgnored()
            #expect(ignored.map(\.source) == [wire.guest] && ignored.map(\.destinationPort) == [8500])
            #expect(listening.ear.counters.tlsStreams == (isTLS ? 1 : 0))
            #expect(listening.ear.takeIgnored() == [])
        }
        var wire = Wire()
        wire.open()
        for _ in 0..<60 {
            wire.ask(HTTP.request("GET", "/ui/page", headers: ["Cookie: \(String(repeating: "c", count: 100))"]))
            wire.answer(HTTP.answer(200, "page"))
        }
        var listening = Listening()
        _ = listening.hear(wire.take())
        #expect(listening.ear.takeIgnored().count == 1)
    }

    @Test("a registry's other traffic keeps the stream heard") func familiar() {
        var wire = Wire()
        wire.open()
        for _ in 0..<100 {
            wire.ask(HTTP.request("PUT", "/v1/kv/x", String(repeating: "v", count: 100)))
            wire.answer(HTTP.answer(200, "true"))
        }
        wire.ask(Self.registration)
        wire.answer(HTTP.answer())
        var listening = Listening()
        #expect(Self.told(listening.hear(wire.take())) == [Self.registered])
        #expect(listening.ear.takeIgnored() == [])
    }

    @Test("a port used again is another connection, also after a reset") func reused() {
        var listening = Listening()
        for round in 0..<3 {
            var wire = Wire(initial: 5_000_000 &* UInt32(round + 1))
            wire.open()
            wire.ask(Self.registration)
            wire.answer(HTTP.answer())
            if round == 1 { wire.reset(fromGuest: true) } else { wire.close() }
            #expect(Self.told(listening.hear(wire.take())) == [Self.registered])
        }
        #expect(listening.ear.connections == 1 && listening.ear.counters.streams == 3)
    }

    @Test("connections and what they hold are bounded, and what is forgotten is told") func bounded() {
        var limits = Ear.Limits()
        limits.connections = 10
        limits.bytes = 200_000
        var listening = Listening(limits: limits)
        var told = 0
        for index in 0..<40 {
            var wire = Wire()
            wire.guestPort = 30_000 + UInt16(index)
            wire.open()
            wire.ask(Self.registration)
            told += Self.told(listening.hear(wire.take())).count
            #expect(listening.ear.connections <= 10)
        }
        #expect(told == 30 && listening.ear.counters.evicted == 30)
        for index in 0..<10 {
            var wire = Wire()
            wire.guestPort = 20_000 + UInt16(index)
            wire.open()
            wire.ask("PUT /v1/agent/service/register HTTP/1.1\r\nContent-Length: 900000\r\n\r\n")
            wire.ask([UInt8](repeating: 0x20, count: 90_000))
            _ = listening.hear(wire.take())
            #expect(listening.ear.bytes <= limits.bytes)
        }
    }

    @Test("a guest that opens too many, or has too much held, pushes out its own", arguments: [0, 90_000])
    func fair(held: Int) {
        var limits = Ear.Limits()
        limits.connections = 10
        limits.bytes = 200_000
        var listening = Listening(limits: limits)
        var wire = Wire()
        wire.open()
        wire.ask(String(Self.registration.prefix(40)))
        _ = listening.hear(wire.take(), port: 1)
        for index in 0..<UInt16(40) {
            var other = Wire()
            other.guestPort = 30_000 + index
            other.open()
            if held > 0 { other.ask("PUT /v1/agent/service/register HTTP/1.1\r\nContent-Length: 900000\r\n\r\n") }
            other.ask([UInt8](repeating: 0x20, count: held))
            _ = listening.hear(other.take(), port: 2)
            #expect(listening.ear.connections <= limits.connections && listening.ear.bytes <= limits.bytes)
        }
        #expect(listening.ear.counters.evicted >= 31)
        wire.ask(String(Self.registration.dropFirst(40)))
        wire.answer(HTTP.answer())
        #expect(Self.told(listening.hear(wire.take(), port: 1)) == [Self.registered])
    }

    @Test("a body above the limit is not read, and the next request is") func longBody() {
        var wire = Wire()
        wire.segment = 60_000
        wire.open()
        wire.ask(HTTP.request("PUT", "/v1/agent/service/register", String(repeating: " ", count: 1 << 20) + Self.body))
        wire.answer(HTTP.answer())
        wire.ask(Self.registration)
        wire.answer(HTTP.answer())
        var listening = Listening()
        #expect(Self.told(listening.hear(wire.take())) == [Self.registered])
    }

    private func heard(_ request: String, _ answer: String) -> [String] {
        var wire = Wire()
        wire.open()
        wire.ask(request)
        wire.answer(answer)
        var listening = Listening()
        return Self.told(listening.hear(wire.take()))
    }
}

/// A small generator with a seed (Steele et al., SplitMix64): failures can be run again.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
