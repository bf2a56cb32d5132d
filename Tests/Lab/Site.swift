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
    public func addClient(_ name: String, address: String) throws -> Namespace {
        let client = try Namespace(name, in: lab)
        try client.addCable("eth0", to: fabric, name)
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
        _ name: String, tap: String, address: String, registry: Endpoint? = nil, programs: [String] = []
    ) throws -> VirtualMachine {
        try nic.addTap(tap)
        try nic.plug(tap, into: Self.bridge)
        return try VirtualMachine(name, address: address, tap: tap, in: nic, registry: registry, programs: programs)
    }

    public func addContainerNetwork(port: String = "ct0") throws -> ContainerNetwork {
        try ContainerNetwork(port: port, of: nic, bridge: Self.bridge)
    }
}
