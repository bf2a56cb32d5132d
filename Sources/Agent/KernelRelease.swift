/// A kernel's version, as far as it matters: `uname -r` without what distributions add.
struct KernelRelease: Comparable, CustomStringConvertible {
    let major: Int
    let minor: Int

    /// The first that has tcx.
    static let needed = KernelRelease(major: 6, minor: 6)

    init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// `6.1.0-13-amd64` is 6.1; nil where no two numbers stand in front.
    init?(_ text: String) {
        let numbers = text.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false).prefix(2)
            .map { Int($0.prefix { "0"..."9" ~= $0 }) }
        guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else { return nil }
        self.init(major: major, minor: minor)
    }

    static func < (a: Self, b: Self) -> Bool { (a.major, a.minor) < (b.major, b.minor) }
    var description: String { "\(major).\(minor)" }
}

/// What a process may do beyond its user: capabilities(7).
struct Capabilities: Equatable {
    /// Bit numbers of linux/capability.h, which Glibc leaves out.
    enum Capability: Int, CaseIterable {
        case netAdmin = 12
        case netRaw = 13
        case sysAdmin = 21
        case perfmon = 38
        case bpf = 39

        var name: String {
            switch self {
            case .netAdmin: "CAP_NET_ADMIN"
            case .netRaw: "CAP_NET_RAW"
            case .sysAdmin: "CAP_SYS_ADMIN"
            case .perfmon: "CAP_PERFMON"
            case .bpf: "CAP_BPF"
            }
        }

        /// The kernel takes CAP_SYS_ADMIN for these too.
        var isPartOfAdmin: Bool { self == .bpf || self == .perfmon }
    }

    let bits: UInt64

    /// From the text of /proc/<pid>/status: the effective set.
    init?(status: String) {
        let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
        guard let word = line?.split(whereSeparator: \.isWhitespace).last, let bits = UInt64(word, radix: 16) else {
            return nil
        }
        self.bits = bits
    }

    func holds(_ one: Capability) -> Bool {
        bits >> UInt64(one.rawValue) & 1 == 1 || one.isPartOfAdmin && holds(.sysAdmin)
    }

    /// Of those that the agent needs.
    var missing: [Capability] { [.bpf, .netAdmin, .perfmon, .netRaw].filter { !holds($0) } }
}

/// What is mounted where, from the text of /proc/self/mounts.
struct Mounts {
    private let types: [(path: String, type: String)]

    init(_ text: String) {
        types = text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count > 2 ? (Self.unescaped(words[1]), String(words[2])) : nil
        }
    }

    /// The file system that a path lies in; a later mount covers an earlier one.
    func type(at path: String) -> String? {
        var best: (path: String, type: String)?
        for mount in types where Self.contains(mount.path, path) && mount.path.utf8.count >= best?.path.utf8.count ?? 0
        {
            best = mount
        }
        return best?.type
    }

    private static func contains(_ mount: String, _ path: String) -> Bool {
        mount == "/" || path == mount || path.hasPrefix(mount + "/")
    }

    /// Blanks and backslashes are written as \040 and the like.
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(3), as: UTF8.self)
            if byte == UInt8(ascii: "\\"), digits.utf8.count == 3, let value = UInt8(digits, radix: 8) {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
