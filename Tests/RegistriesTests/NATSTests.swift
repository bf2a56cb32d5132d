import Model
import Packets
import Testing

@testable import Registries

@Suite("NATS") struct NATSTests {
    static let connect = "CONNECT {\"verbose\":false}\r\n"
    static let info = "INFO {\"server_id\":\"N\",\"headers\":true}\r\n"
    static func subscriptions(_ service: String = "calc", _ id: String = "A1", from first: Int = 1) -> String {
        let subjects = ["PING", "INFO", "STATS"].flatMap { ["\($0)", "\($0).\(service)", "\($0).\(service).\(id)"] }
        return subjects.enumerated().map { "SUB $SRV.\($1)  \(first + $0)\r\n" }.joined()
    }
    static func response(_ kind: String = "info", id: String = "A1", zone: String = "a") -> String {
        #"{"name":"calc","id":"\#(id)","version":"1.2.3","metadata":{"zone":"\#(zone)"},"type":"io.nats.micro.v1."#
            + "\(kind)_response\""
            + #","endpoints":[{"name":"add","subject":"calc.add","queue_group":"q"},{"name":"sub","subject":"calc.sub"}]}"#
    }
    static func publish(_ subject: String, _ payload: String, reply: String? = nil) -> String {
        "PUB \(subject) \(reply.map { $0 + " " } ?? "")\(payload.utf8.count)\r\n\(payload)\r\n"
    }

    private static func talk(_ dialect: NATS = NATS(), isFresh: Bool = true, port: UInt16 = 40_000) -> StreamTalk {
        let usual = StreamTalk.connection(port: 4222)
        let connection = FiveTuple(
            network: usual.network, source: usual.source, sourcePort: port, destination: usual.destination,
            destinationPort: 4222)
        return StreamTalk(dialect, connection, isFresh: isFresh)
    }

    private static func opened(_ dialect: NATS = NATS(), port: UInt16 = 40_000) -> StreamTalk {
        var talk = talk(dialect, port: port)
        #expect(talk.answer(info) == [] && talk.ask(connect + "PING\r\n") == [] && talk.answer("PONG\r\n") == [])
        return talk
    }

    private static func registered(_ dialect: NATS = NATS(), port: UInt16 = 40_000) -> StreamTalk {
        var talk = opened(dialect, port: port)
        #expect(talk.ask(subscriptions() + "PING\r\n") == [])
        #expect(talk.answer("PONG\r\n").map(\.summary) == ["register calc A1 true"])
        return talk
    }

    @Test("an instance registers by its subscriptions, and says the rest when it is asked") func register() throws {
        var talk = Self.registered()
        #expect(talk.answer("MSG $SRV.INFO 4 _INBOX.x 0\r\n\r\n") == [])
        let told = try #require(talk.ask(Self.publish("_INBOX.x", Self.response())).first)
        #expect(told.summary == "register calc A1 true" && told.update == true && told.version == "1.2.3")
        #expect(told.meta == ["zone": "a"] && told.endpoints == ["calc.add", "calc.sub"])
        #expect(told.addressDefault == "sender" && told.address == nil && told.port == nil && told.ephemeral == true)
        // The same again is no news, something else is.
        #expect(talk.ask(Self.publish("_INBOX.y", Self.response())) == [])
        #expect(talk.ask(Self.publish("_INBOX.y", Self.response("stats"))) == [])
        #expect(talk.ask(Self.publish("_INBOX.y", Self.response(zone: "b"))).first?.meta == ["zone": "b"])
    }

    @Test("an instance is gone with its last subscription") func unsubscribed() {
        var talk = Self.registered()
        let rest = (1...9).filter { $0 != 9 }.map { "UNSUB \($0) \r\n" }.joined()
        #expect(talk.ask(rest + "PING\r\n") == [])
        #expect(talk.answer("PONG\r\n").map(\.op) == [.heartbeat])
        #expect(talk.ask("UNSUB 9\r\nPING\r\n") == [])
        #expect(talk.answer("PONG\r\n").map(\.summary) == ["deregister calc A1 true"])
        #expect(talk.end(.guest) == [])
    }

