internal import CLibMNL
internal import Glibc
internal import Model

/// Reads rtnetlink messages into values. What is cut short, or of no interest here, is passed over.
enum NetlinkMessages {
    enum Item: Equatable {
        case event(NetlinkEvent)
        case table(FilterTable)
        /// The end of a dump.
        case done
        /// The kernel's answer to a request: errno, 0 for "done as asked".
        case error(Int32)
        /// A dump met a change on its way (NLM_F_DUMP_INTR): its picture may be torn.
        case interrupted
    }

    /// libmnl's own walk takes a length above Int32.max for a negative one, and goes on behind the buffer.
    static func read(_ bytes: UnsafeRawBufferPointer) -> [Item] {
        var rest = bytes
        var items: [Item] = []
        while rest.count >= MemoryLayout<nlmsghdr>.size {
            let header = rest.loadUnaligned(as: nlmsghdr.self)
            let length = Int(header.nlmsg_len)
            guard length >= MemoryLayout<nlmsghdr>.size, length <= rest.count else { break }
            let payload = UnsafeRawBufferPointer(rebasing: rest[MemoryLayout<nlmsghdr>.size..<length])
            if header.nlmsg_flags & UInt16(NLM_F_DUMP_INTR) != 0 { items.append(.interrupted) }
            if let item = item(Int(header.nlmsg_type), payload) { items.append(item) }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst((length + 3) & ~3))
        }
        return items
    }

    private static func item(_ type: Int, _ payload: UnsafeRawBufferPointer) -> Item? {
        switch type {
        case Int(NLMSG_DONE): return .done
        case Int(NLMSG_OVERRUN): return .event(.overrun)
        case Int(NLMSG_ERROR):
            guard let error: nlmsgerr = read(payload) else { return nil }
            return .error(0 &- error.error)
        case Int(RTM_NEWLINK): return link(payload).map { .event(.link($0)) }
        case Int(RTM_DELLINK): return link(payload).map { .event(.linkGone($0)) }
        case Int(RTM_NEWNEIGH): return neighbour(payload).map { .event(.neighbour($0)) }
        case Int(RTM_DELNEIGH): return neighbour(payload).map { .event(.neighbourGone($0)) }
        case Int(FilterTable.messageType(NFT_MSG_NEWTABLE)): return table(payload).map { .table($0) }
        default: return nil
        }
    }

    /// IFF_LOWER_UP of linux/if.h, which glibc's net/if.h keeps out.
    private static let lowerUp: UInt32 = 1 << 16

    private static func link(_ payload: UnsafeRawBufferPointer) -> Link? {
        // A bridge tells changes of its ports as links of the family AF_BRIDGE, with other attributes: not ours.
        guard let info: ifinfomsg = read(payload), info.ifi_family == UInt8(AF_UNSPEC), info.ifi_index > 0 else {
            return nil
        }
        var link = Link(
            index: UInt32(info.ifi_index), name: PortName(""), isUp: info.ifi_flags & UInt32(IFF_UP) != 0,
            hasCarrier: info.ifi_flags & lowerUp != 0)
        for attribute in Attributes(payload, skipping: MemoryLayout<ifinfomsg>.size) {
            switch Int(attribute.type) {
            case Int(IFLA_IFNAME): link.name = PortName(attribute.text)
            case Int(IFLA_ADDRESS): link.mac = attribute.mac
            case Int(IFLA_MASTER): link.master = attribute.number(UInt32.self)
            case Int(IFLA_LINK): link.peer = attribute.number(UInt32.self)
            case Int(IFLA_LINK_NETNSID): link.peerNamespace = attribute.number(Int32.self)
            case Int(IFLA_MTU): link.mtu = attribute.number(UInt32.self) ?? link.mtu
            case Int(IFLA_OPERSTATE):
                link.state = attribute.number(UInt8.self).flatMap(Link.OperationalState.init) ?? .unknown
            case Int(IFLA_LINKINFO):
                readKind(attribute, into: &link)
            case Int(IFLA_PHYS_SWITCH_ID): link.hardwareSwitch = Array(attribute.value)
            case Int(IFLA_XDP): link.xdpProgram = attribute.nested.lazy.compactMap(xdpProgram).first
            default: break
            }
        }
        return link.name.description.isEmpty ? nil : link
    }

    /// IFLA_LINKINFO: what kind it is, and what that kind says of itself and of its ports.
    private static func readKind(_ attribute: Attribute, into link: inout Link) {
        for inner in attribute.nested {
            switch Int(inner.type) {
            case Int(IFLA_INFO_KIND): link.kind = inner.text
            case Int(IFLA_INFO_DATA) where link.kind == "bridge":
                link.filtersVLANs = inner.nested.contains { Int($0.type) == Int(IFLA_BR_VLAN_FILTERING) && $0.isTrue }
            case Int(IFLA_INFO_SLAVE_DATA):
                // Of a bond's port these are other attributes, and none has this number.
                link.isIsolated = inner.nested.contains { Int($0.type) == Int(IFLA_BRPORT_ISOLATED) && $0.isTrue }
            default: break
            }
        }
    }

    /// The kernel names the program once, or, of several, each by its mode.
    private static func xdpProgram(_ attribute: Attribute) -> UInt32? {
        switch Int(attribute.type) {
        case Int(IFLA_XDP_PROG_ID), Int(IFLA_XDP_DRV_PROG_ID), Int(IFLA_XDP_SKB_PROG_ID), Int(IFLA_XDP_HW_PROG_ID):
            attribute.number(UInt32.self)
        default: nil
        }
    }

    private static func table(_ payload: UnsafeRawBufferPointer) -> FilterTable? {
        guard let info: nfgenmsg = read(payload), let family = FilterTable.Family(rawValue: info.nfgen_family),
            let name = Attributes(payload, skipping: MemoryLayout<nfgenmsg>.size)
                .first(where: { Int($0.type) == Int(NFTA_TABLE_NAME.rawValue) })?.text
        else { return nil }
        return FilterTable(family: family, name: name)
    }

    private static func neighbour(_ payload: UnsafeRawBufferPointer) -> Neighbour? {
        guard let info: ndmsg = read(payload), info.ndm_ifindex > 0 else { return nil }
        let table: Neighbour.Table
        switch Int32(info.ndm_family) {
        case AF_BRIDGE: table = .bridge
        case AF_INET: table = .ipv4
        case AF_INET6: table = .ipv6
        default: return nil
        }
        var neighbour = Neighbour(
            table: table, index: UInt32(info.ndm_ifindex), isFailed: info.ndm_state & UInt16(NUD_FAILED) != 0,
            isPermanent: info.ndm_state & UInt16(NUD_PERMANENT | NUD_NOARP) != 0)
        neighbour.isOffloaded = info.ndm_flags & UInt8(NTF_OFFLOADED) != 0
        for attribute in Attributes(payload, skipping: MemoryLayout<ndmsg>.size) {
            switch Int(attribute.type) {
            case Int(NDA_LLADDR): neighbour.mac = attribute.mac
            case Int(NDA_DST): neighbour.address = attribute.address
            case Int(NDA_VLAN): neighbour.vlan = attribute.number(UInt16.self)
            default: break
            }
        }
        return neighbour
    }

    /// The fixed header that a payload begins with; nil if it is cut short.
    private static func read<Value: BitwiseCopyable>(_ payload: UnsafeRawBufferPointer) -> Value? {
        payload.count >= MemoryLayout<Value>.size ? payload.loadUnaligned(as: Value.self) : nil
    }
}

