import Foundation
import Synchronization

/// A real virtual machine behind a tap: QEMU with software emulation, Debian's kernel, busybox.
/// It is told what to do over a serial line, never over the network.
public final class VirtualMachine: Sendable {
    /// A network card, and the tap that it is plugged into.
    public struct Card: Sendable {
        let tap: String
        let mac: String
        /// - Parameter address: what its MAC address is made of.
        public init(tap: String, address: String) {
            self.tap = tap
            mac = VirtualMachine.macAddress(of: address)
        }
    }

    public let name: String
    public let address: String
    private let host: Namespace
    private let hardware: Hardware
    private let running: Mutex<Running>

    /// The QEMU that it runs in now.
    private struct Running {
        var process: Child
        /// Its second serial line.
        var control: Int32
        var monitor: Monitor
    }

    public var process: Child { running.withLock { $0.process } }

    /// Starts to boot it; `waitUntilReady` returns when it obeys.
    /// - Parameters:
    ///   - address: its own, in a /16.
    ///   - hasAddress: false: it boots without one.
    ///   - tap: a device of `nic`.
    ///   - registry: the etcd that it registers with.
    ///   - programs: to be found in the guest at their own paths, beside busybox.
    ///   - modules: of the kernel, beside those of its network card.
    ///   - cards: beside the one at `tap`.
    public init(
        _ name: String, address: String, hasAddress: Bool = true, gateway: String? = nil, tap: String,
        in nic: Namespace, registry: Endpoint? = nil, programs: [String] = [], modules: [String] = [],
        memory: Int = 128, cards: [Card] = []
    ) throws {
        self.name = name
        self.address = address
        host = nic
        let kernel = try GuestKernel()
        let files = try Initramfs.build(for: kernel, programs: programs, modules: modules)
        var settings = ["lab.name=\(name)"]
        if hasAddress { settings.append("lab.address=\(address)/16") }
        if let gateway { settings.append("lab.gateway=\(gateway)") }
        if let registry { settings.append("lab.etcd=\(registry)") }
        let line = ["console=ttyS0 quiet panic=-1 mitigations=off nokaslr"] + settings
        hardware = Hardware(
            words: [
                "-accel", "tcg", "-m", "\(memory)", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
                "-kernel", kernel.image, "-initrd", files, "-append", line.joined(separator: " "),
            ], cards: [Card(tap: tap, address: address)] + cards)
        running = Mutex(try Self.start(hardware, as: name, in: nic))
    }

    /// What QEMU is told to be; the same on both sides of a migration.
    private struct Hardware: Sendable {
        let words: [String]
        var cards: [Card]
    }

    /// - Parameter waits: for a state to migrate to it, instead of booting.
    private static func start(
        _ hardware: Hardware, as name: String, in host: Namespace, waits: Bool = false
    ) throws -> Running {
        let path = "\(host.lab.directory)/\(host.lab.unique(name))"
        let control = try QEMUSocket(at: path + ".control")
        let monitor = try QEMUSocket(at: path + ".monitor")
        let cards = hardware.cards.enumerated().flatMap { index, card in
            [
                "-netdev", "tap,id=net\(index),ifname=\(card.tap),script=no,downscript=no",
                "-device", "virtio-net-pci,netdev=net\(index),romfile=,mac=\(card.mac)",
            ]
        }
        let process = try host.start(
            ["qemu-system-x86_64"] + hardware.words + [
                "-serial", "stdio", "-chardev", "socket,id=control,path=\(path).control", "-serial", "chardev:control",
                "-chardev", "socket,id=monitor,path=\(path).monitor", "-mon", "chardev=monitor,mode=control",
            ] + cards + (waits ? ["-incoming", "defer"] : []), as: "vm-\(name)")
        return Running(
            process: process, control: try control.accept(from: process),
            monitor: Monitor(socket: try monitor.accept(from: process)))
    }

    /// Moves it, as it runs, to another tap: QEMU's live migration, without a word from the guest. Returns when it runs
    /// there, and nothing of it is left here.
    public func migrate(to tap: String) throws {
        var moved = hardware
        moved.cards[0] = Card(tap: tap, address: address)
        let place = "{\"uri\":\"unix:\(host.lab.directory)/\(host.lab.unique("\(name).migration"))\"}"
        var target = try Self.start(moved, as: name, in: host, waits: true)
        try target.monitor.execute("migrate-incoming", arguments: place)
        try running.withLock { running in
            try running.monitor.execute("migrate", arguments: place)
            var last = JSON.null
            try wait(for: "\(name) to migrate", limit: .seconds(30), pause: .milliseconds(20), seen: "\(last)") {
                last = try running.monitor.execute("query-migrate")
                if last["status"].string == "failed" { throw Failure("\(name) did not migrate: \(last)") }
                return last["status"].string == "completed"
            }
            let old = running
            running = target
            try old.process.destroy()
            close(old.control)
            close(old.monitor.socket)
        }
    }

    /// Stops the whole machine, as a debugger does: nothing that reaches it is answered before `resume`.
    public func pause() { process.signal(SIGSTOP) }

    public func resume() { process.signal(SIGCONT) }

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

    private func send(_ text: String) { running.withLock { write(text, to: $0.control) } }

    private func answer(limit: Duration) throws -> String {
        try running.withLock { running in
            do { return try readLine(from: running.control, limit: limit) } catch {
                throw Failure("\(name): \(error); \(running.process.lastWords)")
            }
        }
    }

    deinit {
        running.withLock { running in
            close(running.control)
            close(running.monitor.socket)
        }
    }
}

/// QEMU's machine protocol: one JSON object a line.
private struct Monitor {
    let socket: Int32
    private var isOpen = false

    init(socket: Int32) { self.socket = socket }

    /// - Returns: what it answers. - Throws: a Failure with its words if it refuses.
    @discardableResult
    mutating func execute(_ command: String, arguments: String = "{}") throws -> JSON {
        if !isOpen {
            isOpen = true
            try execute("qmp_capabilities")
        }
        write("{\"execute\":\"\(command)\",\"arguments\":\(arguments)}\n", to: socket)
        while true {
            let words = try JSON(parsing: readLine(from: socket, limit: .seconds(10)))
            // beside answers there are its greeting and events
            if let answer = words.members["return"] { return answer }
            if words.members["error"] != nil { throw Failure("QEMU refused \(command): \(words)") }
        }
    }
}

private func write(_ text: String, to socket: Int32) {
    let bytes = Array(text.utf8)
    _ = ErrorNumber.retrying { Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
}

private func readLine(from socket: Int32, limit: Duration) throws -> String {
    let deadline = Deadline(in: limit)
    var line: [UInt8] = []
    while true {
        var event = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        _ = poll(&event, 1, deadline.millisecondsLeft)
        var byte: UInt8 = 0
        guard event.revents != 0 else {
            if deadline.isOver { throw Failure("no answer in \(limit)") }
            continue
        }
        guard read(socket, &byte, 1) == 1 else { throw Failure("it is gone") }
        if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self).trimmed }
        line.append(byte)
    }
}

/// Where QEMU connects a line of its own to, so that not a byte of it is lost.
private struct QEMUSocket: ~Copyable {
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
        guard connection >= 0 else { throw Failure.system("accept QEMU's line", -ErrorNumber.last) }
        _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
        return connection
    }

    deinit { close(socket) }
}
