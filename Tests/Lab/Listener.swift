import CLab
import Foundation

/// A TCP server that nobody runs: the kernel takes connections, as many as `room`, and they stay open and silent.
public final class Listener: Sendable {
    private let socket: Int32

    public init(in namespace: Namespace, port: UInt16, room: Int32 = 4096) throws {
        socket = clab_socket(namespace.path, AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { throw Failure.system("open a socket in \(namespace.name)", socket) }
        var address = Endpoint("0.0.0.0", port).socketAddress
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(socket, generic, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard bound == 0, listen(socket, room) == 0 else {
            throw Failure.system("listen on port \(port)", -ErrorNumber.last)
        }
    }

    deinit { if socket >= 0 { close(socket) } }
}
