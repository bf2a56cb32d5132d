import Foundation
public import Lab

/// One NIC with all that a verdict can be about behind it: virtual machines behind taps, a representor and a trunk,
/// containers of every kind that CNI sets up, and beyond the uplink registries, registrars and a client.
public final class Stage {
    public let lab: Lab
    public let site: Site
    public let consul: ConsulStandIn
    private let registry: Namespace
    /// Of the network in the VLAN.
    public let taggedConsul: ConsulStandIn
    public let alice: Namespace
    /// May register others' services.
    public let platform: Namespace
    /// May not.
    public let stranger: Namespace
    public let machines: Machines
    public let containers: Containers
    /// A guest that means harm, behind a port of its own.
    public let rogue: Namespace

    static let vlan: UInt16 = 100
    /// The VXLAN that containers are in.
    static let overlay = 77
    static let platformAddress = "10.88.0.5"

    /// What is behind the NIC's ports that lead to VMs.
    public struct Machines {
        /// Behind a tap.
        public let web: VirtualMachine
        /// Behind a representor; gets more addresses.
        public let represented: VirtualMachine
        /// Behind a trunk: all its frames have a tag.
        public let trunked: VirtualMachine
        /// Runs a pod, and has a second card.
        public let nest: VirtualMachine
        /// Has an IPv6 address and no other.
        public let six: VirtualMachine
        /// Gets the addresses of containers that are gone.
        public let heir: VirtualMachine

        var all: [VirtualMachine] { [web, represented, trunked, nest, six, heir] }
    }

    public struct Containers {
        public let bridged: ContainerNetwork
        public let routed: ContainerNetwork
        public let direct: ContainerNetwork
        public let mapped: ContainerNetwork
        public let overlaid: ContainerNetwork
        /// Long-lived ones, one of each kind.
        public let plain: ContainerNetwork.Container
        public let onRoute: ContainerNetwork.Container
        public let onMacvlan: ContainerNetwork.Container
        public let behindNAT: ContainerNetwork.Container
        public let inOverlay: ContainerNetwork.Container

        /// What their platform knows of them: their own addresses.
        var addresses: [String] {
            [plain, onRoute, onMacvlan, behindNAT, inOverlay].map(\.ownAddress) + [Stage.podAddress]
        }
    }

    static let podAddress = "10.88.5.2"
    static let secondCard = "10.90.1.1"
    static let secondAddress = "10.88.1.13"
    static let mutedAddress = "10.88.1.23"
    static let sixAddress = "fd88::1:6"

    /// Builds it all; returns when every machine is up.
    public init(in lab: Lab) throws {
        self.lab = lab
        site = try Site(in: lab)
        machines = try Self.bootMachines(on: site)
        registry = try site.addClient("consul", address: "10.88.0.2")
        // one more for each source address that a guest is to register from, by its routes
        try registry.ip(
            "address add 10.88.0.3/16 dev eth0", "address add 10.88.0.4/16 dev eth0",
            "address add 10.90.0.2/16 dev eth0", "address add fd88::2/64 dev eth0 nodad")
        consul = try ConsulStandIn(in: registry, address: "10.88.0.2")
        taggedConsul = try ConsulStandIn(
            in: site.addClient("tagged", address: "10.89.0.2", vlan: Self.vlan), address: "10.89.0.2")
        alice = try site.addClient("alice", address: "10.88.0.11")
        // here, too: what they say to a registry beyond the uplink would not pass this NIC otherwise
        platform = try site.addLightMachine("ct11", address: Self.platformAddress)
        stranger = try site.addLightMachine("ct12", address: "10.88.0.6")
        rogue = try site.addLightMachine("vm10", address: "10.88.1.10")
        containers = try Self.startContainers(on: site)
        for machine in machines.all { try machine.waitUntilReady() }
        try furnish()
    }

