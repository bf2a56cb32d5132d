import Foundation
import Synchronization

/// A real virtual machine behind a tap: QEMU with software emulation, Debian's kernel, busybox.
/// It is told what to do over a serial line, never over the network.
public final class VirtualMachine: Sendable {
    public let name: String
    public let address: String
    public let process: Child
    private let control: Mutex<Int32>

    /// Starts to boot it; `waitUntilReady` returns when it obeys.
    /// - Parameters:
    ///   - address: its own, in a /16.
    ///   - tap: a device of `nic`.
    ///   - registry: the etcd that it registers with.
    ///   - programs: to be found in the guest at their own paths, beside busybox.
    public init(
        _ name: String, address: String, gateway: String? = nil, tap: String, in nic: Namespace,
        registry: Endpoint? = nil, programs: [String] = [], memory: Int = 128
    ) throws {
        self.name = name
        self.address = address
        let kernel = try GuestKernel()
        let files = try Initramfs.build(for: kernel, programs: programs)
        var settings = ["lab.name=\(name)", "lab.address=\(address)/16"]
        if let gateway { settings.append("lab.gateway=\(gateway)") }
        if let registry { settings.append("lab.etcd=\(registry)") }
        let line = ["console=ttyS0 quiet panic=-1 mitigations=off nokaslr"] + settings
        let path = "\(nic.lab.directory)/\(nic.lab.unique(name)).control"
        let listener = try ControlSocket(at: path)
        process = try nic.start(
            [
                "qemu-system-x86_64", "-accel", "tcg", "-m", "\(memory)", "-nodefaults", "-no-user-config",
                "-nographic", "-no-reboot", "-kernel", kernel.image, "-initrd", files,
                "-append", line.joined(separator: " "), "-serial", "stdio",
                "-chardev", "socket,id=control,path=\(path)", "-serial", "chardev:control",
                "-netdev", "tap,id=net,ifname=\(tap),script=no,downscript=no",
                "-device", "virtio-net-pci,netdev=net,romfile=,mac=\(Self.macAddress(of: address))",
            ], as: "vm-\(name)")
        control = Mutex(try listener.accept(from: process))
    }

    /// Waits until its network is up and it takes orders; to be called once.
    public func waitUntilReady() throws {
        let words = try answer(limit: .seconds(60))
        guard words == "ok ready" else { throw Failure("\(name) said \"\(words)\" instead of being ready") }
    }

    /// QEMU's own range, then the address's last three octets.
    public static func macAddress(of address: String) -> String {
        let octets = address.split(separator: ".").compactMap { UInt8($0) }
        return "52:54:00" + octets.suffix(3).map { String(format: ":%02x", $0) }.joined()
    }

    /// Starts an HTTP server. Its page `/` is the machine's name, `/cgi-bin/who` tells whom it sees.
    public func serve(port: UInt16) throws { try order("serve \(port)") }

    /// - Parameter ttl: of the lease in seconds; renewed every third of it.
    public func register(_ service: String, port: UInt16, ttl: Int = 10) throws {
        try order("register \(service) \(port) \(ttl)")
    }

    public func deregister(_ service: String) throws { try order("deregister \(service)") }

    /// No more keep-alives.
    public func silence(_ service: String) throws { try order("silence \(service)") }

    /// Starts a program in the background.
    public func start(_ words: [String]) throws { try order("start " + words.joined(separator: " ")) }

    public func run(_ words: [String]) throws { try order("run " + words.joined(separator: " ")) }

    public func powerOff() throws {
        send("poweroff\n")
        try process.waitForEnd(limit: .seconds(20))
    }

    /// Sends one order and waits for its answer. - Throws: a Failure unless it is "ok".
    public func order(_ line: String, limit: Duration = .seconds(20)) throws {
        send(line + "\n")
        let words = try answer(limit: limit)
        guard words.hasPrefix("ok") else {
            throw Failure("\(name) was told \"\(line)\": \(words); \(process.lastWords)")
        }
    }

    private func send(_ text: String) {
        control.withLock { control in
            let bytes = Array(text.utf8)
            _ = ErrorNumber.retrying { Glibc.send(control, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
        }
    }

    private func answer(limit: Duration) throws -> String {
        let deadline = Deadline(in: limit)
        return try control.withLock { control in
            var line: [UInt8] = []
            while true {
                var event = pollfd(fd: control, events: Int16(POLLIN), revents: 0)
                _ = poll(&event, 1, deadline.millisecondsLeft)
                var byte: UInt8 = 0
                guard event.revents != 0 else {
                    if deadline.isOver { throw Failure("\(name) did not answer in \(limit): \(process.lastWords)") }
                    continue
                }
                guard read(control, &byte, 1) == 1 else { throw Failure("\(name) is gone: \(process.lastWords)") }
                if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self).trimmed }
                line.append(byte)
            }
        }
    }

    deinit { control.withLock { _ = close($0) } }
}

/// Where QEMU connects its second serial line to, so that not a byte of it is lost.
private struct ControlSocket: ~Copyable {
    private let socket: Int32

    init(at path: String) throws {
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { throw Failure("\(path): too long") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(socket, generic, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0, listen(socket, 1) == 0 else { throw Failure.system("listen on \(path)", -ErrorNumber.last) }
    }

    /// - Throws: a Failure with QEMU's words if it does not come.
    func accept(from process: Child) throws -> Int32 {
        var event = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        let deadline = Deadline(in: .seconds(20))
        while event.revents == 0 {
            guard process.isRunning, !deadline.isOver else { throw Failure("QEMU did not start: \(process.lastWords)") }
            _ = poll(&event, 1, 50)
        }
        let connection = Glibc.accept(socket, nil, nil)
        guard connection >= 0 else { throw Failure.system("accept QEMU's serial line", -ErrorNumber.last) }
        _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
        return connection
    }

    deinit { close(socket) }
}
