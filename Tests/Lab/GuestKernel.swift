import Foundation

/// Debian's kernel image for virtual machines, used as the guests' kernel.
public struct GuestKernel: Sendable {
    public let version: String
    public var image: String { "/boot/vmlinuz-\(version)" }
    private var moduleRoot: String { "/lib/modules/\(version)" }

    /// The newest that is installed. - Throws: a Failure that names the package.
    public init() throws {
        let prefix = "vmlinuz-"
        let found = try FileManager.default.contentsOfDirectory(atPath: "/boot")
            .filter { $0.hasPrefix(prefix) && $0.hasSuffix("-cloud-amd64") }
            .sorted { $0.compare($1, options: .numeric) == .orderedAscending }
        guard let newest = found.last else {
            throw Failure("no guest kernel in /boot: apt install linux-image-cloud-amd64")
        }
        version = String(newest.dropFirst(prefix.count))
    }

    /// The modules that these need, and these, in the order in which they can be loaded: file names and contents.
    /// What is built into the kernel is left out.
    func modules(_ wanted: [String]) throws -> [(name: String, bytes: [UInt8])] {
        let lines = try String(contentsOfFile: "\(moduleRoot)/modules.dep", encoding: .utf8).split(separator: "\n")
        var needs: [String: [String]] = [:]
        var paths: [String: String] = [:]
        for line in lines {
            let words = line.split(separator: " ").map { String($0.last == ":" ? $0.dropLast() : $0) }
            guard let path = words.first else { continue }
            paths[Self.name(path)] = path
            needs[path] = Array(words.dropFirst())
        }
        // modules.dep lists all a module needs, directly or not, the first to load last.
        let order = wanted.compactMap { paths[$0] }.flatMap { (needs[$0] ?? []).reversed() + [$0] }
        return try order.uniqued().map { (Self.name($0), try contents("\(moduleRoot)/\($0)")) }
    }

    private static func name(_ path: String) -> String {
        let file = path.split(separator: "/").last ?? ""
        return String(file.prefix { $0 != "." }).replacing("-", with: "_")
    }

    private func contents(_ path: String) throws -> [UInt8] {
        guard path.hasSuffix(".xz") else { return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }
        let plain = "\(NSTemporaryDirectory())/lab-module-\(getpid()).ko"
        defer { unlink(plain) }
        try call(["sh", "-c", "xz -dc \(quoted(path)) > \(quoted(plain))"])
        return [UInt8](try Data(contentsOf: URL(fileURLWithPath: plain)))
    }
}

extension Array where Element: Hashable {
    /// Without repetitions, the first of each kept.
    func uniqued() -> [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
