internal import CLibMNL
internal import Glibc

/// A socket to the kernel's routing tables. It hears changes of links and neighbours of the network namespace that it
/// was opened in; open it before a dump, and nothing falls between.
public struct NetlinkSocket: ~Copyable {
    private let socket: OpaquePointer
    /// To wait on for reading. Closed with this value.
    public let fd: Int32
    private var buffer = [UInt8](repeating: 0, count: 65536)

    /// - Parameter receiveBytes: room for changes that nobody has read yet; above it they are lost, as `.overrun` says.
    public init(receiveBytes: Int32 = 1 << 20) throws(NetlinkError) {
        let groups = UInt32(RTMGRP_LINK | RTMGRP_NEIGH)
        socket = try Self.open(groups: groups, flags: Int32(SOCK_NONBLOCK.rawValue), operation: "follow links")
        fd = mnl_socket_get_fd(socket)
        var bytes = receiveBytes
        let size = socklen_t(MemoryLayout<Int32>.size)
        // Beyond rmem_max where the privilege allows it, up to it where not.
        if setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, size) != 0 {
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, size)
        }
    }

    deinit { mnl_socket_close(socket) }

    /// What has happened since the last call, at most what one read returns; empty if nothing has. Call again until it
    /// is empty.
    public mutating func read() throws(NetlinkError) -> [NetlinkEvent] {
        do throws(NetlinkError) {
            let count = try netlinkCall("follow links") {
                buffer.withUnsafeMutableBytes { mnl_socket_recvfrom(socket, $0.baseAddress, $0.count) }
            }
            guard let count else { return [] }
            return buffer.withUnsafeBytes { bytes in
                NetlinkMessages.read(UnsafeRawBufferPointer(rebasing: bytes[..<count])).compactMap { item in
                    if case .event(let event) = item { event } else { nil }
                }
            }
        } catch  where error.code == ENOBUFS || error.code == ENOSPC {
            // ENOSPC: a message larger than the buffer was cut; libmnl's word for MSG_TRUNC.
            return [.overrun]
        }
    }

    /// Every device of this network namespace.
    public static func links() throws(NetlinkError) -> [Link] {
        try dump(UInt16(RTM_GETLINK), family: AF_UNSPEC, operation: "dump links").compactMap { item in
            if case .event(.link(let link)) = item { link } else { nil }
        }
    }

    /// Every entry of one table of neighbours.
    public static func neighbours(_ table: Neighbour.Table) throws(NetlinkError) -> [Neighbour] {
        let family =
            switch table {
            case .bridge: AF_BRIDGE
            case .ipv4: AF_INET
            case .ipv6: AF_INET6
            }
        return try dump(UInt16(RTM_GETNEIGH), family: family, operation: "dump neighbours").compactMap { item in
            if case .event(.neighbour(let neighbour)) = item { neighbour } else { nil }
        }
    }

    /// The packet filter's tables of every family. Needs CAP_NET_ADMIN.
    public static func filterTables() throws(NetlinkError) -> [FilterTable] {
        let type = FilterTable.messageType(NFT_MSG_GETTABLE)
        return try dump(
            type, family: AF_UNSPEC, operation: "dump nftables", bus: NETLINK_NETFILTER,
            header: MemoryLayout<nfgenmsg>.size
        ).compactMap { item in
            if case .table(let table) = item { table } else { nil }
        }
    }

    /// A dump that meets a change is torn and asked for again; a table that never rests is an error.
    ///
    /// - Parameter header: bytes that follow the message's own header; the family is the first. Dumps of links and
    ///   neighbours take the longer one of either.
    private static func dump(
        _ type: UInt16, family: Int32, operation: String, bus: Int32 = NETLINK_ROUTE,
        header: Int = max(MemoryLayout<ifinfomsg>.size, MemoryLayout<ndmsg>.size)
    ) throws(NetlinkError) -> [NetlinkMessages.Item] {
        let socket = try open(groups: 0, flags: 0, operation: operation, bus: bus)
        defer { mnl_socket_close(socket) }
        var patience = timeval(tv_sec: 5, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience, size)
        for _ in 0..<mostDumps {
            try request(socket, type, family: family, header: header, operation: operation)
            if let items = try receiveDump(socket, operation: operation) { return items }
        }
        throw NetlinkError(EBUSY, "\(operation): the table changed during each of \(mostDumps) dumps")
    }
    private static let mostDumps = 10

    /// Nil where it was torn.
    private static func receiveDump(
        _ socket: OpaquePointer, operation: String
    ) throws(NetlinkError) -> [NetlinkMessages.Item]? {
        var buffer = [UInt8](repeating: 0, count: 65536)
        var content: [NetlinkMessages.Item] = []
        var isWhole = true
        while true {
            let count = try netlinkCall(operation) {
                buffer.withUnsafeMutableBytes { mnl_socket_recvfrom(socket, $0.baseAddress, $0.count) }
            }
            guard let count else { throw NetlinkError(ETIMEDOUT, operation) }
            let items = buffer.withUnsafeBytes {
                NetlinkMessages.read(UnsafeRawBufferPointer(rebasing: $0[..<count]))
            }
            for item in items {
                switch item {
                case .event, .table: content.append(item)
                case .interrupted: isWhole = false
                case .error(let code) where code != 0: throw NetlinkError(code, operation)
                case .error: break
                case .done: return isWhole ? content : nil
                }
            }
        }
    }

    private static func request(
        _ socket: OpaquePointer, _ type: UInt16, family: Int32, header extraBytes: Int, operation: String
    ) throws(NetlinkError) {
        let bytes = UnsafeMutableRawPointer.allocate(byteCount: 256, alignment: 16)
        defer { bytes.deallocate() }
        guard let header = mnl_nlmsg_put_header(bytes) else { throw NetlinkError(ENOMEM, operation) }
        header.pointee.nlmsg_type = type
        header.pointee.nlmsg_flags = UInt16(NLM_F_REQUEST | NLM_F_DUMP)
        header.pointee.nlmsg_seq = 1
        let extra = mnl_nlmsg_put_extra_header(header, extraBytes)
        extra?.storeBytes(of: UInt8(truncatingIfNeeded: family), as: UInt8.self)
        let length = Int(header.pointee.nlmsg_len)
        _ = try netlinkCall(operation) { mnl_socket_sendto(socket, header, length) }
    }

    private static func open(
        groups: UInt32, flags: Int32, operation: String, bus: Int32 = NETLINK_ROUTE
    ) throws(NetlinkError) -> OpaquePointer {
        guard let socket = mnl_socket_open2(bus, Int32(SOCK_CLOEXEC.rawValue) | flags) else {
            throw NetlinkError(errno, "open a netlink socket")
        }
        do throws(NetlinkError) {
            _ = try netlinkCall(operation) { Int(mnl_socket_bind(socket, groups, 0)) }
        } catch {
            mnl_socket_close(socket)
            throw error
        }
        return socket
    }
}
