import Foundation
import Glibc

/// A client that sends just the bytes it is told to: what no well-behaved one would. It blocks threads of its own, never
/// those that the server's tasks run on.
final class RawClient: Sendable {
    private let descriptor: Int32

    /// So that a server that never answers ends its test. A machine that is slow must not.
    private static let patience = timeval(tv_sec: 120, tv_usec: 0)

    init?(unix path: String) {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let done = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard done == 0 else { return nil }
        limitReads()
    }

    init?(port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let done = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard done == 0 else { return nil }
        limitReads()
    }

    deinit { close(descriptor) }

    private func limitReads() {
        var patience = Self.patience
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    /// No more will be sent; true once the server has closed too.
    func end() async -> Bool {
        shutdown(descriptor, Int32(SHUT_WR))
        return await readToEnd().isEmpty
    }

    /// Goes away in the middle of whatever there is.
    func drop() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    func send(_ text: String) async {
        await onThread { [descriptor] in
            var bytes = ArraySlice(text.utf8)
            while !bytes.isEmpty {
                let sent = bytes.withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard sent > 0 else { return }
                bytes = bytes.dropFirst(sent)
            }
        }
    }

    /// True once this text has come; false if the server closes before.
    func read(to text: String) async -> Bool { await read { $0.contains(text) }.contains(text) }

    /// Everything until the server closes.
    func readToEnd() async -> String { await read { _ in false } }

    private func read(until done: @escaping @Sendable (String) -> Bool) async -> String {
        await onThread { [descriptor] in
            var answer = ""
            var chunk = [UInt8](repeating: 0, count: 4096)
            while !done(answer) {
                let count = recv(descriptor, &chunk, chunk.count, 0)
                guard count > 0 else { break }
                answer += String(decoding: chunk.prefix(count), as: UTF8.self)
            }
            return answer
        }
    }

    private func onThread<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: work()) }
        }
    }
}

/// A TCP port that was free a moment ago.
func freePort() -> UInt16 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            _ = bind(descriptor, $0, length)
            _ = getsockname(descriptor, $0, &length)
        }
    }
    return UInt16(bigEndian: address.sin_port)
}

/// A directory of its own, removed with the value.
struct TemporaryDirectory: ~Copyable {
    let path: String

    init() {
        var template = Array("/tmp/remora-test-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) } ?? "/tmp"
        }
    }

    deinit {
        guard path.hasPrefix("/tmp/remora-test-"), let directory = opendir(path) else { return }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            unlink("\(path)/\(name)")
        }
        rmdir(path)
    }
}
