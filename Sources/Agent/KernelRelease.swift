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
