import Foundation
import Model
import SwiftProtobuf
import Testing

@testable import Registries

@Suite("Nacos over gRPC") struct NacosGRPCTests {
    static let yes = #"{"resultCode":200,"errorCode":0,"success":true}"#

    static func payload(_ type: String, _ json: String) throws -> [UInt8] {
        try NacosPBPayload.with {
            $0.metadata.type = type
            $0.body.value = Data(json.utf8)
        }.serializedBytes()
    }

    static func instance(_ port: Int, ephemeral: Bool = true) -> String {
        #"{"instanceId":null,"ip":"10.0.0.1","port":\#(port),"weight":2.0,"ephemeral":\#(ephemeral),"metadata":{"v":"3"}}"#
    }

    static func request(_ type: String, _ port: Int, ephemeral: Bool = true) -> String {
        let instance = instance(port, ephemeral: ephemeral)
        return #"{"namespace":"public","serviceName":"web","groupName":"G","type":"\#(type)","instance":\#(instance)}"#
    }

    struct Talk {
        var wire = HTTP2Wire()
        init() { wire.open() }

        mutating func call(_ type: String, _ json: String, _ answer: String? = NacosGRPCTests.yes) throws {
            let answerType = type.replacing("Request", with: "Response")
            try wire.unary(
                "/Request/request", try NacosGRPCTests.payload(type, json),
                try answer.map { try NacosGRPCTests.payload(answerType, $0) })
        }
    }

