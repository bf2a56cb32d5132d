internal import CLibMNL
internal import Glibc

/// Sends whole frames out of devices of the network namespace that it was opened in. Needs CAP_NET_RAW.
public struct ProbeSocket: ~Copyable {
    private let fd: Int32

    public init() throws(ProbeError) {
        // Protocol 0: nothing is received.
        fd = socket(AF_PACKET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard fd >= 0 else { throw ProbeError(code: errno, operation: "open a packet socket") }
    }

    deinit { close(fd) }

    /// A device that is gone or down, and a queue that is full, are errors: the probe's timeout repeats it.
    public func send(_ frame: ProbeFrame) throws(ProbeError) {
        var address = sockaddr_ll()
        address.sll_family = UInt16(AF_PACKET)
        address.sll_ifindex = Int32(bitPattern: frame.ifindex)
        let size = socklen_t(MemoryLayout<sockaddr_ll>.size)
        while true {
            let sent = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { to in
                    frame.bytes.withUnsafeBytes { sendto(fd, $0.baseAddress, $0.count, 0, to, size) }
                }
            }
            if sent == frame.bytes.count { return }
            guard sent < 0, errno == EINTR else {
                throw ProbeError(
                    code: sent < 0 ? errno : EMSGSIZE, operation: "send a probe by device \(frame.ifindex)")
            }
        }
    }
}

/// Why no probe could be sent.
public struct ProbeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// As errno.
    public let code: Int32
    public let operation: String

    public var description: String { "\(operation): \(String(cString: strerror(code)))" }
}
