internal import CLibMNL
internal import Glibc
public import Model

/// Hears every frame that passes a device of this network namespace, both ways. Needs CAP_NET_RAW.
public struct FrameSocket: ~Copyable {
    /// To wait on for reading. Closed with this value.
    public let fd: Int32
    private let device: PortName
    private let index: UInt32
    private let buffer: UnsafeMutableRawBufferPointer
    /// 64 KiB of IP and its headers; a segmentation-offload frame may be longer over IPv6 (BIG TCP).
    private static let longestFrame = 1 << 18

    /// - Parameter receiveBytes: room for frames that nobody has read yet; what does not fit is lost, and counted.
    public init(device: PortName, receiveBytes: Int32 = 8 << 20) throws(NetlinkError) {
        let operation = "listen on \(device)"
        let index = if_nametoindex(device.description)
        guard index != 0 else { throw NetlinkError(ENODEV, operation) }
        fd = try Self.open(index: index, receiveBytes: receiveBytes, operation: operation)
        self.device = device
        self.index = index
        buffer = .allocate(byteCount: Self.longestFrame, alignment: 16)
    }

    deinit {
        close(fd)
        buffer.deallocate()
    }

    private static func open(index: UInt32, receiveBytes: Int32, operation: String) throws(NetlinkError) -> Int32 {
        // Protocol 0 until it is bound: nothing of other devices comes in.
        let fd = socket(
            AF_PACKET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard fd >= 0 else { throw NetlinkError(errno, operation) }
        do throws(NetlinkError) {
            try prepare(fd, receiveBytes, operation)
            try bindTo(index, fd, operation)
        } catch {
            close(fd)
            throw error
        }
        return fd
    }

    private static func prepare(_ fd: Int32, _ receiveBytes: Int32, _ operation: String) throws(NetlinkError) {
        var on: Int32 = 1
        var bytes = receiveBytes
        let size = socklen_t(MemoryLayout<Int32>.size)
        // The tag that a device takes out of the bytes comes beside them.
        _ = try netlinkCall(operation) { Int(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, size)) }
        if setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, size) != 0 {
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, size)
        }
    }

    private static func bindTo(_ index: UInt32, _ fd: Int32, _ operation: String) throws(NetlinkError) {
        var address = sockaddr_ll()
        address.sll_family = UInt16(AF_PACKET)
        address.sll_protocol = UInt16(ETH_P_ALL).bigEndian
        address.sll_ifindex = Int32(bitPattern: index)
        _ = try netlinkCall(operation) {
            withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Int(bind(fd, $0, socklen_t(MemoryLayout<sockaddr_ll>.size)))
                }
            }
        }
    }

    /// A frame from its destination MAC on, in a buffer that the next read writes over.
    public struct Received {
        public let bytes: UnsafeRawBufferPointer
        /// Id of the VLAN whose tag is not in the bytes.
        public let vlan: UInt16?
    }

    /// The next frame; nil: none waits. A device that goes down is waited for; one that is gone is an error.
    public mutating func read() throws(NetlinkError) -> Received? {
        do throws(NetlinkError) {
            return try receive()
        } catch {
            guard error.code == ENETDOWN else { throw error }
            guard if_nametoindex(device.description) == index else { throw NetlinkError(ENODEV, error.operation) }
            return nil
        }
    }

    private func receive() throws(NetlinkError) -> Received? {
        var part = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
        // Aligned as a cmsghdr must be, with room for more than the one that comes.
        let control = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 8)
        defer { control.deallocate() }
        var message = msghdr()
        message.msg_control = control.baseAddress
        message.msg_controllen = control.count
        let count = try withUnsafeMutablePointer(to: &part) { part throws(NetlinkError) in
            message.msg_iov = part
            message.msg_iovlen = 1
            return try Self.receive(fd, &message, "listen on \(device)")
        }
        guard let count else { return nil }
        let told = UnsafeRawBufferPointer(rebasing: control[..<min(message.msg_controllen, control.count)])
        return Received(
            bytes: UnsafeRawBufferPointer(rebasing: buffer[..<min(count, buffer.count)]), vlan: Self.vlan(in: told))
    }

    private static func receive(
        _ fd: Int32, _ message: UnsafeMutablePointer<msghdr>, _ operation: String
    ) throws(NetlinkError) -> Int? {
        try netlinkCall(operation) { recvmsg(fd, message, 0) }
    }

    /// The one message that was asked for: a cmsghdr and a tpacket_auxdata. CMSG_DATA is a macro that Swift lacks.
    private static func vlan(in control: UnsafeRawBufferPointer) -> UInt16? {
        let header = MemoryLayout<cmsghdr>.stride
        guard control.count >= header + MemoryLayout<tpacket_auxdata>.size else { return nil }
        let message = control.loadUnaligned(as: cmsghdr.self)
        guard message.cmsg_level == SOL_PACKET, message.cmsg_type == PACKET_AUXDATA else { return nil }
        let auxiliary = control.loadUnaligned(fromByteOffset: header, as: tpacket_auxdata.self)
        return auxiliary.tp_status & UInt32(TP_STATUS_VLAN_VALID) != 0 ? auxiliary.tp_vlan_tci & 0xfff : nil
    }

    /// Frames that were lost for lack of room, since the last call.
    public func takeLost() -> Int {
        var counted = tpacket_stats()
        var size = socklen_t(MemoryLayout<tpacket_stats>.size)
        let result = getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &counted, &size)
        return result == 0 ? Int(counted.tp_drops) : 0
    }
}