    private static func bootMachines(on site: Site) throws -> Machines {
        Machines(
            web: try site.addVirtualMachine("web", tap: "vm1", address: "10.88.1.1"),
            represented: try site.addVirtualMachine("represented", behind: "vm3", address: "10.88.1.3"),
            trunked: try site.addVirtualMachine("trunked", behind: "tr4", address: "10.89.1.4", vlan: vlan),
            nest: try site.addVirtualMachine(
                "nest", tap: "vm5", address: "10.88.1.5",
                programs: ["/usr/lib/cni/ptp", "/usr/lib/cni/host-local"], modules: ["veth"],
                cards: [VirtualMachine.Card(tap: "vm2", address: secondCard)]),
            six: try site.addVirtualMachine("six", tap: "vm6", address: "10.88.1.6", hasAddress: false),
            heir: try site.addVirtualMachine("heir", tap: "vm9", address: "10.88.1.9", hasAddress: false))
    }

    private static func startContainers(on site: Site) throws -> Containers {
        let bridged = try site.addContainerNetwork(port: "ct0")
        let routed = try site.addContainerNetwork(port: "ct1", plugin: .ptp, number: 4)
        let direct = try site.addContainerNetwork(port: "ct2", plugin: .macvlan, number: 6)
        let mapped = try site.addContainerNetwork(port: "ct3", plugin: .portmap, number: 7)
        let overlaid = try site.addOverlayNetwork(uplink: "up1", number: 8, vni: overlay)
        let all = Containers(
            bridged: bridged, routed: routed, direct: direct, mapped: mapped, overlaid: overlaid,
            plain: try bridged.addContainer("bridged"), onRoute: try routed.addContainer("routed"),
            onMacvlan: try direct.addContainer("macvlan"),
            behindNAT: try mapped.addContainer("mapped", ports: [8080]),
            inOverlay: try overlaid.addContainer("overlaid"))
        for one in [all.plain, all.onRoute, all.onMacvlan, all.behindNAT, all.inOverlay] {
            _ = try one.namespace.serve("container", port: 8080)
        }
        return all
    }

    /// Those who talk with guests.
    var listeners: [Namespace] { [registry, alice, platform, stranger] }

    /// Addresses, routes and servers in the guests.
    private func furnish() throws {
        for port: UInt16 in [80, 8182, 8086, 8088, 8090] { try machines.web.serve(port: port) }
        try machines.nest.run(["ip", "address", "add", "\(Self.secondCard)/16", "dev", "eth1"])
        try machines.nest.run(["ip", "link", "set", "eth1", "up"])
        for port: UInt16 in [80, 8083, 8084] { try machines.represented.serve(port: port) }
        for (address, registry) in [(Self.secondAddress, "10.88.0.3"), (Self.mutedAddress, "10.88.0.4")] {
            try machines.represented.run(["ip", "address", "add", "\(address)/16", "dev", "eth0"])
            try machines.represented.run(["ip", "route", "add", registry, "dev", "eth0", "src", address])
        }
        try machines.trunked.serve(port: 80)
        try machines.heir.serve(port: 8300)
        try machines.six.run(["sysctl", "-w", "net.ipv6.conf.eth0.accept_dad=0"])
        try machines.six.run(["ip", "address", "add", "\(Self.sixAddress)/64", "dev", "eth0"])
        try machines.six.serve(port: 80)
        for port: UInt16 in [8181, 8088, 8091] { _ = try containers.plain.namespace.serve("container", port: port) }
        try startPod()
    }

    /// In the VM "nest": a pod of CNI's, a routed hop behind the VM's own address.
    private func startPod() throws {
        let script = """
            echo 1 >/proc/sys/net/ipv4/conf/eth0/proxy_arp
            unshare -n sleep 1000000 &
            ln -s /proc/$!/ns/net /run/pod
            while [ "$(readlink /proc/$!/ns/net)" = "$(readlink /proc/1/ns/net)" ]; do usleep 1000; done
            export CNI_COMMAND=ADD CNI_CONTAINERID=pod CNI_NETNS=/run/pod CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni
            LD_LIBRARY_PATH=/lib /usr/lib/cni/ptp </run/pod.json || exit 1
            nsenter --net=/run/pod httpd -p 80 -h /www
            """
        let configuration = """
            {"cniVersion":"0.4.0","name":"pods","type":"ptp","ipam":{"type":"host-local","dataDir":"/run/cni",\
            "ranges":[[{"subnet":"10.88.5.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}
            """
        for line in script.split(separator: "\n") { try machines.nest.order("write /run/pod.sh \(line)") }
        try machines.nest.order("write /run/pod.json \(configuration)")
        try machines.nest.run(["sh", "/run/pod.sh"])
    }
}
