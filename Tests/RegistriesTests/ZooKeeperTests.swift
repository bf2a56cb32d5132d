import Model
import Packets
import Testing

@testable import Registries

@Suite("ZooKeeper") struct ZooKeeperTests {
    static let session: Int64 = 0x0100_0012_c3f7_0000
    static let sessionID = "0x1000012c3f70000"
    static let curator = #"""
        {"name":"web","id":"web-1","address":"10.0.0.1","port":8080,"sslPort":null,"payload":{"@class":"x","id":"a",
        "metadata":{"v":"1"}},"registrationTimeUTC":1,"serviceType":"DYNAMIC","uriSpec":{"parts":[]}}
        """#

    private static func talk(_ dialect: ZooKeeper = ZooKeeper(), guest: UInt32 = 0x0a4d_000b) -> StreamTalk {
        StreamTalk(dialect, StreamTalk.connection(port: 2181, guest: guest))
    }

    /// In a session of its own.
    private static func opened(
        _ dialect: ZooKeeper = ZooKeeper(), session: Int64 = session, guest: UInt32 = 0x0a4d_000b
    ) -> StreamTalk {
        var talk = talk(dialect, guest: guest)
        #expect(talk.ask(Jute.connect()) == [])
        #expect(talk.answer(Jute.connected(session: session)) == [])
        return talk
    }

    @Test("an ephemeral node is a registration that lives as long as its session") func ephemeral() throws {
        var talk = Self.opened()
        #expect(talk.ask(Jute.create(1, "/services/web/web-1", Self.curator, mode: 1)) == [])
        let told = try #require(talk.answer(Jute.reply(1, Jute().text("/services/web/web-1"))).first)
        #expect(told.summary == "register web web-1 10.0.0.1:8080 \(Self.sessionID) true")
        #expect(told.meta == ["v": "1"] && told.path == "/services/web/web-1")
        #expect(told.ephemeral == true && told.sequential == false)
        #expect(told.ttlSeconds == 6 && told.sessionTimeoutMs == 6000)
        #expect(talk.ask(Jute.ping) == [])
        #expect(talk.answer(Jute.pong).map(\.summary) == ["heartbeat \(Self.sessionID) true"])
        #expect(talk.ask(Jute.request(2, -11)) == [])
        let ended = talk.answer(Jute.reply(2))
        #expect(ended.map(\.summary) == ["deregister web web-1 10.0.0.1:8080 \(Self.sessionID) true"])
        #expect(talk.end(.registry) == [] && talk.end(.forgotten) == [])
    }

    @Test("clients from before read-only servers say one byte less") func old() {
        var talk = Self.talk()
        #expect(ZooKeeper.recognizes(Jute.connect(hasReadOnly: false)[...], isStart: true) == .yes)
        #expect(talk.ask(Jute.connect(hasReadOnly: false)) == [])
        #expect(talk.answer(Jute.connected(session: 5, hasReadOnly: false)) == [])
        _ = talk.ask(Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1))
        #expect(talk.answer(Jute.reply(1, Jute().text("/services/web/a"))).first?.leaseId == "0x5")
    }

    @Test(
        "every way to create a node",
        arguments: [(1, 0), (15, 0), (15, 2), (19, 4), (21, 5), (21, 6), (1, 3), (15, 1)] as [(Int32, Int32)])
    func creations(opcode: Int32, mode: Int32) {
        var talk = Self.opened()
        let isSequential = [2, 3, 6].contains(mode)
        let asked = isSequential ? "/services/web/n-" : "/services/web/n-7"
        let made = isSequential ? "/services/web/n-0000000007" : asked
        _ = talk.ask(Jute.create(1, asked, "10.0.0.1:80", mode: mode, opcode: opcode, ttl: opcode == 21 ? 1500 : nil))
        let isEphemeral = mode == 1 || mode == 3
        let answer = Jute().text(made)
        let told = talk.answer(
            Jute.reply(
                1, opcode == 1 ? answer : answer.adding(Jute.stat(owner: isEphemeral ? Self.session : 0).bytes)))
        let lease = isEphemeral ? " \(Self.sessionID)" : ""
        let id = isSequential ? "n-0000000007" : "n-7"
        #expect(told.map(\.summary) == ["register web \(id) 10.0.0.1:80\(lease) true"])
        #expect(told.first?.path == made && told.first?.sequential == isSequential)
        #expect(told.first?.ttlSeconds == (opcode == 21 ? 2 : isEphemeral ? 6 : nil))
    }

    @Test("a refused creation registers nothing, an unseen answer leaves it open") func refused() {
        var talk = Self.opened()
        _ = talk.ask(Jute.create(1, "/services/web/a", "10.0.0.1:80"))
        #expect(talk.answer(Jute.reply(1, error: -110)).map(\.summary) == ["register web a 10.0.0.1:80 false"])
        _ = talk.ask(Jute.create(2, "/services/web/b-", "10.0.0.1:80", mode: 3))
        #expect(talk.wait(.seconds(4)) == [])
        // The number that the server appended is not known.
        #expect(
            talk.wait(.seconds(2)).map(\.summary) == ["register web 10.0.0.1:80 \(Self.sessionID) unseen"])
    }

    @Test("answers are paired by number, in whatever order") func order() {
        var talk = Self.opened()
        _ = talk.ask(
            Jute.create(1, "/services/web/a", "10.0.0.1:80") + Jute.create(2, "/services/web/b", "10.0.0.2:80"))
        let told = talk.answer(Jute.reply(2, error: -110) + Jute.reply(1, Jute().text("/services/web/a")))
        #expect(told.map(\.summary) == ["register web b 10.0.0.2:80 false", "register web a 10.0.0.1:80 true"])
    }

    @Test("a deleted node is withdrawn, known or not") func deletion() {
        var talk = Self.opened()
        _ = talk.ask(Jute.create(1, "/my/apps/web/a", #"{"name":"web","address":"10.0.0.1","port":80}"#))
        #expect(talk.answer(Jute.reply(1, Jute().text("/my/apps/web/a"))).count == 1)
        _ = talk.ask(Jute.delete(2, "/my/apps/web/a"))
        #expect(talk.answer(Jute.reply(2)).map(\.summary) == ["deregister web a 10.0.0.1:80 true"])
        _ = talk.ask(Jute.delete(3, "/services/db/x"))
        #expect(talk.answer(Jute.reply(3)).map(\.summary) == ["deregister db x true"])
        _ = talk.ask(Jute.delete(4, "/services/db/y"))
        #expect(talk.answer(Jute.reply(4, error: -101)).map(\.summary) == ["deregister db y false"])
        // A service's own node, other people's nodes, and what was seen to be something else.
        for (xid, path) in [(5, "/services/db"), (6, "/my/other"), (7, "/services/db/_c_1-lock-0000000001")] {
            _ = talk.ask(Jute.delete(Int32(xid), path))
            #expect(talk.answer(Jute.reply(Int32(xid))) == [])
        }
        _ = talk.ask(Jute.create(8, "/services/db/notes", "hello"))
        #expect(talk.answer(Jute.reply(8, Jute().text("/services/db/notes"))) == [])
        _ = talk.ask(Jute.delete(9, "/services/db/notes"))
        #expect(talk.answer(Jute.reply(9)) == [])
    }

    @Test("new data of a registered node is a registration anew") func setData() {
        var talk = Self.opened()
        _ = talk.ask(Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1))
        _ = talk.answer(Jute.reply(1, Jute().text("/services/web/a")))
        _ = talk.ask(Jute.request(2, 5, Jute().text("/services/web/a").text("10.0.0.1:81").int(-1)))
        let told = talk.answer(Jute.reply(2, Jute.stat(owner: Self.session)))
        #expect(told.map(\.summary) == ["register web a 10.0.0.1:81 \(Self.sessionID) true"])
        #expect(told.first?.update == true && told.first?.ttlSeconds == 6)
        // Created before anybody listened, by another session.
        _ = talk.ask(Jute.request(3, 5, Jute().text("/services/web/b").text("10.0.0.2:81").int(-1)))
        let other = talk.answer(Jute.reply(3, Jute.stat(owner: 0x77)))
        #expect(other.map(\.summary) == ["register web b 10.0.0.2:81 0x77 true"])
        #expect(other.first?.ephemeral == true && other.first?.update == nil)
    }

    @Test("looks at services are discovery, and what is missing was looked for") func discovery() {
        var talk = Self.opened()
        func look(_ bytes: [UInt8], _ xid: Int32, error: Int32 = 0) -> [String] {
            talk.ask(bytes).map(\.summary) + talk.answer(Jute.reply(xid, error: error)).map(\.summary)
        }
        #expect(look(Jute.children(1, "/services/web"), 1) == ["discover web true"])
        #expect(look(Jute.children(2, "/services"), 2) == ["discover true"])
        #expect(look(Jute.children(3, "/services/none"), 3, error: -101) == ["discover none true"])
        #expect(look(Jute.children(4, "/services/none"), 4, error: -102) == ["discover none false"])
        #expect(look(Jute.request(5, 4, Jute().text("/services/web/a").flag(false)), 5) == ["discover web true"])
        // Whether it stands is asked to create it; with a watch, to wait for it.
        #expect(look(Jute.request(6, 3, Jute().text("/services/web/a").flag(false)), 6) == [])
        #expect(look(Jute.request(7, 3, Jute().text("/services/web/a").flag(true)), 7) == ["discover web true"])
        #expect(look(Jute.request(8, 106, Jute().text("/services/web").int(1)), 8) == ["discover web true"])
        #expect(look(Jute.children(9, "/brokers/topics"), 9) == [])
        let read = Jute.all([
            Jute.operation(4, Jute().text("/services/web/a").flag(false)),
            Jute.operation(8, Jute().text("/services/db").flag(false)),
        ])
        #expect(look(Jute.request(10, 22, read), 10) == ["discover web true", "discover db true"])
        let watches = Jute().long(1).int(1).text("/services/web/a").int(0).int(2).text("/services/web")
            .text("/services/db")
        #expect(look(Jute.request(-8, 101, watches), -8) == ["discover web true", "discover db true"])
    }

    @Test("where services were registered, looks are about them") func known() {
        var talk = Self.opened()
        _ = talk.ask(Jute.create(1, "/eu/prod/web/a", #"{"name":"shop","address":"10.0.0.1","port":80}"#))
        _ = talk.answer(Jute.reply(1, Jute().text("/eu/prod/web/a")))
        _ = talk.ask(Jute.children(2, "/eu/prod/web"))
        #expect(talk.answer(Jute.reply(2)).map(\.summary) == ["discover shop true"])
    }

    @Test("a transaction is done whole or not at all") func transactions() {
        var talk = Self.opened()
        let operations = Jute.all([
            Jute.operation(13, Jute().text("/services").int(-1)),
            Jute.operation(1, Jute.creation("/services/web/n-", "10.0.0.1:80", mode: 3)),
            Jute.operation(2, Jute().text("/services/web/old").int(-1)),
            Jute.operation(5, Jute().text("/services/web/c").text("10.0.0.3:80").int(-1)),
        ])
        _ = talk.ask(Jute.request(1, 14, operations))
        let done = Jute.all([
            Jute.operation(13, Jute()), Jute.operation(1, Jute().text("/services/web/n-0000000003")),
            Jute.operation(2, Jute()), Jute.operation(5, Jute.stat(owner: 0)),
        ])
        #expect(
            talk.answer(Jute.reply(1, done)).map(\.summary) == [
                "register web n-0000000003 10.0.0.1:80 \(Self.sessionID) true", "deregister web old true",
                "register web c 10.0.0.3:80 true",
            ])
        _ = talk.ask(Jute.request(2, 14, operations))
        let failed = Jute.all([0, 0, -101, -2].map { Jute.operation(-1, Jute().int($0)) })
        let refused = talk.answer(Jute.reply(2, failed))
        #expect(refused.count == 3 && refused.allSatisfy { $0.accepted == false })
        _ = talk.ask(Jute.request(3, 14, operations))
        #expect(talk.answer(Jute.reply(3, error: -101)).allSatisfy { $0.accepted == false })
        _ = talk.ask(Jute.request(4, 14, operations))
        // An answer that does not fit says nothing.
        #expect(talk.answer(Jute.reply(4, Jute.all([]))).allSatisfy { $0.accepted == nil })
    }

    @Test("a lost connection ends no session, and another one goes on with it") func reconnected() {
        let dialect = ZooKeeper()
        var first = Self.opened(dialect)
        _ = first.ask(Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1))
        _ = first.answer(Jute.reply(1, Jute().text("/services/web/a")))
        #expect(first.end(.reset) == [] && first.end(.forgotten) == [])
        // To another server of the ensemble.
        var second = StreamTalk(dialect, StreamTalk.connection(port: 2181, registry: 0x0a4d_0003))
        _ = second.ask(Jute.connect(session: Self.session))
        #expect(
            second.answer(Jute.connected(session: Self.session)).map(\.summary) == ["heartbeat \(Self.sessionID) true"])
        _ = second.ask(Jute.request(1, -11))
        #expect(second.answer(Jute.reply(1)).map(\.summary) == ["deregister web a 10.0.0.1:80 \(Self.sessionID) true"])
    }

    @Test("a session that the server has ended takes its nodes along") func expired() {
        let dialect = ZooKeeper()
        func register() {
            var talk = Self.opened(dialect)
            _ = talk.ask(Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1))
            _ = talk.answer(Jute.reply(1, Jute().text("/services/web/a")))
        }
        let gone = ["deregister web a 10.0.0.1:80 \(Self.sessionID) true"]
        register()
        var stranger = Self.talk(dialect, guest: 0x0a4d_000c)
        _ = stranger.ask(Jute.connect(session: Self.session))
        #expect(stranger.answer(Jute.connected(session: 0, timeout: 0)) == [])
        var own = Self.talk(dialect)
        _ = own.ask(Jute.connect(session: Self.session))
        #expect(own.answer(Jute.connected(session: 0, timeout: 0)).map(\.summary) == gone)
        register()
        var late = Self.talk(dialect)
        _ = late.ask(Jute.connect(session: Self.session))
        #expect(late.answer(Jute.connected(session: Self.session)).count == 1)
        _ = late.ask(Jute.children(1, "/x"))
        #expect(late.answer(Jute.reply(1, error: -112)).map(\.summary) == gone)
    }

    @Test("a busy client renews its session without a ping") func busy() {
        var talk = Self.opened()
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
            Jute.reply(9, Jute().text("/services/web/a").adding(Jute.stat(owner: Self.session).bytes)))
        #expect(told.first?.leaseId == Self.sessionID)
        _ = talk.ask(Jute.request(10, -11))
        #expect(talk.answer(Jute.reply(10)).map(\.leaseId) == [Self.sessionID])
    }

    @Test("bytes cut anywhere make no difference", arguments: [1, 2, 3, 7, 19, 100]) func cut(piece: Int) {
        var talk = Self.talk()
        talk.piece = piece
        var told = talk.ask(Jute.connect()) + talk.answer(Jute.connected(session: Self.session))
        told += talk.ask(
            Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1) + Jute.children(2, "/services/web") + Jute.ping)
        told += talk.answer(
            Jute.reply(1, Jute().text("/services/web/a")) + Jute.reply(-1) + Jute.reply(2, Jute().int(0)) + Jute.pong)
        #expect(
            told.filter { $0.op != .heartbeat }.map(\.summary) == [
                "register web a 10.0.0.1:80 \(Self.sessionID) true", "discover web true",
            ])
        #expect(told.contains { $0.op == .heartbeat })
    }

    @Test("after a gap the next message is found") func gaps() {
        var talk = Self.opened()
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
        var talk = Self.opened()
        _ = talk.ask(Jute.children(1, "/services/web"))
        let answer = Jute.reply(1, Jute().int(1).text("some-long-name-of-an-instance"))
        #expect(talk.answer(Array(answer.prefix(24))) == [])
        #expect(talk.miss(answer: answer.count - 24).map(\.summary) == ["discover web true"])
        _ = talk.ask(Jute.ping)
        #expect(talk.answer(Jute.pong).map(\.summary) == ["heartbeat \(Self.sessionID) true"])
    }

    @Test("the other direction alone is readable") func oneDirection() {
        var talk = Self.talk()
        let told =
            talk.ask(Jute.connect() + Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1)) + talk.end(.forgotten)
        #expect(told.map(\.summary) == ["register web a 10.0.0.1:80 unseen"])
        var deaf = StreamTalk(ZooKeeper(), StreamTalk.connection(port: 2181))
        #expect(deaf.answer(Jute.connected(session: 1) + Jute.reply(1) + Jute.pong) == [])
    }

    @Test(
        "which nodes are services",
        arguments: [
            ("/services/web/a", "10.0.0.1:80", 0, "web a 10.0.0.1:80"),
            ("/services/web/10.0.0.1:80", "", 0, "web 10.0.0.1:80 10.0.0.1:80"),
            ("/services/web/instances/a", "http://h.example:80/x", 0, "web a h.example:80"),
            ("/app/web/10.0.0.1:80", "100", 1, "web 10.0.0.1:80 10.0.0.1:80"),
            ("/app/web/a", "10.0.0.1:80", 1, "web a 10.0.0.1:80"), ("/app/web/a", "10.0.0.1:80", 0, nil),
            ("/app/web/servers/a", "10.0.0.1:80", 1, "web a 10.0.0.1:80"),
            (
                "/aurora/jobs/web/member_0000000001",
                #"{"serviceEndpoint":{"host":"10.0.0.1","port":80},"additionalEndpoints":{},"status":"ALIVE"}"#, 1,
                "web member_0000000001 10.0.0.1:80"
            ),
            (
                "/discovery/web/1", #"{"name":"web","id":"1","address":"10.0.0.1","port":null,"sslPort":443}"#, 1,
                "web 1 10.0.0.1:443"
            ),
            ("/services/web", "", 0, nil), ("/services", "", 0, nil), ("/services/web/config", "x=1", 0, nil),
            (
                "/brokers/ids/0", #"{"endpoints":["PLAINTEXT://10.0.0.1:9092"],"host":"10.0.0.1","port":9092}"#, 1,
                nil
            ),
            ("/services/kafka/brokers/ids/0", #"{"host":"10.0.0.1","port":9092}"#, 1, nil),
            ("/controller", #"{"version":1,"brokerid":0}"#, 1, nil),
            ("/schema_registry/schema_registry_master", #"{"host":"10.0.0.1","port":8081}"#, 1, nil),
            ("/mesos/json.info_0000000001", #"{"address":{"port":5050},"hostname":"h","port":5050}"#, 1, nil),
            ("/election/web/c-0000000001", "10.0.0.1:80", 1, nil), ("/app/leader", "10.0.0.1:80", 1, nil),
            ("/services/web/_c_1-latch-0000000001", "10.0.0.1:80", 1, nil),
            ("/services/web/abc__lock__0000000001", "10.0.0.1:80", 1, nil),
            ("/hbase/rs/h,16020,1", "\u{1}PBUF", 1, nil), ("/live_nodes/10.0.0.1:8983_solr", "", 1, nil),
            ("/zookeeper/quota/services/a", "10.0.0.1:80", 0, nil), ("/a", "10.0.0.1:80", 1, nil),
        ] as [(String, String, Int32, String?)])
    func services(path: String, data: String, mode: Int32, expected: String?) {
        var talk = Self.opened()
        _ = talk.ask(Jute.create(1, path, data, mode: mode))
        let lease = mode == 1 ? " \(Self.sessionID)" : ""
        let told = talk.answer(Jute.reply(1, Jute().text(path)))
        #expect(told.map(\.summary) == expected.map { ["register \($0)\(lease) true"] } ?? [])
    }

    @Test("Dubbo's providers register, its consumers discover") func dubbo() throws {
        var talk = Self.opened()
        let base = "/dubbo/com.example.Greeter"
        let provider =
            base + "/providers/dubbo%3A%2F%2F10.0.0.1%3A20880%2Fcom.example.Greeter"
            + "%3Fapplication%3Da%26version%3D1.0%26group%3Dg"
        _ = talk.ask(Jute.create(1, provider, "10.0.0.1", mode: 1))
        let told = try #require(talk.answer(Jute.reply(1, Jute().text(provider))).first)
        #expect(told.service == "com.example.Greeter" && told.address == "10.0.0.1" && told.port == 20880)
        #expect(told.protocol == "dubbo" && told.version == "1.0" && told.group == "g")
        #expect(told.meta?["application"] == "a")
        let consumer = base + "/consumers/consumer%3A%2F%2F10.0.0.2%2Fcom.example.Greeter%3Fcategory%3Dconsumers"
        _ = talk.ask(Jute.create(2, consumer, "", mode: 1))
        #expect(talk.answer(Jute.reply(2)).map(\.summary) == ["discover com.example.Greeter true"])
        _ = talk.ask(Jute.children(3, base + "/providers"))
        #expect(talk.answer(Jute.reply(3)).map(\.summary) == ["discover com.example.Greeter true"])
        let rule = base + "/configurators/override%3A%2F%2F10.0.0.1%3A20880%2Fcom.example.Greeter"
        _ = talk.ask(Jute.create(4, rule, "", mode: 1))
        #expect(talk.answer(Jute.reply(4)) == [])
        _ = talk.ask(Jute.delete(5, provider))
        #expect(talk.answer(Jute.reply(5)).map { "\($0.op) \($0.service ?? "")" } == ["deregister com.example.Greeter"])
    }

    // MARK: - Hostile

    @Test(
        "what is no ZooKeeper is left alone", arguments: ["ruok", "stat\n", "GET / HTTP/1.1\r\n", "\u{16}\u{3}\u{1}"])
    func others(text: String) {
        #expect(ZooKeeper.recognizes(Array(text.utf8)[...], isStart: true) == .no)
        #expect(ZooKeeper.recognizes(Array(text.utf8)[...], isStart: false) == .no)
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
        var talk = Self.opened()
        _ = talk.ask(bytes)
        #expect(talk.answer(Jute.reply(1) + Jute.reply(.min) + bytes) == [])
        _ = talk.ask(Jute.children(1, "/services/web"))
        #expect(talk.wait(.seconds(6)).map(\.service) == ["web"])
    }

    @Test("what waits for answers, and what is kept of messages, is bounded") func bounded() {
        var talk = Self.opened()
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
            var talk = Self.opened(dialect, session: number)
            _ = talk.ask(Jute.create(1, "/services/s\(number)/a", "10.0.0.1:80", mode: 1))
            _ = talk.answer(Jute.reply(1, Jute().text("/services/s\(number)/a")))
        }
        #expect(dialect.ended(1, guest: .v4(IPv4Address(bits: 0x0a4d_000b)), network: NetworkID(0)) == [])
        #expect(dialect.ended(20_000, guest: .v4(IPv4Address(bits: 0x0a4d_000b)), network: NetworkID(0)).count == 1)
    }

    @Test("a stream of nonsense is given up") func nonsense() {
        var talk = Self.opened()
        for _ in 0..<20 {
            _ = talk.ask(Jute().int(-1).bytes + Jute.ping)
        }
        #expect(!talk.reader.isListening && talk.reader.takeCounts().parseErrors > 0)
    }
}
