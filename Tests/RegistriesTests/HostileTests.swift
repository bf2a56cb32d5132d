import Model
import Packets
import Testing

@testable import Registries

@Suite("Hostile input") struct HostileTests {
    @Test("mutated frames never crash the ear, and its state stays bounded", arguments: 0..<24) func mutated(seed: Int)
    {
        var random = SplitMix(seed: UInt64(seed))
        var limits = Ear.Limits()
        limits.connections = 8
        limits.bytes = 100_000
        var listening = Listening(limits: limits)
        for round in 0..<6 {
            var frames = Self.talk(round: round, random: &random)
            for _ in 0..<frames.count / 3 { Self.mutate(&frames, &random) }
            _ = listening.hear(frames)
            _ = listening.wait(.milliseconds(Int.random(in: 0..<3000, using: &random)))
            #expect(listening.ear.connections <= 8)
            #expect(listening.ear.bytes >= 0 && listening.ear.bytes <= limits.bytes + (1 << 17))
        }
        _ = listening.wait(.seconds(100))
    }

    private static func talk(round: Int, random: inout SplitMix) -> [[UInt8]] {
        var wire = Wire(registryPort: round % 2 == 0 ? 8500 : 2379, isV6: round % 3 == 0)
        wire.guestPort = 40_000 + UInt16(round)
        wire.segment = [7, 40, 300, 1460].randomElement(using: &random) ?? 40
        if round % 4 == 1 { wire.vlan = 12 }
        wire.open()
        for index in 0..<4 {
            if wire.registryPort == 8500 {
                wire.ask(HTTP.chunked("PUT", "/v1/agent/service/register", EarTests.body, size: 9))
                wire.answer(HTTP.answer(index == 2 ? 500 : 200))
            } else {
                wire.ask(HTTP.request("POST", "/v3/lease/grant", #"{"TTL":12}"#))
                wire.answer(HTTP.answer(200, #"{"ID":"77","TTL":"12"}"#))
                wire.ask(HTTP.request("POST", "/v3/kv/put", #"{"key":"L3NlcnZpY2VzL2EvYg==","lease":77}"#))
                wire.answer(HTTP.answer(200, "{}"))
            }
        }
        wire.close()
        return wire.take()
    }

    private static func mutate(_ frames: inout [[UInt8]], _ random: inout SplitMix) {
        let index = Int.random(in: frames.indices, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: frames[index] = Array(frames[index].prefix(Int.random(in: 0...frames[index].count, using: &random)))
        case 1, 2:
            guard !frames[index].isEmpty else { return }
            let byte = Int.random(in: frames[index].indices, using: &random)
            frames[index][byte] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 3: frames.swapAt(index, Int.random(in: frames.indices, using: &random))
        case 4: frames.insert(frames[index], at: Int.random(in: frames.indices, using: &random))
        default:
            guard frames[index].count > 60 else { return }
            for byte in 54..<frames[index].count { frames[index][byte] = UInt8.random(in: 0...255, using: &random) }
        }
    }

    @Test(
        "absurd bodies give no event or an event without the field",
        arguments: [
            ("", []), ("null", []), ("[]", []), ("{", []), (#"{"Name":7}"#, []), (#"{"Name":""}"#, []),
            (#"{"ID":"x"}"#, []), ("{\"Name\":\"\u{0}\"", []),
            (#"{"Name":"a","Port":-1}"#, ["register a a true"]),
            (#"{"Name":"a","Port":99999,"Address":"10.0.0.1"}"#, ["register a a 10.0.0.1:- true"]),
            (#"{"Name":"a","Port":1e400}"#, ["register a a true"]),
            (#"{"Name":"a","Port":"80","Address":"10.0.0.1"}"#, ["register a a 10.0.0.1:- true"]),
            (#"{"Name":"a","Address":"not an address; rm -rf /"}"#, ["register a a true"]),
            (#"{"Name":"a/../../b","Address":"10.0.0.1"}"#, ["register a/../../b a/../../b 10.0.0.1:0 true"]),
        ] as [(String, [String])])
    func absurd(body: String, expected: [String]) {
        var wire = Wire()
        wire.open()
        wire.ask(HTTP.request("PUT", "/v1/agent/service/register", body))
        wire.answer(HTTP.answer())
        var listening = Listening()
        let heard = EarTests.told(listening.hear(wire.take()))
        // Some JSON readers refuse a number out of range, others only its field.
        #expect(heard == expected || body.contains("1e400") && heard == [])
    }

    @Test("nesting and the number of elements are bounded before a decoder sees them") func nesting() {
        let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
        let wide = "[" + String(repeating: "0,", count: 200_000) + "0]"
        for junk in [deep, wide] {
            #expect(Fields(Array(#"{"Name":"a","Junk":\#(junk)}"#.utf8)) == nil)
        }
        let text = String(repeating: "[{", count: 1000)
        #expect(Fields(Array(#"{"Name":"\#(text)\"["}"#.utf8))?.text("Name")?.count == 2002)
        #expect(Fields([0xff, 0xfe, 0x7b, 0x7d]) == nil)
        #expect(Fields(Array("{\"Name\":\"".utf8) + [0xc3, 0x28] + Array("\"}".utf8))?.text("Name") == nil)
    }

    @Test("endless headers and requests without answers are bounded") func endless() {
        var wire = Wire()
        wire.segment = 1400
        wire.open()
        wire.ask("PUT /v1/agent/service/register HTTP/1.1\r\n")
        for index in 0..<3000 { wire.ask("X-\(index): \(String(repeating: "h", count: 100))\r\n") }
        var listening = Listening()
        _ = listening.hear(wire.take())
        #expect(listening.ear.counters.parseErrors > 0)
        var other = Wire()
        other.guestPort = 40_001
        other.segment = 60_000
        other.open()
        other.ask(String(repeating: HTTP.request("GET", "/v1/health/service/a"), count: 5000))
        let heard = listening.hear(other.take()) + listening.wait(.seconds(6))
        #expect(heard.count == 5000 && heard.allSatisfy { $0.accepted == nil })
        #expect(listening.ear.bytes < 1 << 20)
    }
}
