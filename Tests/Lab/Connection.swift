import CLab
import Foundation

/// An IPv4 address and a TCP port.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    public let address: String
    public let port: UInt16
    public init(_ address: String, _ port: UInt16) {
        self.address = address
        self.port = port
    }
    public var description: String { "\(address):\(port)" }

    var socketAddress: sockaddr_in {
        var result = sockaddr_in()
        result.sin_family = sa_family_t(AF_INET)
        result.sin_port = port.bigEndian
        inet_pton(AF_INET, address, &result.sin_addr)
        return result
    }
}

/// Why a connection failed.
public struct ConnectionError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Cause: Sendable { case refused, reset, timedOut, other }
    public let cause: Cause
    public let description: String

    fileprivate init(_ operation: String, _ result: Int) {
        switch Int32(-result) {
        case ECONNREFUSED: cause = .refused
        case ECONNRESET, EPIPE: cause = .reset
        case EAGAIN, EINPROGRESS, ETIMEDOUT: cause = .timedOut
        default: cause = .other
        }
        let why = cause == .timedOut ? "timed out" : ErrorNumber.text(Int32(result))
        description = "\(operation): \(why)"
    }

    /// The peer said something else than was asked for.
    init(unexpected: String) {
        cause = .other
        description = unexpected
    }
}

/// A TCP connection from a namespace, made by this thread. Closed when it is freed.
public struct Connection: ~Copyable, Sendable {
    private let socket: Int32

    /// - Parameters:
    ///   - source, sourcePort: nil: any.
    ///   - timeout: of the connect, and of each send and receive later.
    public init(
        from namespace: Namespace, to peer: Endpoint, source: String? = nil, sourcePort: UInt16? = nil,
        timeout: Duration = .seconds(5)
    ) throws(ConnectionError) {
        socket = clab_socket(namespace.path, AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { throw ConnectionError("open a socket in \(namespace.name)", Int(socket)) }
        set(timeout: timeout)
        if source != nil || sourcePort != nil { try bind(to: Endpoint(source ?? "0.0.0.0", sourcePort ?? 0)) }
        var address = peer.socketAddress
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                ErrorNumber.retrying { connect(socket, generic, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
        }
        guard result == 0 else {
            throw ConnectionError("connect to \(peer)", Int(result))
        }
    }

    private func bind(to endpoint: Endpoint) throws(ConnectionError) {
        var yes: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = endpoint.socketAddress
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                Glibc.bind(socket, generic, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw ConnectionError("bind \(endpoint)", Int(-ErrorNumber.last)) }
    }

    private func set(timeout: Duration) {
        let (seconds, attoseconds) = timeout.components
        var value = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(socket, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    public func send(_ text: String) throws(ConnectionError) { try send(Array(text.utf8)) }

    public func send(_ bytes: [UInt8]) throws(ConnectionError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { buffer in
                ErrorNumber.retrying { Glibc.send(socket, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL)) }
            }
            guard sent > 0 else { throw ConnectionError("send", sent) }
            rest = rest.dropFirst(sent)
        }
    }

    /// What has come, at most `limit` bytes; waits for the first. Empty: the peer is done.
    public func receive(limit: Int = 65536) throws(ConnectionError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = ErrorNumber.retrying { recv(socket, &bytes, limit, 0) }
        guard count >= 0 else { throw ConnectionError("receive", count) }
        return Array(bytes.prefix(count))
    }

    /// Everything up to the peer's end, at most 16 MiB.
    public func receiveAll() throws(ConnectionError) -> [UInt8] {
        var all: [UInt8] = []
        while all.count < 1 << 24 {
            let more = try receive()
            if more.isEmpty { break }
            all += more
        }
        return all
    }

    /// Closes with a reset instead of a FIN: no TIME_WAIT stays.
    public consuming func abort() {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    }

    deinit { if socket >= 0 { close(socket) } }
}