    @Test("a subscription may be told to end after some messages") func unsubscribedLater() {
        var talk = Self.opened()
        _ = talk.ask("SUB $SRV.PING.calc.A1 7\r\nUNSUB 7 2\r\nPING\r\n")
        #expect(talk.answer("PONG\r\n").count == 1)
        #expect(talk.answer("MSG $SRV.PING.calc.A1 7 _INBOX.x 0\r\n\r\n") == [])
        #expect(talk.answer("HMSG $SRV.PING.calc.A1 7 _INBOX.x 12 12\r\nNATS/1.0\r\n\r\n\r\n") == [])
        #expect(talk.wait(.seconds(2)).map(\.summary) == ["deregister calc A1 unseen"])
    }

    @Test("the end of the connection is the end of its instances", arguments: [StreamEnd.guest, .registry, .reset])
    func ended(end: StreamEnd) {
        var talk = Self.registered()
        #expect(talk.end(end).map(\.summary) == ["deregister calc A1 true"])
        #expect(talk.end(.forgotten) == [])
        var other = Self.registered()
        #expect(other.end(.forgotten) == [])
    }

    @Test("a client that comes back before its former connection ends stays") func reconnected() {
        let dialect = NATS()
        var first = Self.registered(dialect)
        var second = Self.registered(dialect, port: 40_001)
        #expect(first.end(.reset) == [])
        #expect(second.end(.guest).map(\.summary) == ["deregister calc A1 true"])
    }

    @Test("silence is no answer, a message is one") func answers() {
        var silent = Self.opened()
        #expect(silent.ask(Self.subscriptions()) == [] && silent.wait(.milliseconds(500)) == [])
        #expect(silent.wait(.seconds(1)).map(\.summary) == ["register calc A1 unseen"])
        var asked = Self.opened()
        _ = asked.ask(Self.subscriptions())
        let told = asked.answer("MSG $SRV.PING.calc.A1 3 _INBOX.x 0\r\n\r\n")
        #expect(told.map(\.summary) == ["register calc A1 true"])
    }

