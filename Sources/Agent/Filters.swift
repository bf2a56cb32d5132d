internal import Netlink

/// What may filter packets between the devices of this network namespace. Rules themselves are not read: a table that is
/// there is taken to mean something.
struct Filters {
    /// Nil: they may not be read.
    var families: Set<FilterTable.Family>?
    /// Rules of ebtables, the older filter of bridges.
    var ebtables = false
    /// br_netfilter: bridged packets go through the IP filters too.
    var bridgedThroughIP = false
    /// This machine routes between its devices.
    var routes = false

    init(
        families: Set<FilterTable.Family>?, ebtables: Bool = false, bridgedThroughIP: Bool = false, routes: Bool = false
    ) {
        self.families = families
        self.ebtables = ebtables
        self.bridgedThroughIP = bridgedThroughIP
        self.routes = routes
    }

    /// As they are now.
    init() {
        families = try? Set(NetlinkSocket.filterTables().map(\.family))
        if let legacy = kernelFile("/proc/net/ip_tables_names"), !legacy.isEmpty { families?.insert(.ipv4) }
        if let legacy = kernelFile("/proc/net/ip6_tables_names"), !legacy.isEmpty { families?.insert(.ipv6) }
        ebtables = kernelFile("/proc/modules")?.split(separator: "\n").contains { $0.hasPrefix("ebtable_") } ?? false
        bridgedThroughIP = ["iptables", "ip6tables"].contains {
            kernelFile("/proc/sys/net/bridge/bridge-nf-call-\($0)") == "1"
        }
        routes = kernelFile("/proc/sys/net/ipv4/ip_forward") == "1"
    }

    var areKnown: Bool { families != nil }
    private var hasIPRules: Bool { [.inet, .ipv4, .ipv6].contains { has($0) } }
    private func has(_ family: FilterTable.Family) -> Bool { families?.contains(family) ?? false }

    /// Why the packets of this device should go through whatever switches them; empty: no reason was found.
    func between(_ link: Link, in master: Link?) -> [String] {
        var reasons: [String] = []
        if has(.netdev) { reasons.append("nftables has a netdev table") }
        switch master?.kind {
        case "openvswitch": reasons.append("Open vSwitch decides where its packets go")
        case "bridge":
            if let master { reasons += onBridge(link, master) }
        default:
            if routes && hasIPRules { reasons.append("packets are routed here, and the IP filter has tables") }
        }
        return reasons
    }

    private func onBridge(_ link: Link, _ bridge: Link) -> [String] {
        var reasons: [String] = []
        if bridge.filtersVLANs { reasons.append("bridge \(bridge.name) filters by VLAN") }
        if link.isIsolated { reasons.append("bridge \(bridge.name) isolates it from other ports") }
        if has(.bridge) { reasons.append("nftables has a bridge table") }
        if ebtables { reasons.append("ebtables is in use") }
        if bridgedThroughIP && hasIPRules {
            reasons.append("bridged packets go through the IP filter (br_netfilter), which has tables")
        }
        return reasons
    }
}
