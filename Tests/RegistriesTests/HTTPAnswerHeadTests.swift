import Testing

@testable import Registries

@Suite("The head of an answer over HTTP") struct HTTPAnswerHeadTests {
    func read(_ text: String) -> HTTPAnswerHead? { HTTPAnswerHead(answering: Array(text.utf8)) }

    @Test("status and headers are read, whatever follows") func whole() throws {
        let head = try #require(
            read("HTTP/1.1 503 Busy\r\nServer: istio-envoy\r\nX-A: 1\r\nContent-Length: 90\r\n\r\nrest"))
        #expect(head.status == 503)
        #expect(head.headers.map(\.name) == ["server", "x-a", "content-length"])
        #expect(head.headers.first?.value == "istio-envoy")
        #expect(try #require(read("HTTP/1.0 200 OK\r\n\r\n")).headers.isEmpty)
    }

    @Test("of a head that is cut short the whole lines are read") func cut() throws {
        let head = try #require(read("HTTP/1.1 200 OK\r\nServer: x\r\nSet-Cookie: a=b; pa"))
        #expect(head.status == 200 && head.headers.map(\.name) == ["server"])
    }

    @Test(
        "what is no such answer, has no head",
        arguments: [
            "", "HTTP/1.1 200 O", "\u{15}\u{3}\u{1}\u{0}\u{2}\u{2}\u{46}", "SSH-2.0-OpenSSH\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 abc\r\n\r\n",
        ])
    func none(text: String) { #expect(read(text) == nil) }

    @Test("a header above the bound is refused, and nothing grows with it") func bounded() {
        #expect(read("HTTP/1.1 200 OK\r\nA: " + String(repeating: "x", count: 1 << 20) + "\r\n\r\n") == nil)
    }
}
