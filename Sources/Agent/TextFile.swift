internal import Glibc

/// Why a file could not be read.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    public let path: String
    public let cause: String
    public var description: String { "\(path): \(cause)" }
}

/// The whole text of a file, "-" for the standard input. One longer than `most` bytes is an error, a pipe's included.
public func readText(_ path: String, most: Int) throws(FileError) -> String {
    let fd = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { throw FileError(path: path, cause: "cannot be read: \(String(cString: strerror(errno)))") }
    defer { if fd != STDIN_FILENO { close(fd) } }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = read(fd, &chunk, chunk.count)
        if count < 0 && errno == EINTR { continue }
        guard count >= 0 else {
            throw FileError(path: path, cause: "cannot be read: \(String(cString: strerror(errno)))")
        }
        bytes += chunk.prefix(count)
        guard bytes.count <= most else { throw FileError(path: path, cause: "longer than \(most) bytes") }
        if count == 0 { break }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
        throw FileError(path: path, cause: "is not UTF-8")
    }
    return text
}
