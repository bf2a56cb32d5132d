internal import CLibMNL

/// A table of the kernel's packet filter (nftables; iptables-nft keeps its rules there too).
public struct FilterTable: Hashable, Sendable {
    /// Numbers of linux/netfilter.h, which cannot stand beside Glibc's own network headers.
    public enum Family: UInt8, Sendable {
        case inet = 1
        case ipv4 = 2
        case arp = 3
        case netdev = 5
        case bridge = 7
        case ipv6 = 10
    }
    public var family: Family
    public var name: String

    public init(family: Family, name: String) {
        self.family = family
        self.name = name
    }

    /// nfnetlink's messages carry their subsystem in the upper byte.
    static func messageType(_ message: nf_tables_msg_types) -> UInt16 {
        UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(truncatingIfNeeded: message.rawValue)
    }
}
