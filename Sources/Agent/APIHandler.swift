internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// Reads one request after the other on a connection, within bounds of size and time, and writes the answers.
final class APIHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let routes: [APIRoute]
    private let node: any NodeOperations
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var tooLarge = false
    private var answering: Task<Void, Never>?
    /// Ends the connection when the peer is too slow: with its request, with reading the answer, or with the next one.
    private var deadline: Scheduled<Void>?

    init(routes: [APIRoute], node: any NodeOperations) {
        self.routes = routes
        self.node = node
    }

    func channelActive(context: ChannelHandlerContext) {
        expect(context.channel, within: APILimits.requestSeconds)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        answering?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
            tooLarge = false
        case .body(let part):
            // What is too much is read and forgotten, so that the peer gets its answer.
            if body.count + part.readableBytes > APILimits.requestBytes {
                tooLarge = true
                body = []
            } else if !tooLarge {
                body.append(contentsOf: part.readableBytesView)
            }
        case .end:
            guard let head else { return }
            self.head = nil
            deadline?.cancel()
            answer(head, on: context.channel)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ head: HTTPRequestHead, on channel: any Channel) {
        let keepAlive = head.isKeepAlive
        let request = APIRequest(method: head.method.rawValue, target: head.uri, body: body)
        body = []
        if tooLarge {
            let error = OperationError(.badInput, "a request has at most \(APILimits.requestBytes) bytes")
            return write(APIResponse(error, status: 413), keepAlive: false, to: channel)
        }
        guard let request else {
            let error = OperationError(.badInput, "the request line names no path")
            return write(APIResponse(error), keepAlive: false, to: channel)
        }
        let loop = channel.eventLoop
        let bound = NIOLoopBound(self, eventLoop: loop)
        answering = Task { [routes, node] in
            let response = await APIRoute.respond(to: request, among: routes, node: node)
            loop.execute { bound.value.write(response, keepAlive: keepAlive, to: channel) }
        }
    }

    private func write(_ response: APIResponse, keepAlive: Bool, to channel: any Channel) {
        answering = nil
        guard channel.isActive else { return }
        expect(channel, within: APILimits.responseSeconds)
        let headers: HTTPHeaders = [
            "content-type": response.contentType, "content-length": "\(response.body.count)",
            "connection": keepAlive ? "keep-alive" : "close",
        ]
        let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: response.status), headers: headers)
        channel.write(HTTPServerResponsePart.head(head), promise: nil)
        channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: response.body))), promise: nil)
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        channel.writeAndFlush(HTTPServerResponsePart.end(nil)).whenComplete { result in
            if case .success = result, keepAlive {
                bound.value.expect(channel, within: APILimits.requestSeconds)
            } else {
                channel.close(promise: nil)
            }
        }
    }

    private func expect(_ channel: any Channel, within seconds: Int64) {
        deadline?.cancel()
        deadline = channel.eventLoop.scheduleTask(in: .seconds(seconds)) { channel.close(promise: nil) }
    }
}

/// Counts the connections of one listener; those above the limit are turned away.
final class ConnectionGate: Sendable {
    private let limit: Int
    private let count = Mutex(0)

    init(limit: Int) { self.limit = limit }

    func enter() -> Bool {
        count.withLock { count in
            guard count < limit else { return false }
            count += 1
            return true
        }
    }

    func leave() { count.withLock { $0 -= 1 } }
}