    @Test("an instance: registered, renewed, deregistered") func life() throws {
        var talk = Talk()
        try talk.call("HealthCheckRequest", "{}")
        try talk.call("InstanceRequest", Self.request("registerInstance", 80))
        try talk.call("HealthCheckRequest", "{}")
        try talk.call("InstanceRequest", Self.request("deregisterInstance", 80))
        try talk.call("HealthCheckRequest", "{}")
        let listening = HTTP2Listening(Nacos())
        let heard = listening.hear(talk.wire.pieces)
        #expect(
            heard.map(\.summary) == [
                "heartbeat true", "register web 10.0.0.1:80 true", "heartbeat web 10.0.0.1:80 true",
                "deregister web 10.0.0.1:80 true", "heartbeat true",
            ])
        #expect(heard[1].namespace == "public" && heard[1].group == "G" && heard[1].weight == 2)
        #expect(heard[1].meta == ["v": "3"] && heard[1].ephemeral == true && heard[1].key == heard[3].key)
        #expect(listening.end(.guest).isEmpty)
    }

    @Test("the connection's end ends what is ephemeral, not what is persistent; forgotten, nothing") func ends() throws
    {
        var talk = Talk()
        try talk.call("InstanceRequest", Self.request("registerInstance", 80))
        try talk.call("PersistentInstanceRequest", Self.request("registerInstance", 81))
        try talk.call("InstanceRequest", Self.request("registerInstance", 82, ephemeral: false))
        try talk.call("InstanceRequest", Self.request("registerInstance", 83), nil)
        let nacos = Nacos()
        for end in [StreamEnd.guest, .registry, .reset] {
            let listening = HTTP2Listening(nacos)
            #expect(
                listening.hear(talk.wire.pieces).map(\.summary) == [
                    "register web 10.0.0.1:80 true", "register web 10.0.0.1:81 true", "register web 10.0.0.1:82 true",
                    "register web 10.0.0.1:83 false",
                ])
            #expect(listening.end(end).map(\.summary) == ["deregister web 10.0.0.1:80 true"])
        }
        let listening = HTTP2Listening(nacos)
        _ = listening.hear(talk.wire.pieces)
        #expect(listening.end(.forgotten).isEmpty)
        // Joined again in the middle, it is still the same connection.
        let again = HTTP2Listening(nacos, isWhole: false)
        var later = Talk()
        let before = later.wire.pieces.count
        try later.call("HealthCheckRequest", "{}")
        #expect(again.hear(later.wire.pieces[before...]).map(\.summary) == ["heartbeat web 10.0.0.1:80 true"])
        #expect(again.end(.reset).map(\.summary) == ["deregister web 10.0.0.1:80 true"])
    }

    @Test("a new connection on the same ports has nothing of the old one") func replaced() throws {
        var talk = Talk()
        try talk.call("InstanceRequest", Self.request("registerInstance", 80))
        let nacos = Nacos()
        let listening = HTTP2Listening(nacos)
        _ = listening.hear(talk.wire.pieces)
        _ = listening.end(.forgotten)
        let next = HTTP2Listening(nacos)
        _ = next.hear(Talk().wire.pieces)
        #expect(next.end(.guest).isEmpty)
    }

    @Test("a batch stands for all of a service") func batch() throws {
        func batch(_ ports: [Int]) -> String {
            let instances = ports.map { Self.instance($0) }.joined(separator: ",")
            return #"{"serviceName":"G@@web","type":"batchRegisterInstance","instances":[\#(instances)]}"#
        }
        var talk = Talk()
        try talk.call("BatchInstanceRequest", batch([80, 81]))
        try talk.call("BatchInstanceRequest", batch([81, 82]))
        let heard = HTTP2Listening(Nacos()).hear(talk.wire.pieces)
        #expect(
            heard.map(\.summary) == [
                "register web 10.0.0.1:80 true", "register web 10.0.0.1:81 true", "register web 10.0.0.1:81 true",
                "register web 10.0.0.1:82 true", "deregister web 10.0.0.1:80 true",
            ])
        #expect(heard.prefix(4).allSatisfy { $0.batch == true && $0.group == "G" })
    }

    @Test("queries and subscriptions are look-ups") func discovery() throws {
        var talk = Talk()
        try talk.call("ServiceQueryRequest", #"{"namespace":"n","serviceName":"web","groupName":"G","cluster":"c"}"#)
        try talk.call("com.alibaba.nacos.api.naming.remote.request.ServiceListRequest", #"{"groupName":"G"}"#)
        try talk.call("SubscribeServiceRequest", #"{"serviceName":"cart","groupName":"G","subscribe":false}"#)
        try talk.call("SubscribeServiceRequest", #"{"serviceName":"cart","groupName":"G","subscribe":true}"#)
        try talk.call("ConfigQueryRequest", #"{"dataId":"x"}"#)
        let heard = HTTP2Listening(Nacos()).hear(talk.wire.pieces)
        #expect(
            heard.map(\.summary) == ["discover web true", "discover true", "discover cart true", "discover cart true"])
        #expect(heard.first?.namespace == "n" && heard.first?.cluster == "c")
    }

    @Test(
        "what the server says decides",
        arguments: [
            (#"{"resultCode":200}"#, true), (#"{"resultCode":500,"errorCode":301,"success":false}"#, false),
            (#"{"success":false}"#, false), (#"{"errorCode":20003}"#, false), ("{}", true), ("[", nil),
        ] as [(String, Bool?)])
    func answers(answer: String, accepted: Bool?) throws {
        var talk = Talk()
        try talk.call("InstanceRequest", Self.request("registerInstance", 80), answer)
        #expect(HTTP2Listening(Nacos()).hear(talk.wire.pieces).map(\.accepted) == [accepted])
    }

    @Test("a health check that is refused ends what the connection held") func unregistered() throws {
        var talk = Talk()
        try talk.call("InstanceRequest", Self.request("registerInstance", 80))
        try talk.call("HealthCheckRequest", "{}", #"{"resultCode":500,"errorCode":301}"#)
        #expect(
            HTTP2Listening(Nacos()).hear(talk.wire.pieces).map(\.summary) == [
                "register web 10.0.0.1:80 true", "heartbeat web 10.0.0.1:80 false", "deregister web 10.0.0.1:80 true",
            ])
    }

    @Test("hostile payloads are none, and what a connection holds is bounded") func hostile() throws {
        let nacos = Nacos()
        var talk = Talk()
        try talk.call("InstanceRequest", String(repeating: "[", count: 100_000))
        try talk.call("InstanceRequest", #"{"serviceName":"web","instance":{"ip":"x y","port":99999}}"#)
        try talk.call("InstanceRequest", #"{"serviceName":7,"instance":[]}"#)
        try talk.wire.unary("/Request/request", [0xff, 0xff], [])
        #expect(HTTP2Listening(nacos).hear(talk.wire.pieces).isEmpty && nacos.unreadable == 3)
        var connections = NacosConnections()
        for index in 0..<5000 {
            var told = Advertisement(registry: "nacos", op: .register)
            told.key = "\(index)"
            connections.add(told, to: HTTP2Listening.connection)
        }
        #expect(connections.of(HTTP2Listening.connection).count == 1024)
    }
}
