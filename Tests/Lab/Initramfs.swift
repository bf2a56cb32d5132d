import Foundation

/// A guest's whole file system: a cpio archive in the "newc" format (Documentation/driver-api/early-userspace).
struct Initramfs {
    private enum Kind: UInt32 {
        case directory = 0o040755
        case program = 0o100755
        case link = 0o120777
        case console = 0o020600
    }
    private var archive: [UInt8] = []
    private var names: Set<String> = []

    /// busybox, the kernel's modules for a virtio network card and `modules`, `guest/init.sh`, and `programs` with the
    /// shared libraries they are linked to, at their own paths.
    /// - Returns: the path of the archive, which is kept for the next lab that asks for the same.
    static func build(for kernel: GuestKernel, programs: [String], modules: [String]) throws -> String {
        let label = (programs + modules).map { $0.split(separator: "/").last ?? "" }.joined(separator: "-")
        let path =
            "\(Lab.cache)/guest-\(kernel.version)\(label.isEmpty ? "" : "-\(label)")-\(fingerprint(programs)).cpio"
        guard !FileManager.default.fileExists(atPath: path) else { return path }
        try FileManager.default.createDirectory(atPath: Lab.cache, withIntermediateDirectories: true)
        var files = Initramfs()
        try files.addSystem(kernel, modules: modules)
        for program in programs { try files.addProgram(program) }
        files.finish()
        try Data(files.archive).write(to: URL(fileURLWithPath: path), options: .atomic)
        return path
    }

    /// Of what goes in: another busybox or another init script is another archive.
    private static func fingerprint(_ programs: [String]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325  // FNV-1a
        var text = PackageResources.init_sh
        for path in [busybox] + programs {
            var status = stat()
            stat(path, &status)
            text += Array("\(path) \(status.st_size) \(status.st_mtim.tv_sec)".utf8)
        }
        for byte in text { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }

    private static let busybox = "/usr/bin/busybox"

    private mutating func addSystem(_ kernel: GuestKernel, modules: [String]) throws {
        for directory in ["dev", "proc", "sys", "run", "tmp", "modules"] { add(directory, .directory) }
        add("dev/console", .console)
        add("bin/busybox", .program, try Self.read(Self.busybox))
        for applet in try call([Self.busybox, "--list"]).split(separator: "\n") where applet != "busybox" {
            add("bin/\(applet)", .link, Array("busybox".utf8))
        }
        for (index, module) in try kernel.modules(["virtio_pci", "virtio_net"] + modules).enumerated() {
            add("modules/\(index + 10)-\(module.name).ko", .program, module.bytes)
        }
        add("init", .program, PackageResources.init_sh)
    }

    private mutating func addProgram(_ path: String) throws {
        add(String(path.dropFirst()), .program, try Self.read(path))
        // "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x7f...)", and the loader without "=>".
        for line in try call(["ldd", path]).split(separator: "\n") {
            guard let library = line.split(whereSeparator: \.isWhitespace).first(where: { $0.first == "/" }) else {
                continue
            }
            add(String(library.dropFirst()), .program, try Self.read(String(library)))
        }
    }

    private static func read(_ path: String) throws -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path) else { throw Failure("\(path): cannot be read") }
        return [UInt8](data)
    }

    private mutating func add(_ path: String, _ kind: Kind, _ contents: [UInt8] = []) {
        guard names.insert(path).inserted else { return }
        if let slash = path.lastIndex(of: "/") { add(String(path[..<slash]), .directory) }
        append(path, mode: kind.rawValue, contents, device: kind == .console ? (5, 1) : (0, 0))
    }

    private mutating func finish() { append("TRAILER!!!", mode: 0, [], device: (0, 0)) }

    private mutating func append(_ name: String, mode: UInt32, _ contents: [UInt8], device: (UInt32, UInt32)) {
        let inode = UInt32(names.count)
        let fields: [UInt32] = [
            inode, mode, 0, 0, 1, 0, UInt32(contents.count), 0, 0, device.0, device.1, UInt32(name.utf8.count + 1), 0,
        ]
        archive += Array("070701".utf8)
        for field in fields { archive += Array(String(format: "%08X", field).utf8) }
        archive += Array(name.utf8) + [0]
        pad()
        archive += contents
        pad()
    }

    private mutating func pad() {
        while archive.count % 4 != 0 { archive.append(0) }
    }
}
