import Testing

@testable import Registries

@Suite("Encoded bodies") struct ContentCodingTests {
    private static let text = #"{"Name":"web","ID":"web-1","Address":"10.77.0.11","Port":8080}"#
    private static let gzip = """
        1f8b0800000000000203ab56f24bcc4d55b2522a4f4d52d251f2748130750d811cc79494a2d4e262a088a1819eb9b99e819e21483820bf\
        a844c9cac2c0c2a01600f50ea7de3e000000
        """
    private static let zlib = """
        789cab56f24bcc4d55b2522a4f4d52d251f2748130750d811cc79494a2d4e262a088a1819eb9b99e819e21483820bfa844c9cac2c0c2a0\
        160011ae104f
        """
    private static let bare = """
        ab56f24bcc4d55b2522a4f4d52d251f2748130750d811cc79494a2d4e262a088a1819eb9b99e819e21483820bfa844c9cac2c0c2a01600
        """
    /// Two members, one after the other.
    private static let members = """
        1f8b0800000000000203ab56f24bcc4d55b2522a4f4d52d251f274013201f8d8dfb2140000001f8b08000000000002032b4f4dd23554d2\
        51724c49294a2d2e56b2523234d03337d733d033040907e41795285959185818d402004f0b0c1e2a000000
        """
    /// The zlib stream, in gzip again.
    private static let double = """
        1f8b0800000000000203013d00c2ff789cab56f24bcc4d55b2522a4f4d52d251f2748130750d811cc79494a2d4e262a088a1819eb9b99e\
        819e21483820bfa844c9cac2c0c2a0160011ae104f53a110c53d000000
        """
    /// 100,000 zeros.
    private static let bomb = """
        1f8b0800000000000203edc13101000000c2a0f54f6d0d0fa00000000000000000000000000000000000000000000000000000000000\
        000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
        000000000000000000000000008057037d9511d4a0860100
        """

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex)
        return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(digits[$0...($0 + 1)]), radix: 16)
        }
    }

    private func plain(_ hex: String, _ names: String?, atMost limit: Int = 1000) -> String? {
        ContentCoding.plain(Self.bytes(hex), encoded: names, atMost: limit).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test("gzip, deflate with and without zlib's header, several members and several codings")
    func known() {
        #expect(plain(Self.gzip, "gzip") == Self.text)
        #expect(plain(Self.gzip, " X-GZIP , identity") == Self.text)
        #expect(plain(Self.zlib, "deflate") == Self.text)
        #expect(plain(Self.bare, "deflate") == Self.text)
        #expect(plain(Self.members, "gzip") == Self.text)
        #expect(plain(Self.double, "deflate, gzip") == Self.text)
        #expect(plain(Self.gzip + "0000", "gzip") == Self.text)
        #expect(ContentCoding.plain(Array("x".utf8), encoded: nil, atMost: 9) == Array("x".utf8))
        #expect(ContentCoding.plain([], encoded: "gzip", atMost: 9) == [])
    }

    @Test("what becomes too long, is damaged, cut or unknown is not read") func refused() {
        #expect(Self.bytes(Self.bomb).count < 200)
        #expect(plain(Self.bomb, "gzip", atMost: 1 << 20) == nil)
        // So much else makes it worth its length.
        let padded = Self.bomb + String(repeating: "00", count: 600)
        #expect(plain(padded, "gzip", atMost: 99_999) == nil)
        #expect(plain(padded, "gzip", atMost: 100_000)?.utf8.count == 100_000)
        #expect(plain(String(Self.gzip.dropLast(20)), "gzip") == nil)
        #expect(plain(Self.gzip, "br") == nil && plain(Self.gzip, "gzip, gzip, gzip") == nil)
        #expect(plain(Self.zlib, "gzip") == nil && plain("ffffff", "deflate") == nil)
        var damaged = Self.bytes(Self.gzip)
        damaged[30] ^= 0x40
        #expect(ContentCoding.plain(damaged, encoded: "gzip", atMost: 1000) == nil)
    }

    @Test("a dialect sees the plain body of request and answer") func onTheWire() {
        var wire = Wire()
        wire.open()
        let body = Self.bytes(Self.gzip)
        let head = "PUT /v1/agent/service/register HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: \(body.count)"
        wire.ask(Array("\(head)\r\n\r\n".utf8) + body)
        wire.answer(HTTP.answer())
        var listening = Listening()
        #expect(EarTests.told(listening.hear(wire.take())) == [EarTests.registered])
        var etcd = Wire(registryPort: 2379)
        etcd.open()
        etcd.ask(HTTP.request("POST", "/v3/lease/grant", #"{"TTL":12}"#))
        // {"ID":"77","TTL":"12"}
        let answer = Self.bytes("789cab56f27451b252323757d2510a09f101320d8d946a0139b604fb")
        let status = "HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: \(answer.count)"
        etcd.answer(bytes: Array("\(status)\r\n\r\n".utf8) + answer)
        #expect(listening.hear(etcd.take()).map(\.leaseId) == ["77"])
    }
}
