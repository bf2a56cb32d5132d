internal import Classifier
internal import FoundationEssentials
internal import Glibc

/// The list of what a container platform holds, read again when the file changed.
enum ContainersFile {
    struct Stamp: Hashable {
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int
    }

    static func stamp(_ path: String) -> Stamp? {
        var status = Glibc.stat()
        guard stat(path, &status) == 0 else { return nil }
        return Stamp(
            inode: UInt64(status.st_ino), size: Int64(status.st_size), seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec)
    }

    static func read(_ path: String) throws -> ContainerList {
        try ContainerList(parsing: String(contentsOfFile: path, encoding: .utf8))
    }
}