    @Test("what the server forbids is not registered") func refused() {
        var talk = Self.opened()
        _ = talk.ask("SUB $SRV.PING.calc.A1 1\r\nPUB $SRV.INFO _INBOX.x 0\r\n\r\n")
        #expect(
            talk.answer("-ERR 'Permissions Violation for Subscription to \"$SRV.PING.calc.A1\"'\r\n").map(\.summary)
                == ["register calc A1 false"])
        #expect(
            talk.answer("-ERR 'Permissions Violation for Publish to \"$SRV.INFO\"'\r\n").map(\.summary)
                == ["discover false"])
        _ = talk.ask(Self.subscriptions())
        #expect(talk.answer("-ERR 'Authorization Violation'\r\n").map(\.summary) == ["register calc A1 false"])
        #expect(talk.end(.registry) == [])
    }

    @Test("requests to the service API are discovery, requests to services are not") func discovery() {
        var talk = Self.opened()
        #expect(talk.ask("SUB _INBOX.x 1\r\nPUB $SRV.PING _INBOX.x 0\r\n\r\n") == [])
        let first = talk.answer("MSG _INBOX.x 1 5\r\nhello\r\n")
        #expect(first.map(\.summary) == ["discover true"] && first.first?.subject == "$SRV.PING")
        _ = talk.ask("HPUB $SRV.INFO.calc _INBOX.y 12 12\r\nNATS/1.0\r\n\r\n\r\n")
        #expect(
            talk.answer("HMSG _INBOX.y 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n").map(\.summary) == ["discover calc true"])
        _ = talk.ask("pub $SRV.STATS.calc.A1 2\r\n{}\r\n")
        #expect(talk.wait(.seconds(2)).map(\.summary) == ["discover calc A1 unseen"])
        _ = talk.ask("PUB calc.add _INBOX.z 3\r\n1+2\r\nSUB $SRV.> 8\r\nSUB $SRV.INFO.*.* 9\r\nPUB $SRV.X 0\r\n\r\n")
        #expect(talk.wait(.seconds(2)) == [])
    }

    @Test("a living connection keeps its instances alive") func heartbeats() {
        var talk = Self.registered()
        _ = talk.ask("PING\r\n")
        #expect(talk.answer("PONG\r\n").map(\.summary) == ["heartbeat calc A1 true"])
        // Libraries ping for every flush.
        _ = talk.ask("PING\r\n")
        #expect(talk.answer("PONG\r\n") == [])
        _ = talk.wait(.seconds(2))
        #expect(talk.answer("PING\r\n") == [])
        #expect(talk.ask("PONG\r\n").map(\.summary) == ["heartbeat calc A1 unseen"])
        var empty = Self.opened()
        _ = empty.ask("PING\r\n")
        #expect(empty.answer("PONG\r\n") == [])
    }

    @Test("joined in the middle, an instance is known by what it answers") func joined() {
        var talk = Self.talk(isFresh: false)
        #expect(
            talk.ask("1\",\"x\":2}\r\nPUB a 3\r\nabc\r\n" + Self.publish("_INBOX.x", Self.response())).map(\.summary)
                == ["register calc A1 unseen"])
        #expect(talk.end(.guest).map(\.summary) == ["deregister calc A1 true"])
        // Seen from its beginning, it would have subscribed: this is passed on for others.
        var relay = Self.opened()
        #expect(relay.ask(Self.publish("_INBOX.x", Self.response())) == [] && relay.end(.guest) == [])
    }

    @Test("bytes cut anywhere make no difference", arguments: [1, 2, 3, 7, 19, 100]) func cut(piece: Int) {
        var talk = Self.talk()
        talk.piece = piece
        talk.startsSegment = piece > 50
        var told = talk.answer(Self.info) + talk.ask(Self.connect + Self.subscriptions() + "PING\r\n")
        told += talk.answer("PONG\r\nMSG $SRV.INFO 4 _INBOX.x 0\r\n\r\n")
        told += talk.ask(
            Self.publish("_INBOX.x", Self.response()) + Self.publish("a", "PING\r\nSUB $SRV.PING.b.c 77\r\n"))
        told += talk.ask("UNSUB 1\r\nUNSUB 2\r\n" + (3...9).map { "UNSUB \($0)\r\n" }.joined() + "PING\r\n")
        told += talk.answer("PONG\r\n")
        #expect(
            told.map(\.summary) == ["register calc A1 true", "register calc A1 true", "deregister calc A1 true"])
        #expect(talk.reader.takeCounts().parseErrors == 0)
    }

    @Test("after a gap the next line is found") func gaps() {
        var talk = Self.opened()
        // Within a payload whose length is known, nothing after it is lost.
        _ = talk.ask("PUB a 100\r\n0123456789")
        _ = talk.miss(request: 80)
        #expect(talk.ask("0123456789\r\n" + Self.subscriptions() + "PING\r\n") == [])
        #expect(talk.answer("PONG\r\n").map(\.summary) == ["register calc A1 true"])
        _ = talk.miss(request: 3000)
        talk.startsSegment = false
        #expect(talk.ask("4567\r\nPUB $SRV.PING _INBOX.x 0\r\n\r\n") == [])
        _ = talk.miss(answer: 3000)
        #expect(talk.answer("789\r\nMSG _INBOX.x 1 0\r\n\r\n").map(\.summary) == ["discover true"])
        #expect(talk.reader.takeCounts().skippedBytes > 0)
        // A segment mostly begins with a line.
        _ = talk.miss(request: 3000)
        talk.startsSegment = true
        _ = talk.ask("PUB $SRV.INFO _INBOX.y 0\r\n\r\n")
        #expect(talk.answer("MSG _INBOX.y 1 0\r\n\r\n").map(\.summary) == ["discover true"])
    }

    // MARK: - Hostile

    @Test("what speaks it") func recognition() {
        func yes(_ text: String, isStart: Bool = true) -> Recognition {
            NATS.recognizes(Array(text.utf8)[...], isStart: isStart)
        }
        #expect(yes(Self.connect) == .yes && yes("connect\t{") == .yes && yes("CONNECT a:443 HTTP/1.1\r\n") == .no)
        #expect(yes("SUB a 1\r\n", isStart: false) == .yes && yes("PING\r\n", isStart: false) == .yes)
        #expect(yes("PUT / HTTP/1.1") == .no && yes("SUBSCRIBE x") == .no && yes("PINGO") == .no)
        #expect(
            yes("CON") == .tooShort && yes("CONNECT ") == .tooShort && yes("") == .tooShort && yes("P") == .tooShort)
    }

    @Test(
        "absurd lines are survived",
        arguments: [
            "PUB a 99999999999999999999\r\n", "PUB a -1\r\n", "PUB a\r\n", "PUB\r\n", "PUB a 2147483648\r\n",
            "HPUB a 9 3\r\n", "HPUB a 3\r\n", "SUB\r\n", "SUB a\r\n", "UNSUB\r\n", "UNSUB 1 x\r\n", "NONSENSE\r\n",
            "SUB $SRV. 1\r\n", "SUB $SRV.PING.. 1\r\n", "SUB $SRV.PING.a.b.c 1\r\n", "\r\n", "\u{0}\u{ff}\r\n",
            "SUB \(String(repeating: "a ", count: 2000))\r\n",
        ])
    func absurd(line: String) {
        var talk = Self.opened()
        #expect(talk.ask(line) == [])
        #expect(talk.ask("SUB $SRV.PING.calc.A1 1\r\nPING\r\n") == [])
        #expect(talk.answer("PONG\r\n").map(\.summary) == ["register calc A1 true"])
    }

    @Test("bytes that are no text are survived") func binary() {
        var talk = Self.opened()
        _ = talk.ask([UInt8]("SUB $SRV.PING.".utf8) + [0xff, 0xfe] + [UInt8](".x 1\r\n".utf8))
        _ = talk.ask(Self.publish("a", "\u{0}\u{1}\r\nPING\r\n") + "PING\r\n")
        #expect(talk.answer("PONG\r\n") == [] && talk.reader.takeCounts().parseErrors == 0)
    }

    @Test("lines, payloads, subscriptions and requests are bounded") func bounded() {
        var talk = Self.registered()
        for _ in 0..<100 { _ = talk.ask([UInt8](repeating: UInt8(ascii: "P"), count: 65_536)) }
        #expect(talk.reader.footprint < 1 << 20)
        talk = Self.registered()
        _ = talk.ask("PUB a 60000000\r\n{")
        for _ in 0..<100 { _ = talk.ask([UInt8](repeating: UInt8(ascii: "{"), count: 65_536)) }
        #expect(talk.reader.footprint < 1 << 20)
        talk = Self.opened()
        var told = 0
        for number in 0..<20_000 { told += talk.ask("SUB $SRV.PING.s\(number).i 1\(number)\r\n").count }
        told += talk.end(.forgotten).count
        #expect(told == 256 && talk.reader.footprint < 1 << 20)
        for _ in 0..<5000 { _ = talk.ask("PUB $SRV.PING r 0\r\n\r\nPING\r\n") }
        #expect(talk.reader.footprint < 1 << 20)
    }

    @Test("a stream of nonsense is given up") func nonsense() {
        var talk = Self.opened()
        for _ in 0..<20 { _ = talk.ask("HELLO WORLD\r\nPING\r\n") }
        #expect(!talk.reader.isListening)
    }
}

extension StreamTalk {
    fileprivate mutating func ask(_ text: String) -> [Advertisement] { ask(Array(text.utf8)) }
    fileprivate mutating func answer(_ text: String) -> [Advertisement] { answer(Array(text.utf8)) }
}
