internal import Classifier
internal import FoundationEssentials
internal import Glibc
internal import Model

/// The list of what a container platform holds, in a file that is read again when it changed. It was so when the file
/// was last written or touched.
struct ContainersFile: ContainerCatalog {
    private struct Stamp: Hashable {
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int

        var time: Instant { Instant(milliseconds: Int64(seconds) * 1000 + Int64(nanoseconds) / 1_000_000) }
    }

    let name: String
    private var stamp: Stamp?
    private var bytes = Data()
    private var list = ContainerList()

    init(_ path: String) { name = path }

    mutating func changed(at now: Instant) throws -> ContainerList? {
        var status = Glibc.stat()
        guard stat(name, &status) == 0 else {
            throw FileError(path: name, cause: "cannot be read: \(String(cString: strerror(errno)))")
        }
        let seen = Stamp(
            inode: UInt64(status.st_ino), size: Int64(status.st_size), seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec)
        guard seen != stamp else { return nil }
        // Even if it cannot be read: told once, and tried again when it changes.
        stamp = seen
        let read = try Data(contentsOf: URL(filePath: name))
        if read != bytes {
            list = try ContainerList(parsing: String(decoding: read, as: UTF8.self))
            bytes = read
        }
        // A clock that was set since: nothing was written after now.
        list.asOf = min(seen.time, now)
        return list
    }
}
