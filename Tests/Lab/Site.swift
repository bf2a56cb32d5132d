/// The lab's network as a data centre has it: a NIC whose bridge switches between an uplink and ports, and beyond the
/// uplink a fabric with clients and the registry. One flat 10.88.0.0/16, no router.
public final class Site: Sendable {
    public let lab: Lab
    public let nic: Namespace
    public let fabric: Namespace
    public static let bridge = "br0"
    public static let uplink = "up0"
    /// For mesh VIPs: on-link for all.
    public static let vips = "10.88.255.0/24"

    public init(in lab: Lab) throws {
        self.lab = lab
        nic = try Namespace("nic", in: lab)
        fabric = try Namespace("fabric", in: lab)
        try nic.addBridge(Self.bridge)
        try fabric.addBridge("fab0")
        try nic.addCable(Self.uplink, to: fabric, "nic0")
        try nic.plug(Self.uplink, into: Self.bridge)
        try fabric.plug("nic0", into: "fab0")
    }

    /// A machine beyond the uplink.
    /// - Parameter vlan: the tag of all its frames on the fabric; nil: none.
    public func addClient(_ name: String, address: String, vlan: UInt16? = nil) throws -> Namespace {
        let client = try Namespace(name, in: lab)
        try client.addCable("eth0", to: fabric, name)
        if let vlan { try client.tag("eth0", vlan: vlan) }
        try client.ip("address add \(address)/16 dev eth0")
        try fabric.plug(name, into: "fab0")
        return client
    }

    public func addRegistry() throws -> EtcdServer {
        let address = "10.88.0.2"
        return try EtcdServer(in: addClient("etcd", address: address), address: address)
    }

    /// A namespace that stands for a VM, behind a veth: quick to make, and it can do all that this machine can.
    public func addLightMachine(_ port: String, address: String) throws -> Namespace {
        let machine = try Namespace(port, in: lab)
        try nic.addCable(port, to: machine, "eth0")
        try machine.ip("address add \(address)/16 dev eth0")
        try nic.plug(port, into: Self.bridge)
        return machine
    }

    public func addVirtualMachine(
        _ name: String, tap: String, address: String, hasAddress: Bool = true, registry: Endpoint? = nil,
        programs: [String] = [], modules: [String] = [], cards: [VirtualMachine.Card] = []
    ) throws -> VirtualMachine {
        for tap in [tap] + cards.map(\.tap) {
            try nic.addTap(tap)
            try nic.plug(tap, into: Self.bridge)
        }
        return try VirtualMachine(
            name, address: address, hasAddress: hasAddress, tap: tap, in: nic, registry: registry, programs: programs,
            modules: modules, cards: cards)
    }

    /// A VM whose tap is on another bridge, behind a pair of Ethernet devices: its port is a representor.
    /// - Parameter vlan: the tag of all its frames at the port; nil: none.
    public func addVirtualMachine(
        _ name: String, behind port: String, address: String, vlan: UInt16? = nil
    ) throws -> VirtualMachine {
        let host = try Namespace(port, in: lab)
        try host.addBridge("guests")
        try host.addCable("trunk", to: nic, port)
        try host.plug("trunk", into: "guests")
        try nic.plug(port, into: Self.bridge)
        if let vlan { try host.tag("trunk", vlan: vlan) }
        try host.addTap("tap0")
        try host.plug("tap0", into: "guests")
        return try VirtualMachine(name, address: address, tap: "tap0", in: host)
    }

    /// A machine that runs containers beyond an uplink of its own, in a VXLAN that ends at the NIC's bridge.
    public func addOverlayNetwork(uplink: String, number: Int, vni: Int) throws -> ContainerNetwork {
        let host = try Namespace("overlay", in: lab)
        try nic.addCable(uplink, to: host, "eth0")
        for (end, device, name) in [(nic, uplink, "vx\(vni)"), (host, "eth0", "uplink")] {
            let (own, other) = end === nic ? (1, 2) : (2, 1)
            try end.ip(
                "address add 172.31.\(number).\(own)/24 dev \(device)",
                "link add \(name) type vxlan id \(vni) remote 172.31.\(number).\(other) dstport 4789 dev \(device)",
                "link set \(name) up")
        }
        try nic.plug("vx\(vni)", into: Self.bridge)
        return try ContainerNetwork(on: host, number: number)
    }

    public func addContainerNetwork(
        port: String = "ct0", plugin: ContainerNetwork.Plugin = .bridge, number: Int = 3
    ) throws -> ContainerNetwork {
        try ContainerNetwork(port: port, of: nic, bridge: Self.bridge, plugin: plugin, number: number)
    }
}
