import Model
import Testing

@testable import Registries

@Suite("etcd's keys of version 2") struct EtcdV2Tests {
    struct Call {
        var method: String
        var path: String
        var form: String
        var answer: String
        var status = 200

        init(_ method: String, _ path: String, _ form: String = "", answer: String = "{}", status: Int = 200) {
            self.method = method
            self.path = path
            self.form = form
            self.answer = answer
            self.status = status
        }
    }

    private func talk(_ calls: [Call], port: UInt16 = 2379) -> [Advertisement] {
        var wire = Wire(registryPort: port)
        wire.open()
        for call in calls {
            let headers = call.form.isEmpty ? [] : ["Content-Type: application/x-www-form-urlencoded"]
            wire.ask(HTTP.request(call.method, "/v2/keys" + call.path, call.form, headers: headers))
            wire.answer(HTTP.answer(call.status, call.answer))
        }
        var listening = Listening()
        return listening.hear(wire.take())
    }

    private static func node(_ key: String, isDirectory: Bool = false) -> String {
        #"{"action":"set","node":{"key":"\#(key)","modifiedIndex":7\#(isDirectory ? #","dir":true"# : "")}}"#
    }

    @Test("a key with a time to live: put, renewed, deleted", arguments: [2379, 4001] as [UInt16]) func life(
        port: UInt16
    ) {
        let heard = talk(
            [
                Call(
                    "PUT", "/services/web/a", "value=10.0.0.1%3A80&ttl=30", answer: Self.node("/services/web/a"),
                    status: 201),
                Call("PUT", "/services/web/a", "ttl=30&refresh=true&prevExist=true"),
                Call("PUT", "/services/web/a?ttl=60", "value=10.0.0.1%3A80&prevExist=true"),
                Call("DELETE", "/services/web/a"),
            ], port: port)
        #expect(
            heard.map(\.summary) == [
                "register web a 10.0.0.1:80 true", "heartbeat web a 10.0.0.1:80 true",
                "register web a 10.0.0.1:80 true", "deregister web a 10.0.0.1:80 true",
            ])
        #expect(heard.map(\.ttlSeconds) == [30, 30, 60, nil])
        #expect(heard.map(\.update) == [nil, nil, true, true] || heard[2].update == true)
        #expect(heard.allSatisfy { $0.key == "/services/web/a" } && heard[0].value == "10.0.0.1:80")
    }

    @Test("a key in order gets its name from the answer") func inOrder() {
        let heard = talk([
            Call(
                "POST", "/services/web", "value=10.0.0.1%3A80&ttl=30",
                answer: Self.node("/services/web/00000000000000000017"), status: 201),
            Call("DELETE", "/services/web/00000000000000000017"),
        ])
        #expect(
            heard.map(\.summary) == [
                "register web 00000000000000000017 10.0.0.1:80 true",
                "deregister web 00000000000000000017 10.0.0.1:80 true",
            ])
        #expect(heard.first?.sequential == true && heard.first?.key == "/services/web/00000000000000000017")
    }

    @Test("a directory's time to live is that of what is in it") func directory() {
        let heard = talk([
            Call("PUT", "/services/web", "dir=true&ttl=20"),
            Call("PUT", "/services/web/a", #"value={"host":"10.0.0.1","port":80}"#),
            Call("PUT", "/services/web/b", "value=10.0.0.2:80"),
            Call("PUT", "/services/web?dir=true&ttl=25&prevExist=true"),
            Call("DELETE", "/services/web?recursive=true"),
        ])
        #expect(
            heard.map(\.summary) == [
                "register web a 10.0.0.1:80 true", "register web b 10.0.0.2:80 true",
                "heartbeat web a 10.0.0.1:80 true", "heartbeat web b 10.0.0.2:80 true",
                "deregister web a 10.0.0.1:80 true", "deregister web b 10.0.0.2:80 true",
            ])
        #expect(heard.prefix(4).map(\.ttlSeconds) == [20, 20, 25, 25])
    }

    @Test("look-ups, of what is there and of what is not, and waiting for it") func discovery() {
        let heard = talk([
            Call(
                "GET", "/services/web?recursive=true&sorted=true", answer: Self.node("/services/web", isDirectory: true)
            ),
            Call("GET", "/services/cart", answer: #"{"errorCode":100}"#, status: 404),
            Call("GET", "/services/web/a", answer: Self.node("/services/web/a")),
            Call("GET", "/services/prod/web", answer: Self.node("/services/prod/web", isDirectory: true)),
            Call("GET", "/services?wait=true&recursive=true"), Call("GET", "/config/x"),
        ])
        #expect(heard.map(\.service) == ["web", "cart", "web", "web", nil])
        #expect(heard.allSatisfy { $0.op == .discover && $0.accepted == true })
    }

    @Test("what is refused changed nothing; what was not heard before is known by its name") func refused() {
        let heard = talk([
            Call(
                "PUT", "/services/web/a", "value=10.0.0.1:80&prevExist=true", answer: #"{"errorCode":100}"#, status: 404
            ),
            Call("PUT", "/my/web/a", "value=10.0.0.1:80&ttl=5&prevValue=x", answer: #"{"errorCode":101}"#, status: 412),
            Call("DELETE", "/my/web/a"), Call("DELETE", "/services/old/x"),
            Call("PUT", "/services/old/y", "refresh=true&ttl=9&prevExist=true"),
        ])
        #expect(
            heard.map(\.summary) == [
                "register web a 10.0.0.1:80 false", "register web a 10.0.0.1:80 false", "deregister old x true",
                "heartbeat old y true",
            ])
    }

    @Test("settings and other calls are nobody's services") func others() {
        let long = "/services/" + String(repeating: "x", count: 5000)
        let heard = talk([
            Call("PUT", "/config/size", "value=12&ttl=5"), Call("PUT", "/config/db", "value=10.0.0.1:80"),
            Call("PUT", "/services/web/a", "value="), Call("PUT", long, "value=10.0.0.1:80"),
            Call("PUT", "/services/web/a", "ttl=99999999999999999999"), Call("GET", ""), Call("DELETE", "/config/db"),
            Call("OPTIONS", "/services/web/a"),
        ])
        #expect(heard.isEmpty)
    }
}
