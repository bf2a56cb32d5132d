import Model
import Packets
import Testing

@testable import Registries

@Suite("ZooKeeper: sessions and their bytes") struct ZooKeeperStreamTests {
    @Test("a lost connection ends no session, and another one goes on with it") func reconnected() {
        let dialect = ZooKeeper()
        var first = ZooKeeperTalk.opened(dialect)
        _ = first.ask(Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1))
        _ = first.answer(Jute.reply(1, Jute().text("/services/web/a")))
        #expect(first.end(.reset) == [] && first.end(.forgotten) == [])
        // To another server of the ensemble.
        var second = StreamTalk(dialect, StreamTalk.connection(port: 2181, registry: 0x0a4d_0003))
        _ = second.ask(Jute.connect(session: ZooKeeperTalk.session))
        #expect(
            second.answer(Jute.connected(session: ZooKeeperTalk.session)).map(\.summary) == [
                "heartbeat \(ZooKeeperTalk.sessionID) true"
            ])
        _ = second.ask(Jute.request(1, -11))
        #expect(
            second.answer(Jute.reply(1)).map(\.summary) == [
                "deregister web a 10.0.0.1:80 \(ZooKeeperTalk.sessionID) true"
            ])
    }

    @Test("a session that the server has ended takes its nodes along") func expired() {
        let dialect = ZooKeeper()
        func register() {
            var talk = ZooKeeperTalk.opened(dialect)
            _ = talk.ask(Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1))
            _ = talk.answer(Jute.reply(1, Jute().text("/services/web/a")))
        }
        let gone = ["deregister web a 10.0.0.1:80 \(ZooKeeperTalk.sessionID) true"]
        register()
        var stranger = ZooKeeperTalk.talk(dialect, guest: 0x0a4d_000c)
        _ = stranger.ask(Jute.connect(session: ZooKeeperTalk.session))
        #expect(stranger.answer(Jute.connected(session: 0, timeout: 0)) == [])
        var own = ZooKeeperTalk.talk(dialect)
        _ = own.ask(Jute.connect(session: ZooKeeperTalk.session))
        #expect(own.answer(Jute.connected(session: 0, timeout: 0)).map(\.summary) == gone)
        register()
        var late = ZooKeeperTalk.talk(dialect)
        _ = late.ask(Jute.connect(session: ZooKeeperTalk.session))
        #expect(late.answer(Jute.connected(session: ZooKeeperTalk.session)).count == 1)
        _ = late.ask(Jute.children(1, "/x"))
        #expect(late.answer(Jute.reply(1, error: -112)).map(\.summary) == gone)
    }

    @Test("a busy client renews its session without a ping") func busy() {
        var talk = ZooKeeperTalk.opened()
        _ = talk.ask(Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1))
        #expect(talk.answer(Jute.reply(1, Jute().text("/services/web/a"))).count == 1)
        var renewals = 0
        for xid in Int32(2)..<42 {
            _ = talk.wait(.milliseconds(100))
            _ = talk.ask(Jute.request(xid, 4, Jute().text("/x").flag(false)))
            renewals += talk.answer(Jute.reply(xid)).count { $0.op == .heartbeat }
        }
        #expect(renewals == 2)
    }

    @Test("joined in the middle it is understood from the next message on") func joined() {
        let create = Jute.create(9, "/services/web/a", "10.0.0.1:80", mode: 1)
        #expect(ZooKeeper.recognizes(create[...], isStart: false) == .yes)
        #expect(ZooKeeper.recognizes(create[5...], isStart: false) == .no)
        var talk = StreamTalk(ZooKeeper(), StreamTalk.connection(port: 2181), isFresh: false)
        #expect(talk.ask(Array(Jute.delete(8, "/services/web/b").dropFirst(7)) + create) == [])
        let told = talk.answer(Array(Jute.reply(8).dropFirst(3)) + Jute.reply(9, Jute().text("/services/web/a")))
        #expect(told.map(\.summary) == ["register web a 10.0.0.1:80 true"])
        // Whose session it is was not seen; that it ends is.
        _ = talk.ask(Jute.ping)
        #expect(talk.answer(Jute.pong).map(\.summary) == ["heartbeat true"])
        _ = talk.ask(Jute.request(10, -11))
        #expect(talk.answer(Jute.reply(10)).map(\.summary) == ["deregister web a 10.0.0.1:80 true"])
    }

    @Test("a session's number is learned from its nodes") func learned() {
        var talk = StreamTalk(ZooKeeper(), StreamTalk.connection(port: 2181), isFresh: false)
        _ = talk.ask(Jute.create(9, "/services/web/a", "10.0.0.1:80", mode: 1, opcode: 15))
        let told = talk.answer(
            Jute.reply(9, Jute().text("/services/web/a").adding(Jute.stat(owner: ZooKeeperTalk.session).bytes)))
        #expect(told.first?.leaseId == ZooKeeperTalk.sessionID)
        _ = talk.ask(Jute.request(10, -11))
        #expect(talk.answer(Jute.reply(10)).map(\.leaseId) == [ZooKeeperTalk.sessionID])
    }

    @Test("bytes cut anywhere make no difference", arguments: [1, 2, 3, 7, 19, 100]) func cut(piece: Int) {
        var talk = ZooKeeperTalk.talk()
        talk.piece = piece
        var told = talk.ask(Jute.connect()) + talk.answer(Jute.connected(session: ZooKeeperTalk.session))
        told += talk.ask(
            Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1) + Jute.children(2, "/services/web") + Jute.ping)
        told += talk.answer(
            Jute.reply(1, Jute().text("/services/web/a")) + Jute.reply(-1) + Jute.reply(2, Jute().int(0)) + Jute.pong)
        #expect(
            told.filter { $0.op != .heartbeat }.map(\.summary) == [
                "register web a 10.0.0.1:80 \(ZooKeeperTalk.sessionID) true", "discover web true",
            ])
        #expect(told.contains { $0.op == .heartbeat })
    }

    @Test("after a gap the next message is found") func gaps() {
        var talk = ZooKeeperTalk.opened()
        let create = Jute.create(1, "/services/web/a", "10.0.0.1:80")
        // Within a message whose length is known, nothing after it is lost.
        _ = talk.ask(Array(create.prefix(20)))
        #expect(talk.miss(request: 10) == [])
        #expect(talk.ask(Array(create.dropFirst(30)) + Jute.children(2, "/services/web")) == [])
        #expect(talk.answer(Jute.reply(1) + Jute.reply(2)).map(\.summary) == ["discover web true"])
        // Beyond one, it is found by its looks.
        _ = talk.ask(Array(create.prefix(20)))
        #expect(talk.miss(request: 5000) == [])
        _ = talk.ask([0, 0, 0, 9, 1, 2, 3] + Jute.children(3, "/services/db"))
        #expect(talk.miss(answer: 77) == [])
        #expect(talk.answer([0, 0, 0] + Jute.reply(3)).map(\.summary) == ["discover db true"])
        #expect(talk.reader.takeCounts().skippedBytes > 0)
    }

    @Test("an answer whose end was missed still says yes or no") func answerGap() {
        var talk = ZooKeeperTalk.opened()
        _ = talk.ask(Jute.children(1, "/services/web"))
        let answer = Jute.reply(1, Jute().int(1).text("some-long-name-of-an-instance"))
        #expect(talk.answer(Array(answer.prefix(24))) == [])
        #expect(talk.miss(answer: answer.count - 24).map(\.summary) == ["discover web true"])
        _ = talk.ask(Jute.ping)
        #expect(talk.answer(Jute.pong).map(\.summary) == ["heartbeat \(ZooKeeperTalk.sessionID) true"])
    }

    @Test("the other direction alone is readable") func oneDirection() {
        var talk = ZooKeeperTalk.talk()
        let told =
            talk.ask(Jute.connect() + Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1)) + talk.end(.forgotten)
        #expect(told.map(\.summary) == ["register web a 10.0.0.1:80 unseen"])
        var deaf = StreamTalk(ZooKeeper(), StreamTalk.connection(port: 2181))
        #expect(deaf.answer(Jute.connected(session: 1) + Jute.reply(1) + Jute.pong) == [])
    }

    @Test("a beginning that is too short to tell is waited for") func short() {
        for count in 1..<Jute.connect().count {
            #expect(ZooKeeper.recognizes(Jute.connect().prefix(count), isStart: true) == .tooShort)
        }
        let create = Jute.create(1, "/a", "")
        for count in 1..<17 { #expect(ZooKeeper.recognizes(create.prefix(count), isStart: false) == .tooShort) }
    }

    @Test(
        "absurd lengths and numbers are survived",
        arguments: [
            Jute().int(-1).bytes, Jute().int(.max).bytes, Jute().int(0).bytes, Jute().int(.min).bytes,
            Jute.request(1, 1, Jute().int(.max)), Jute.request(1, 1, Jute().text("/a").int(-2)),
            Jute.request(1, 1, Jute().text("/a").text("").int(.max)),
            Jute.request(1, 1, Jute().text("/a").text("").int(-7)),
            Jute.request(1, 1, Jute.creation("/services/a/b", "10.0.0.1:80", mode: 99)),
            Jute.request(1, 1, Jute.creation("services/a/b", "10.0.0.1:80")),
            Jute.request(1, 1, Jute().buffer([0x2f, 0xff, 0xfe]).text("10.0.0.1:80").int(0).int(0)),
            Jute.request(1, 21, Jute.creation("/services/a/b", "x", mode: 5, ttl: .min)),
            Jute.request(1, 14, Jute().int(14).flag(false).int(-1)),
            Jute.request(1, 14, Jute.all([Jute.operation(999, Jute())])),
            Jute.request(-8, 101, Jute().long(0).int(.max)), Jute.request(.min, .min), Jute.request(1, 77),
        ])
    func absurd(bytes: [UInt8]) {
        var talk = ZooKeeperTalk.opened()
        _ = talk.ask(bytes)
        #expect(talk.answer(Jute.reply(1) + Jute.reply(.min) + bytes) == [])
        _ = talk.ask(Jute.children(1, "/services/web"))
        #expect(talk.wait(.seconds(6)).map(\.service) == ["web"])
    }

    @Test("what waits for answers, and what is kept of messages, is bounded") func bounded() {
        var talk = ZooKeeperTalk.opened()
        var told: [Advertisement] = []
        for xid in Int32(1)...5000 { told += talk.ask(Jute.children(xid, "/services/web")) }
        #expect(told.count > 4000 && talk.reader.footprint < 1 << 20)
        // A message of 15 MiB, of which no more than a beginning is held.
        _ = talk.ask(Jute().int(15 << 20).int(6000).int(1).bytes)
        for _ in 0..<240 { _ = talk.ask([UInt8](repeating: 0x2f, count: 65_536)) }
        #expect(talk.reader.footprint < 1 << 20)
        _ = talk.ask([UInt8](repeating: 0, count: 8))
    }

    @Test("sessions, nodes and their names are forgotten before they are too many") func forgotten() {
        let dialect = ZooKeeper()
        for number in Int64(1)...20_000 {
            var talk = ZooKeeperTalk.opened(dialect, session: number)
            _ = talk.ask(Jute.create(1, "/services/s\(number)/a", "10.0.0.1:80", mode: 1))
            _ = talk.answer(Jute.reply(1, Jute().text("/services/s\(number)/a")))
        }
        #expect(dialect.ended(1, guest: .v4(IPv4Address(bits: 0x0a4d_000b)), network: NetworkID(0)) == [])
        #expect(dialect.ended(20_000, guest: .v4(IPv4Address(bits: 0x0a4d_000b)), network: NetworkID(0)).count == 1)
    }

    @Test("a stream of nonsense is given up") func nonsense() {
        var talk = ZooKeeperTalk.opened()
        for _ in 0..<20 {
            _ = talk.ask(Jute().int(-1).bytes + Jute.ping)
        }
        #expect(!talk.reader.isListening && talk.reader.takeCounts().parseErrors > 0)
    }
}