/// The attributes of a message, or those nested in one.
private struct Attributes: Sequence, IteratorProtocol {
    private var bytes: UnsafeRawBufferPointer
    private static let header = MemoryLayout<nlattr>.size

    init(_ payload: UnsafeRawBufferPointer, skipping: Int) {
        bytes = UnsafeRawBufferPointer(rebasing: payload.dropFirst((skipping + 3) & ~3))
    }

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func next() -> Attribute? {
        guard bytes.count >= Self.header else { return nil }
        let header = bytes.loadUnaligned(as: nlattr.self)
        let length = Int(header.nla_len)
        guard length >= Self.header, length <= bytes.count else { return nil }
        let value = UnsafeRawBufferPointer(rebasing: bytes[Self.header..<length])
        bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst((length + 3) & ~3))
        return Attribute(type: withUnsafePointer(to: header) { mnl_attr_get_type($0) }, value: value)
    }
}

private struct Attribute {
    let type: UInt16
    let value: UnsafeRawBufferPointer

    /// In host order.
    func number<Number: FixedWidthInteger & BitwiseCopyable>(_: Number.Type) -> Number? {
        value.count == MemoryLayout<Number>.size ? value.loadUnaligned(as: Number.self) : nil
    }

    var text: String { String(decoding: value.prefix { $0 != 0 }, as: UTF8.self) }
    var mac: MACAddress? { value.count == 6 ? MACAddress(bytes: value) : nil }
    var nested: Attributes { Attributes(value) }
    var isTrue: Bool { number(UInt8.self) ?? 0 != 0 }

    var address: IPAddress? {
        switch value.count {
        case 4: .v4(IPv4Address(networkOrder: value.loadUnaligned(as: UInt32.self)))
        case 16: .v6(IPv6Address(bytes: value))
        default: nil
        }
    }
}
