import Model
import Packets
import Testing

@testable import Registries

@Suite("ZooKeeper") struct ZooKeeperTests {
    static let curator = #"""
        {"name":"web","id":"web-1","address":"10.0.0.1","port":8080,"sslPort":null,"payload":{"@class":"x","id":"a",
        "metadata":{"v":"1"}},"registrationTimeUTC":1,"serviceType":"DYNAMIC","uriSpec":{"parts":[]}}
        """#

    @Test("an ephemeral node is a registration that lives as long as its session") func ephemeral() throws {
        var talk = ZooKeeperTalk.opened()
        #expect(talk.ask(Jute.create(1, "/services/web/web-1", Self.curator, mode: 1)) == [])
        let told = try #require(talk.answer(Jute.reply(1, Jute().text("/services/web/web-1"))).first)
        #expect(told.summary == "register web web-1 10.0.0.1:8080 \(ZooKeeperTalk.sessionID) true")
        #expect(told.meta == ["v": "1"] && told.path == "/services/web/web-1")
        #expect(told.ephemeral == true && told.sequential == false)
        #expect(told.ttlSeconds == 6 && told.sessionTimeoutMs == 6000)
        #expect(talk.ask(Jute.ping) == [])
        #expect(talk.answer(Jute.pong).map(\.summary) == ["heartbeat \(ZooKeeperTalk.sessionID) true"])
        #expect(talk.ask(Jute.request(2, -11)) == [])
        let ended = talk.answer(Jute.reply(2))
        #expect(ended.map(\.summary) == ["deregister web web-1 10.0.0.1:8080 \(ZooKeeperTalk.sessionID) true"])
        #expect(talk.end(.registry) == [] && talk.end(.forgotten) == [])
    }

    @Test("clients from before read-only servers say one byte less") func old() {
        var talk = ZooKeeperTalk.talk()
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
        var talk = ZooKeeperTalk.opened()
        let isSequential = [2, 3, 6].contains(mode)
        let asked = isSequential ? "/services/web/n-" : "/services/web/n-7"
        let made = isSequential ? "/services/web/n-0000000007" : asked
        _ = talk.ask(Jute.create(1, asked, "10.0.0.1:80", mode: mode, opcode: opcode, ttl: opcode == 21 ? 1500 : nil))
        let isEphemeral = mode == 1 || mode == 3
        let answer = Jute().text(made)
        let told = talk.answer(
            Jute.reply(
                1, opcode == 1 ? answer : answer.adding(Jute.stat(owner: isEphemeral ? ZooKeeperTalk.session : 0).bytes)
            ))
        let lease = isEphemeral ? " \(ZooKeeperTalk.sessionID)" : ""
        let id = isSequential ? "n-0000000007" : "n-7"
        #expect(told.map(\.summary) == ["register web \(id) 10.0.0.1:80\(lease) true"])
        #expect(told.first?.path == made && told.first?.sequential == isSequential)
        #expect(told.first?.ttlSeconds == (opcode == 21 ? 2 : isEphemeral ? 6 : nil))
    }

    @Test("a refused creation registers nothing, an unseen answer leaves it open") func refused() {
        var talk = ZooKeeperTalk.opened()
        _ = talk.ask(Jute.create(1, "/services/web/a", "10.0.0.1:80"))
        #expect(talk.answer(Jute.reply(1, error: -110)).map(\.summary) == ["register web a 10.0.0.1:80 false"])
        _ = talk.ask(Jute.create(2, "/services/web/b-", "10.0.0.1:80", mode: 3))
        #expect(talk.wait(.seconds(4)) == [])
        // The number that the server appended is not known.
        #expect(
            talk.wait(.seconds(2)).map(\.summary) == ["register web 10.0.0.1:80 \(ZooKeeperTalk.sessionID) unseen"])
    }

    @Test("answers are paired by number, in whatever order") func order() {
        var talk = ZooKeeperTalk.opened()
        _ = talk.ask(
            Jute.create(1, "/services/web/a", "10.0.0.1:80") + Jute.create(2, "/services/web/b", "10.0.0.2:80"))
        let told = talk.answer(Jute.reply(2, error: -110) + Jute.reply(1, Jute().text("/services/web/a")))
        #expect(told.map(\.summary) == ["register web b 10.0.0.2:80 false", "register web a 10.0.0.1:80 true"])
    }

    @Test("a deleted node is withdrawn, known or not") func deletion() {
        var talk = ZooKeeperTalk.opened()
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
        var talk = ZooKeeperTalk.opened()
        _ = talk.ask(Jute.create(1, "/services/web/a", "10.0.0.1:80", mode: 1))
        _ = talk.answer(Jute.reply(1, Jute().text("/services/web/a")))
        _ = talk.ask(Jute.request(2, 5, Jute().text("/services/web/a").text("10.0.0.1:81").int(-1)))
        let told = talk.answer(Jute.reply(2, Jute.stat(owner: ZooKeeperTalk.session)))
        #expect(told.map(\.summary) == ["register web a 10.0.0.1:81 \(ZooKeeperTalk.sessionID) true"])
        #expect(told.first?.update == true && told.first?.ttlSeconds == 6)
        // Created before anybody listened, by another session.
        _ = talk.ask(Jute.request(3, 5, Jute().text("/services/web/b").text("10.0.0.2:81").int(-1)))
        let other = talk.answer(Jute.reply(3, Jute.stat(owner: 0x77)))
        #expect(other.map(\.summary) == ["register web b 10.0.0.2:81 0x77 true"])
        #expect(other.first?.ephemeral == true && other.first?.update == nil)
    }

    @Test("looks at services are discovery, and what is missing was looked for") func discovery() {
        var talk = ZooKeeperTalk.opened()
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
        var talk = ZooKeeperTalk.opened()
        _ = talk.ask(Jute.create(1, "/eu/prod/web/a", #"{"name":"shop","address":"10.0.0.1","port":80}"#))
        _ = talk.answer(Jute.reply(1, Jute().text("/eu/prod/web/a")))
        _ = talk.ask(Jute.children(2, "/eu/prod/web"))
        #expect(talk.answer(Jute.reply(2)).map(\.summary) == ["discover shop true"])
    }

    @Test("a transaction is done whole or not at all") func transactions() {
        var talk = ZooKeeperTalk.opened()
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
                "register web n-0000000003 10.0.0.1:80 \(ZooKeeperTalk.sessionID) true", "deregister web old true",
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
        var talk = ZooKeeperTalk.opened()
        _ = talk.ask(Jute.create(1, path, data, mode: mode))
        let lease = mode == 1 ? " \(ZooKeeperTalk.sessionID)" : ""
        let told = talk.answer(Jute.reply(1, Jute().text(path)))
        #expect(told.map(\.summary) == expected.map { ["register \($0)\(lease) true"] } ?? [])
    }

    @Test("Dubbo's providers register, its consumers discover") func dubbo() throws {
        var talk = ZooKeeperTalk.opened()
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
}
