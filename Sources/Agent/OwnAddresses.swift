internal import Glibc
internal import Model

/// What is never probed because it is this machine's own, or everybody's.
struct OwnAddresses: Equatable {
    private(set) var addresses: Set<IPAddress> = []
    private(set) var broadcasts: Set<IPAddress> = []

    /// As they are now; empty where the kernel does not say.
    static func read() -> OwnAddresses {
        var own = OwnAddresses()
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return own }
        defer { freeifaddrs(list) }
        var next = list
        while let entry = next {
            if let address = address(entry.pointee.ifa_addr) { own.addresses.insert(address) }
            if entry.pointee.ifa_flags & UInt32(IFF_BROADCAST) != 0,
                let address = address(entry.pointee.ifa_ifu.ifu_broadaddr)
            {
                own.broadcasts.insert(address)
            }
            next = entry.pointee.ifa_next
        }
        return own
    }

    private static func address(_ pointer: UnsafeMutablePointer<sockaddr>?) -> IPAddress? {
        guard let pointer else { return nil }
        switch Int32(pointer.pointee.sa_family) {
        case AF_INET:
            return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                .v4(IPv4Address(networkOrder: $0.pointee.sin_addr.s_addr))
            }
        case AF_INET6:
            return pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { six in
                withUnsafeBytes(of: six.pointee.sin6_addr) { .v6(IPv6Address(bytes: $0)) }
            }
        default: return nil
        }
    }
}
