internal import Glibc
internal import NIOCore

/// The path of the agent's Unix socket: who answers there, and how it is taken over.
enum APISocket {
    /// sockaddr_un has room for 107 bytes; the new socket stands beside the path for a moment.
    static let longestPath = 100

    /// The kernel's word, where it was the kernel's error.
    static func cause(of error: any Error) -> String {
        (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
    }

    /// Where a new socket is bound, before it is renamed into place with its mode set.
    static func aside(_ path: String) -> String { path + ".new" }

    /// Makes way for a new socket: refuses where somebody answers, or where the path is something else.
    static func prepare(_ path: String) throws(OperationError) {
        try makeParent(of: path)
        unlink(aside(path))
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw OperationError(
                .conflict, "listen on \(path): a file of another kind stands there",
                remedy: "remove it, or set 'socket' to another path")
        }
        if answers(path) {
            throw OperationError(
                .conflict, "listen on \(path): another agent answers there",
                remedy: "stop it first, or give this one its own 'socket' and 'state'")
        }
    }

    /// Publishes the socket that is bound aside: for its owner alone, in place of a stale one.
    static func publish(_ path: String) throws(OperationError) {
        let aside = aside(path)
        guard chmod(aside, 0o600) == 0, rename(aside, path) == 0 else {
            let cause = String(cString: strerror(errno))
            throw OperationError(.failed, "listen on \(path): \(cause)", remedy: "check the directory and its mode")
        }
    }

    /// Removes the socket that is bound aside and was not published.
    static func discard(_ path: String) { unlink(aside(path)) }

    static func inode(_ path: String) -> UInt64? {
        var status = stat()
        return lstat(path, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    /// Takes the socket away again, published or not, unless it is somebody else's by now.
    static func withdraw(_ path: String, inode: UInt64?) {
        for name in [path, aside(path)] where inode != nil && Self.inode(name) == inode { unlink(name) }
    }

    private static func makeParent(of path: String) throws(OperationError) {
        var built = ""
        for part in path.split(separator: "/").dropLast() {
            built += "/" + part
            guard mkdir(built, 0o755) == 0 || errno == EEXIST else {
                throw OperationError(.failed, "make directory \(built): \(String(cString: strerror(errno)))")
            }
        }
    }

    private static func answers(_ path: String) -> Bool {
        let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return false }
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { room in
            let bytes = Array(path.utf8)
            guard bytes.count < room.count else { return false }
            room.copyBytes(from: bytes)
            return true
        }
        guard fits else { return false }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }
}
