internal import CLibBPF

#if canImport(Glibc)
    internal import Glibc
#endif

/// One component of a pin's path. bpffs refuses dots, registries allow everything: what is not a letter, digit or '-' is
/// written as '_' and two hex digits a byte, and a name too long for a file keeps its beginning and a hash.
public struct PinName: Hashable, Sendable, CustomStringConvertible {
    public let description: String
    private static let longest = 200

    public init(_ name: String) {
        var text = ""
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                text.unicodeScalars.append(Unicode.Scalar(byte))
            default: text += "_" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        if text.utf8.count > Self.longest {
            // FNV-1a (64 bits), so that two long names differ
            let hash = name.utf8.reduce(14_695_981_039_346_656_037 as UInt64) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
            text = text.prefix(Self.longest - 20) + "__" + String(hash, radix: 16)
        }
        description = text.isEmpty ? "__" : text
    }

    /// The name that was escaped; nil for one that was cut, or that no `PinName` writes.
    public init?(escaped text: String) {
        guard PinName.unescape(text) != nil else { return nil }
        description = text
    }

    public var name: String? { Self.unescape(description) }

    private static func unescape(_ text: String) -> String? {
        if text == "__" { return "" }
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "_") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// A directory in bpffs.
public struct PinDirectory: Hashable, Sendable, CustomStringConvertible {
    public let path: String
    public var description: String { path }

    public init(_ path: String) { self.path = path }

    public static func / (parent: Self, name: PinName) -> Self { Self("\(parent.path)/\(name)") }
    public static func / (parent: Self, name: StaticString) -> Self { Self("\(parent.path)/\(name)") }

    public func file(_ name: String) -> String { "\(path)/\(name)" }

    public var exists: Bool { access(path, F_OK) == 0 }

    /// With all its parents.
    public func create() throws(BPFError) {
        var made = ""
        for part in path.split(separator: "/") {
            made += "/" + part
            if access(made, F_OK) == 0 { continue }
            try Kernel.call("make directory \(made)") { mkdir(made, 0o700) }
        }
    }

    public func entries() -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// With all that is in it: two levels are the deepest that Remora makes below any directory it removes.
    public func remove(depth: Int = 4) throws(BPFError) {
        guard exists else { return }
        for name in entries() {
            let entry = file(name)
            if unlink(entry) == 0 { continue }
            guard depth > 0 else { throw BPFError(code: ENOTEMPTY, operation: "remove \(entry)") }
            try PinDirectory(entry).remove(depth: depth - 1)
        }
        try Kernel.call("remove directory \(path)") { rmdir(path) }
    }

    /// This whole directory becomes `target`; what stood there is here afterwards, and is removed.
    public func publish(as target: PinDirectory) throws(BPFError) {
        if target.exists {
            try Kernel.call("exchange \(path) and \(target.path)") { remora_rename_exchange(path, target.path) }
            try remove()
        } else {
            try Kernel.call("rename \(path) to \(target.path)") { rename(path, target.path) }
        }
    }

    /// Nobody else may own this directory as long as the result lives; nil: somebody does.
    public func lock() throws(BPFError) -> Descriptor? {
        let directory = Descriptor(
            try Kernel.call("open \(path)") { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) })
        let fd = directory.raw
        do throws(BPFError) {
            try Kernel.call("lock \(path)") { flock(fd, LOCK_EX | LOCK_NB) }
        } catch  where error.code == EWOULDBLOCK {
            return nil
        }
        return directory
    }

    /// Makes sure that bpffs is mounted here; mounts it where it is not and that is allowed.
    public static func mountIfNeeded(_ path: String) throws(BPFError) {
        var status = statfs()
        try Kernel.call("look at \(path) (is it there?)") { statfs(path, &status) }
        if UInt32(truncatingIfNeeded: status.f_type) == UInt32(BPF_FS_MAGIC) { return }
        try Kernel.call(
            "mount bpffs at \(path): it is not mounted there (mount -t bpf bpf \(path), or start the agent with CAP_SYS_ADMIN)"
        ) { mount("bpf", path, "bpf", 0, nil) }
    }

    /// From now on the calling thread sees a bpffs of its own here, which nobody else does: what it pins goes with the
    /// thread, whatever ends it. Needs CAP_SYS_ADMIN.
    public static func mountPrivately(_ path: String) throws(BPFError) {
        try Kernel.call("make a mount namespace") { remora_unshare_mounts() }
        try Kernel.call("keep mounts to this process") {
            mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil)
        }
        try Kernel.call("mount a bpffs at \(path)") { mount("bpf", path, "bpf", 0, nil) }
    }
}

/// Removes one pin; what it pinned lives on while something else holds it.
public func unpin(_ path: String) throws(BPFError) {
    try Kernel.call("remove \(path)") { unlink(path) }
}
