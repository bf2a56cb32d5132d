import Foundation
import Model
import SwiftProtobuf
import Testing

@testable import Registries

@Suite("etcd over gRPC") struct EtcdGRPCTests {
    static let value = #"{"Name": "web", "Address": "10.0.0.1", "Port": 80}"#
    static let lease: Int64 = 7_668_682_376_692_516_740
    static let header = EtcdPBResponseHeader.with { $0.revision = 5 }

    static func put(_ key: String, _ value: String, lease: Int64 = 0) -> EtcdPBPutRequest {
        .with {
            $0.key = bytes(key)
            $0.value = bytes(value)
            $0.lease = lease
        }
    }

    static func bytes(_ text: String) -> Data { Data(text.utf8) }

    static func answer(id: Int64 = 0, ttl: Int64 = 0) -> EtcdPBLeaseResponse {
        .with {
            $0.header = header
            $0.id = id
            $0.ttl = ttl
        }
    }

    /// Calls in turn, each with one message both ways; without an answer it is refused.
    struct Talk {
        var wire = HTTP2Wire()
        init(isWhole: Bool = true) { if isWhole { wire.open() } }

        mutating func call(_ method: String, _ request: some Message, _ answer: (any Message)?) throws {
            try wire.unary(
                "/etcdserverpb.\(method)", try request.serializedBytes(), try answer.map { try $0.serializedBytes() })
        }
    }

    private func hear(_ talk: Talk) -> [Advertisement] { HTTP2Listening(Etcd()).hear(talk.wire.pieces) }

