internal import NIOCore
internal import NIOEmbedded
internal import NIOHTTP1

/// Status and headers of an answer over HTTP/1, read off the first bytes of a connection.
public struct HTTPAnswerHead: Sendable {
    public let status: Int
    /// In their order, the names in lower case.
    public let headers: [(name: String, value: String)]

    /// Nil: this is no such answer. Of a head that is cut short the whole lines count.
    ///
    /// - Parameter bytes: the caller bounds them.
    public init?(answering bytes: [UInt8]) {
        let wholeLines = bytes.lastIndex(of: UInt8(ascii: "\n")).map { bytes[...$0] } ?? []
        guard let head = Self.head(of: bytes) ?? Self.head(of: wholeLines + Array("\r\n".utf8)) else { return nil }
        status = Int(head.status.code)
        headers = head.headers.map { ($0.name.lowercased(), $0.value) }
    }

    private static func head(of bytes: some Sequence<UInt8>) -> HTTPResponseHead? {
        let decoder = HTTPResponseDecoder(
            leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .forward,
            limitConfiguration: HTTPExchanges.bounds)
        let channel = EmbeddedChannel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        guard (try? channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(decoder))) != nil else {
            return nil
        }
        decoder.write(data: .head(HTTPRequestHead(version: .http1_1, method: .HEAD, uri: "/")))
        // What follows the head, a body that was not asked for, may be an error.
        _ = try? channel.writeInbound(ByteBuffer(bytes: bytes))
        guard case .head(let head) = try? channel.readInbound(as: HTTPClientResponsePart.self) else { return nil }
        return head
    }
}
