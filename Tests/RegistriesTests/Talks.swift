import Model
import Packets
import Testing

@testable import Registries

/// What is said on one connection, for tests that cut, swap and damage it.
struct Talk: Sendable, CustomTestStringConvertible {
    enum Turn: Sendable {
        case ask([UInt8])
        case answer([UInt8])
    }

    var name: String
    var port: UInt16
    var turns: [Turn]
    var testDescription: String { name }

    /// One line for each language.
    static let all: [Talk] = [
        Talk(
            name: "Consul", port: 8500,
            turns: [
                .ask(EarTests.registration), .answer(HTTP.answer()),
                .ask(HTTP.chunked("PUT", "/v1/agent/service/register", #"{"Name":"db","Port":5432}"#, size: 5)),
                .answer(HTTP.answer(500, "no")), .ask(HTTP.request("GET", "/v1/health/service/db?passing=1")),
                .answer(HTTP.answer(200, "[]")), .ask(EarTests.deregistration), .answer(HTTP.answer()),
            ]),
        Talk(
            name: "etcd's gateway", port: 2379,
            turns: [
                .ask(HTTP.request("POST", "/v3/lease/grant", #"{"TTL":12}"#)),
                .answer(HTTP.answer(200, #"{"ID":"77","TTL":"12"}"#)),
                .ask(
                    HTTP.request(
                        "POST", "/v3/kv/put",
                        #"{"key":"L3NlcnZpY2VzL3dlYi93MQ==","value":"MTAuMC4wLjE6ODA=","lease":77}"#)),
                .answer(HTTP.answer(200, "{}")), .ask(HTTP.request("POST", "/v3/lease/revoke", #"{"ID":"77"}"#)),
                .answer(HTTP.answer(200, "{}")),
            ]),
        Talk(
            name: "Nacos over HTTP", port: 8848,
            turns: [
                .ask(HTTP.request("POST", "/nacos/v1/ns/instance?serviceName=pay&ip=10.0.0.1&port=80")),
                .answer(HTTP.answer(200, "ok")),
                .ask(HTTP.request("DELETE", "/nacos/v1/ns/instance?serviceName=pay&ip=10.0.0.1&port=80")),
                .answer(HTTP.answer(200, "ok")),
            ]),
    ]

    /// As it passes, in segments of so many bytes.
    func frames(segment: Int = 1460, isV6: Bool = false, vlan: UInt16? = nil) -> [[UInt8]] {
        var wire = Wire(registryPort: port, isV6: isV6)
        wire.segment = segment
        wire.vlan = vlan
        wire.open()
        for turn in turns {
            switch turn {
            case .ask(let bytes): wire.ask(bytes)
            case .answer(let bytes): wire.answer(bytes: bytes)
            }
        }
        wire.close()
        return wire.take()
    }
}

extension Talk.Turn {
    static func ask(_ text: String) -> Self { .ask(Array(text.utf8)) }
    static func answer(_ text: String) -> Self { .answer(Array(text.utf8)) }
}