    @Test("a lease, a key on it, renewals on one stream, and its revocation") func life() throws {
        var talk = Talk()
        try talk.call(
            "Lease/LeaseGrant", EtcdPBLeaseGrantRequest.with { $0.ttl = 12 }, Self.answer(id: Self.lease, ttl: 12))
        try talk.call(
            "KV/Put", Self.put("/services/web/web-1", Self.value, lease: Self.lease),
            EtcdPBPutResponse.with { $0.header = Self.header })
        let stream = try talk.wire.call("/etcdserverpb.Lease/LeaseKeepAlive")
        for isFirst in [true, false] {
            talk.wire.send(
                try EtcdPBLeaseKeepAliveRequest.with { $0.id = Self.lease }.serializedBytes(), on: stream, ends: false)
            if isFirst { try talk.wire.head(on: stream) }
            talk.wire.answer(try Self.answer(id: Self.lease, ttl: 12).serializedBytes(), on: stream)
        }
        try talk.call("Lease/LeaseRevoke", EtcdPBLeaseRevokeRequest.with { $0.id = Self.lease }, EtcdPBPutResponse())
        let heard = hear(talk)
        #expect(
            heard.map(\.summary) == [
                "lease \(Self.lease) true", "register web web-1 10.0.0.1:80 \(Self.lease) true",
                "heartbeat \(Self.lease) true", "heartbeat \(Self.lease) true", "deregister \(Self.lease) true",
                "deregister web web-1 10.0.0.1:80 \(Self.lease) true",
            ])
        #expect(heard.prefix(4).map(\.ttlSeconds) == [12, 12, 12, 12])
        #expect(heard[1].key == "/services/web/web-1" && heard[1].value == Self.value)
    }

    @Test("a lease that is gone ends its keys, and refused puts are none") func lapsed() throws {
        var talk = Talk()
        try talk.call("KV/Put", Self.put("/services/web/a", "10.0.0.1:80", lease: 5), EtcdPBPutResponse())
        try talk.call("KV/Put", Self.put("/services/web/b", "10.0.0.1:81", lease: 6), nil)
        try talk.call("Lease/LeaseKeepAlive", EtcdPBLeaseKeepAliveRequest.with { $0.id = 5 }, Self.answer(id: 5))
        try talk.call("Lease/LeaseRevoke", EtcdPBLeaseRevokeRequest.with { $0.id = 6 }, EtcdPBPutResponse())
        #expect(
            hear(talk).map(\.summary) == [
                "register web a 10.0.0.1:80 5 true", "register web b 10.0.0.1:81 6 false", "heartbeat 5 false",
                "deregister web a 10.0.0.1:80 5 true", "deregister 6 true",
            ])
    }

    @Test("deletions, look-ups, watches") func keys() throws {
        var talk = Talk()
        try talk.call("KV/Put", Self.put("/my/web/a", "10.0.0.1:80", lease: 4), EtcdPBPutResponse())
        try talk.call("KV/Put", Self.put("/config/size", "12"), EtcdPBPutResponse())
        try talk.call(
            "KV/Range",
            EtcdPBRangeRequest.with {
                $0.key = Self.bytes("/services/cart/")
                $0.rangeEnd = Self.bytes("/services/cart0")
            }, EtcdPBRangeResponse())
        let watch = EtcdPBWatchRequest.with {
            $0.createRequest.key = Self.bytes("/services/")
            $0.createRequest.rangeEnd = Self.bytes("/services0")
        }
        try talk.call("Watch/Watch", watch, EtcdPBWatchResponse.with { $0.created = true })
        try talk.call("Watch/Watch", watch, EtcdPBWatchResponse.with { $0.canceled = true })
        try talk.call(
            "KV/DeleteRange",
            EtcdPBDeleteRangeRequest.with {
                $0.key = Self.bytes("/my/")
                $0.rangeEnd = Data([0])
            }, EtcdPBDeleteRangeResponse.with { $0.deleted = 1 })
        try talk.call("Auth/Authenticate", EtcdPBLeaseGrantRequest(), EtcdPBPutResponse())
        let heard = hear(talk)
        #expect(
            heard.map(\.summary) == [
                "register web a 10.0.0.1:80 4 true", "discover cart true", "discover true", "discover false",
                "deregister web a 10.0.0.1:80 4 true",
            ])
        #expect(heard[1].key == "/services/cart/" && heard[2].key == "/services/")
    }

    @Test("a transaction does one half or the other, as its answer says", arguments: [true, false]) func transaction(
        succeeded: Bool
    ) throws {
        var talk = Talk()
        let request = EtcdPBTxnRequest.with {
            $0.success = [.with { $0.requestPut = Self.put("/services/web/yes", Self.value) }]
            $0.failure = [.with { $0.requestPut = Self.put("/services/web/no", Self.value) }]
        }
        try talk.call("KV/Txn", request, EtcdPBTxnResponse.with { $0.succeeded = succeeded })
        #expect(hear(talk).map(\.summary) == ["register web \(succeeded ? "yes" : "no") 10.0.0.1:80 true"])
    }

    @Test("a value with several endpoints is as many registrations, which end together") func endpoints() throws {
        let value = #"{"id":"k-1","name":"shop","endpoints":["http://10.0.0.1:80","grpc://10.0.0.1:90"]}"#
        var talk = Talk()
        try talk.call("KV/Put", Self.put("/microservices/shop/k-1", value, lease: 4), EtcdPBPutResponse())
        try talk.call("KV/Put", Self.put("/microservices/shop/k-1", value, lease: 5), EtcdPBPutResponse())
        try talk.call("Lease/LeaseRevoke", EtcdPBLeaseRevokeRequest.with { $0.id = 4 }, EtcdPBPutResponse())
        try talk.call("Lease/LeaseRevoke", EtcdPBLeaseRevokeRequest.with { $0.id = 5 }, EtcdPBPutResponse())
        #expect(
            hear(talk).map(\.summary) == [
                "register shop k-1 10.0.0.1:80 4 true", "register shop k-1 10.0.0.1:90 4 true",
                "register shop k-1 10.0.0.1:80 5 true", "register shop k-1 10.0.0.1:90 5 true", "deregister 4 true",
                "deregister 5 true", "deregister shop k-1 10.0.0.1:80 5 true", "deregister shop k-1 10.0.0.1:90 5 true",
            ])
    }

    @Test("a put that keeps the value or the lease keeps the registration") func kept() throws {
        var talk = Talk()
        try talk.call("KV/Put", Self.put("/services/web/a", "10.0.0.1:80", lease: 4), EtcdPBPutResponse())
        var again = Self.put("/services/web/a", "", lease: 5)
        again.ignoreValue = true
        try talk.call("KV/Put", again, EtcdPBPutResponse())
        again = Self.put("/services/web/a", "10.0.0.1:81")
        again.ignoreLease = true
        try talk.call("KV/Put", again, EtcdPBPutResponse())
        #expect(
            hear(talk).map(\.summary) == [
                "register web a 10.0.0.1:80 4 true", "register web a 10.0.0.1:80 5 true",
                "register web a 10.0.0.1:81 5 true",
            ])
    }

    @Test("calls whose method went by are known by what they hold and what is answered") func shapes() throws {
        var talk = Talk(isWhole: false)
        // These go into the tables, unheard.
        let methods = [
            "KV/Put", "KV/Range", "KV/DeleteRange", "KV/Txn", "Lease/LeaseGrant", "Lease/LeaseKeepAlive",
            "Lease/LeaseRevoke", "Lease/LeaseTimeToLive", "Watch/Watch",
        ]
        for method in methods { try talk.call(method, EtcdPBPutRequest(), EtcdPBPutResponse()) }
        let heard = talk.wire.pieces.count
        let header = EtcdPBPutResponse.with { $0.header = Self.header }
        try talk.call("Lease/LeaseGrant", EtcdPBLeaseGrantRequest.with { $0.ttl = 12 }, Self.answer(id: 77, ttl: 12))
        try talk.call("KV/Put", Self.put("/services/web/a", Self.value, lease: 77), header)
        let range = EtcdPBRangeRequest.with {
            $0.key = Self.bytes("/services/web/")
            $0.rangeEnd = Self.bytes("/services/web0")
        }
        try talk.call(
            "KV/Range", range,
            EtcdPBRangeResponse.with {
                $0.header = Self.header
                $0.count = 1
            })
        try talk.call(
            "Lease/LeaseKeepAlive", EtcdPBLeaseKeepAliveRequest.with { $0.id = 77 }, Self.answer(id: 77, ttl: 12))
        let txn = EtcdPBTxnRequest.with {
            $0.success = [.with { $0.requestPut = Self.put("/services/web/b", Self.value) }]
        }
        try talk.call("KV/Txn", txn, EtcdPBTxnResponse.with { $0.succeeded = true })
        let watch = EtcdPBWatchRequest.with { $0.createRequest.key = Self.bytes("/services/web/a") }
        try talk.call("Watch/Watch", watch, EtcdPBWatchResponse.with { $0.created = true })
        try talk.call("KV/DeleteRange", range, EtcdPBDeleteRangeResponse.with { $0.deleted = 1 })
        try talk.call("KV/Put", Self.put("/config/db", "secret"), header)
        try talk.call("Lease/LeaseRevoke", EtcdPBLeaseRevokeRequest.with { $0.id = 77 }, header)
        try talk.call("Lease/LeaseRevoke", EtcdPBLeaseRevokeRequest.with { $0.id = 99 }, header)
        let told = HTTP2Listening(Etcd(), isWhole: false).hear(talk.wire.pieces[heard...])
        #expect(
            told.map(\.summary) == [
                "lease 77 true", "register web a 10.0.0.1:80 77 true", "discover web true", "heartbeat 77 true",
                "register web b 10.0.0.1:80 true", "discover web true", "deregister web a 10.0.0.1:80 77 true",
                "deregister web b 10.0.0.1:80 true", "deregister 77 true",
            ])
    }

    @Test("through the ear, joined at any frame, nothing is told wrongly") func joined() throws {
        var talk = Talk()
        for index in 0..<3 {
            try talk.call(
                "KV/Put", Self.put("/services/web/\(index)", "10.0.0.1:8\(index)", lease: 9),
                EtcdPBPutResponse.with { $0.header = Self.header })
        }
        var wire = Wire(registryPort: 2379)
        wire.open()
        for piece in talk.wire.pieces {
            if piece.fromGuest { wire.ask(piece.bytes) } else { wire.answer(bytes: piece.bytes) }
        }
        let frames = wire.take()
        for start in frames.indices {
            var listening = Listening()
            let heard = listening.hear(Array(frames[start...]))
            #expect(heard.allSatisfy { $0.op == .register && $0.accepted == true }, "from frame \(start)")
            if start <= 3 { #expect(heard.count == 3) }
            if start < frames.count - 6 { #expect(heard.last?.id == "2", "from frame \(start)") }
        }
    }

    @Test("what is none of its messages is counted") func unreadable() throws {
        let etcd = Etcd()
        var wire = HTTP2Wire()
        wire.open()
        try wire.unary("/etcdserverpb.KV/Put", [0xff, 0xff, 0xff], [])
        try wire.unary("/etcdserverpb.KV/Put", try Self.put("", "10.0.0.1:80").serializedBytes(), [])
        #expect(HTTP2Listening(etcd).hear(wire.pieces).isEmpty)
        #expect(etcd.unreadable == 2)
    }
}
