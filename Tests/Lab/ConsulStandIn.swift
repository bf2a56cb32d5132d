import CLab
import Foundation
import Synchronization

/// Says yes to whatever comes in as a request of Consul's agent API, over IPv4 and IPv6. Debian 12 has no Consul: what a
/// real one and its clients say is in the captures that the dialect is scored by, and this is for what follows from it.
public final class ConsulStandIn: Sendable {
    public let endpoint: Endpoint
    private let desk = Desk()
    private let listener: Int32

    /// Returns when it answers.
    public init(in namespace: Namespace, address: String) throws {
        endpoint = Endpoint(address, 8500)
        listener = clab_socket(namespace.path, AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        guard listener >= 0 else { throw Failure.system("open a socket in \(namespace.name)", listener) }
        var own = sockaddr_in6()
        own.sin6_family = sa_family_t(AF_INET6)
        own.sin6_port = endpoint.port.bigEndian
        let bound = withUnsafePointer(to: &own) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(listener, generic, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
        guard bound == 0, listen(listener, 64) == 0 else {
            throw Failure.system("listen on port \(endpoint.port)", -ErrorNumber.last)
        }
        Thread.detachNewThread { [desk, listener] in
            while true {
                let client = ErrorNumber.retrying { accept(listener, nil, nil) }
                guard client >= 0 else { break }
                Thread.detachNewThread { desk.serve(client) }
            }
            close(listener)
        }
    }

    /// The accept that waits returns, and its thread closes the socket.
    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    /// One call of the agent API, from `caller`.
    /// - Parameter source: which of the caller's addresses speaks; nil: whichever the kernel takes.
    public func put(_ path: String, _ json: String, from caller: Namespace, source: String? = nil) throws {
        let connection = try Connection(from: caller, to: endpoint, source: source)
        try connection.send(Self.request(path, json, at: endpoint))
        let status = try Page.read(from: connection).status
        guard status == 200 else { throw Failure("Consul said \(status) to \(path): \(json)") }
    }

    /// Many calls over one connection, each answered before the next.
    public func put(_ path: String, each bodies: some Sequence<String>, from caller: Namespace) throws {
        let connection = try Connection(from: caller, to: endpoint)
        for body in bodies {
            try connection.send(Self.request(path, body, at: endpoint, keptOpen: true))
            var answer: [UInt8] = []
            while !answer.ends(with: Array("\r\n\r\n".utf8)) {
                let more = try connection.receive()
                guard !more.isEmpty else { throw Failure("Consul closed the connection") }
                answer += more
            }
        }
    }

    private static func request(_ path: String, _ body: String, at endpoint: Endpoint, keptOpen: Bool = false) -> String
    {
        """
        PUT /v1/agent/\(path) HTTP/1.1\r
        Host: \(endpoint)\r
        Content-Length: \(body.utf8.count)\r
        Connection: \(keptOpen ? "keep-alive" : "close")\r
        \r
        \(body)
        """
    }

    /// When it said yes to the request that held this text; nil: it has not.
    public func answered(_ text: String) -> ContinuousClock.Instant? { desk.answered(text) }

    /// Requests that hold this text are not answered before the gate is opened.
    public func hold(_ text: String) -> Gate { desk.hold(text) }

    /// An answer that is held back.
    public final class Gate: Sendable {
        fileprivate let text: String
        private let asked = DispatchSemaphore(value: 0)
        private let opened = DispatchSemaphore(value: 0)

        fileprivate init(_ text: String) { self.text = text }

        fileprivate func pass() {
            asked.signal()
            opened.wait()
        }

        /// Returns when the request has come.
        public func waitUntilAsked() throws {
            guard asked.wait(timeout: .now() + 20) == .success else { throw Failure("no request with \(text) came") }
        }

        public func open() { opened.signal() }
    }
}

/// Where requests are read and answered; it outlives the stand-in by as long as a client is connected.
private final class Desk: Sendable {
    private struct State {
        var gates: [ConsulStandIn.Gate] = []
        var answers: [(text: String, time: ContinuousClock.Instant)] = []
    }
    private let state = Mutex(State())
    private static let mostRemembered = 1024

    func hold(_ text: String) -> ConsulStandIn.Gate {
        let gate = ConsulStandIn.Gate(text)
        state.withLock { $0.gates.append(gate) }
        return gate
    }

    func answered(_ text: String) -> ContinuousClock.Instant? {
        state.withLock { $0.answers.last { $0.text.contains(text) }?.time }
    }

    func serve(_ client: Int32) {
        defer { close(client) }
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            while let request = Self.takeRequest(from: &received) {
                guard answer(request, to: client) else { return }
            }
            let count = ErrorNumber.retrying { recv(client, &buffer, buffer.count, 0) }
            guard count > 0 else { return }
            received += buffer.prefix(count)
        }
    }

    /// Head and body of the first request, if it is there whole.
    private static func takeRequest(from received: inout [UInt8]) -> String? {
        let text = String(decoding: received, as: UTF8.self)
        guard let end = text.firstRange(of: "\r\n\r\n") else { return nil }
        let head = text[..<end.lowerBound]
        let length =
            head.split(separator: "\r\n").compactMap { line -> Int? in
                let parts = line.split(separator: ":", maxSplits: 1)
                guard parts.count == 2, parts[0].lowercased() == "content-length" else { return nil }
                return Int(parts[1].trimmingCharacters(in: .whitespaces))
            }.first ?? 0
        let size = head.utf8.count + 4 + length
        guard received.count >= size else { return nil }
        defer { received.removeFirst(size) }
        return String(decoding: received.prefix(size), as: UTF8.self)
    }

    private func answer(_ request: String, to client: Int32) -> Bool {
        let gate = state.withLock { state in
            state.gates.firstIndex { request.contains($0.text) }.map { state.gates.remove(at: $0) }
        }
        gate?.pass()
        let isLast = request.contains("Connection: close")
        let yes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + (isLast ? "Connection: close\r\n\r\n" : "\r\n")
        state.withLock { state in
            state.answers.append((request, .now))
            if state.answers.count > Self.mostRemembered { state.answers.removeFirst(Self.mostRemembered / 2) }
        }
        let bytes = Array(yes.utf8)
        let sent = ErrorNumber.retrying { send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
        return sent == bytes.count && !isLast
    }
}

extension Array where Element == UInt8 {
    fileprivate func ends(with tail: [UInt8]) -> Bool { suffix(tail.count).elementsEqual(tail) }
}
