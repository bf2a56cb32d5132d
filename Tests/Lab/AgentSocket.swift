import Foundation

extension Remora {
    /// Asks the agent's own socket, without the command line between: for what is asked hundreds of times a second.
    /// - Parameter path: like "/v1/instances".
    public func fetch(_ path: String) throws -> JSON {
        let connection = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard connection >= 0 else { throw Failure.system("open a socket", -ErrorNumber.last) }
        defer { close(connection) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard socket.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw Failure("\(socket): too long")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: socket.utf8) }
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                ErrorNumber.retrying { connect(connection, generic, socklen_t(MemoryLayout<sockaddr_un>.size)) }
            }
        }
        guard connected == 0 else { throw Failure.system("connect to \(socket)", connected) }
        let request = Array("GET \(path) HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n".utf8)
        guard ErrorNumber.retrying({ send(connection, request, request.count, Int32(MSG_NOSIGNAL)) }) == request.count
        else { throw Failure.system("ask \(socket)", -ErrorNumber.last) }
        let answer = String(decoding: receiveAll(from: connection), as: UTF8.self)
        guard answer.hasPrefix("HTTP/1.1 200"), let head = answer.firstRange(of: "\r\n\r\n") else {
            throw Failure("the agent said to \(path): \(answer.prefix(300))")
        }
        return try JSON(parsing: String(answer[head.upperBound...]))
    }

    private func receiveAll(from connection: Int32) -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = ErrorNumber.retrying { recv(connection, &buffer, buffer.count, 0) }
            guard count > 0 else { return all }
            all += buffer.prefix(count)
        }
    }
}
