import Lab

/// What stays as it is once it is registered.
extension Trials {
    /// All of them, registered one after the other and judged side by side.
    public func playStatic() throws {
        try registerMachines()
        try registerContainers()
        try registerOthers()
        try registerOddly()
        let shop = try registerShop()
        try registerMuted()
        settle(limit: .seconds(3))
        try check(shop: shop)
    }

    private func registerMachines() throws {
        let machines = stage.machines
        try register(
            "web", Case("VM on a tap with QEMU", is: .vm, plain: true, at: "10.88.1.1:80"), by: .guest(machines.web),
            address: "10.88.1.1", port: 80)
        try register(
            "represented", Case("VM behind a veth representor", is: .vm, plain: true, at: "10.88.1.3:80"),
            by: .guest(machines.represented), address: "10.88.1.3", port: 80)
        try register(
            "trunked", Case("VM behind a VLAN trunk", is: .vm, at: "10.89.1.4:80"),
            by: .guest(machines.trunked, registry: "10.89.0.2"), address: "10.89.1.4", port: 80,
            with: stage.taggedConsul)
        try register(
            "second", Case("VM with two addresses, the second", is: .vm, at: "\(Stage.secondAddress):80"),
            by: .guest(machines.represented, registry: "10.88.0.3"), address: Stage.secondAddress, port: 80)
        try register(
            "card", Case("VM with two NICs, the second", is: .vm, at: "\(Stage.secondCard):80"),
            by: .guest(machines.nest, registry: "10.90.0.2"), address: Stage.secondCard, port: 80)
        try register(
            "six", Case("VM with IPv6 only", is: .vm, plain: true, at: "[\(Stage.sixAddress)]:80"),
            by: .guest(machines.six, registry: "fd88::2"), address: Stage.sixAddress, port: 80)
    }

    private func registerContainers() throws {
        let containers = stage.containers
        for (name, container, plain) in [
            ("bridge", containers.plain, true), ("ptp", containers.onRoute, false),
            ("macvlan", containers.onMacvlan, false), ("portmap", containers.behindNAT, false),
        ] {
            let title = name == "portmap" ? "container behind host NAT (portmap)" : "container by CNI \(name)"
            try register(
                name, Case(title, is: .container, plain: plain, at: "\(container.address):8080"),
                by: .namespace(container.namespace), address: container.address, port: 8080)
        }
        let overlaid = containers.inOverlay
        try register(
            "overlaid", Case("container behind VXLAN, by a registrar", is: .container, at: "\(overlaid.address):8080"),
            by: .namespace(stage.platform), address: overlaid.address, port: 8080)
        try register(
            "overlaid", Case("container behind VXLAN, by itself", is: .container, at: "\(overlaid.address):8080"),
            by: .namespace(overlaid.namespace), address: overlaid.address, port: 8080)
        try register(
            "pod", Case("pod inside a VM", is: .container, at: "\(Stage.podAddress):80"),
            by: .guest(stage.machines.nest, via: ["nsenter", "--net=/run/pod"]), address: Stage.podAddress, port: 80)
        try register(
            "nest", Case("VM with a pod and two NICs", is: .vm, at: "\(stage.machines.nest.address):22"),
            by: .guest(stage.machines.nest), address: stage.machines.nest.address, port: 22)
    }

    /// By others than those who offer it.
    private func registerOthers() throws {
        let (web, represented) = (stage.machines.web, stage.machines.represented)
        let container = stage.containers.plain
        try register(
            "stolen", Case("VM registers a container's address", is: .container, at: "\(container.address):8181"),
            by: .guest(web), address: container.address, port: 8181)
        try register(
            "borrowed", Case("container registers a VM's address", is: .vm, at: "\(web.address):8182"),
            by: .namespace(container.namespace), address: web.address, port: 8182)
        try register(
            "spoken-for", Case("by a listed registrar", is: .vm, at: "\(represented.address):8083"),
            by: .namespace(stage.platform), address: represented.address, port: 8083)
        try register(
            "claimed", Case("by an unlisted registrar", is: .vm, at: "\(represented.address):8084"),
            by: .namespace(stage.stranger), address: represented.address, port: 8084)
    }

    private func registerOddly() throws {
        let web = stage.machines.web
        try register(
            "named", Case("by a host name", is: .vm, at: "\(web.address):8085"), by: .guest(web),
            address: "web.internal", port: 8085)
        try register(
            "addressless", Case("without an address", is: .vm, at: "\(web.address):8086"), by: .guest(web),
            address: nil, port: 8086)
        try register(
            "translated", Case("by a NAT address", is: .vm, at: "203.0.113.7:8087"), by: .guest(web),
            address: "203.0.113.7", port: 8087)
    }

    /// - Returns: the VM's trial.
    private func registerShop() throws -> Int {
        let web = stage.machines.web
        let container = stage.containers.plain
        try register(
            "shop", Case("service on both, the container", is: .container, at: "\(container.address):8088"),
            by: .namespace(container.namespace), address: container.address, port: 8088)
        return try register(
            "shop", Case("service on both, the VM", is: .vm, at: "\(web.address):8088"), by: .guest(web),
            address: web.address, port: 8088)
    }

    /// A guest whose answers to anything but ARP are lost: it asks before, and Consul answers after.
    private func registerMuted() throws {
        let guest = stage.machines.represented
        let id = "muted"
        let gate = stage.consul.hold("\"ID\":\"\(id)\"")
        let body = Self.body("muted", id: id, address: Stage.mutedAddress, port: 80)
        try guest.start(["put", "10.88.0.4", "8500", "/v1/agent/service/register", body])
        try gate.waitUntilAsked()
        try guest.run(["ip", "rule", "add", "from", Stage.mutedAddress, "table", "99"])
        try guest.run(["ip", "route", "replace", "blackhole", "default", "table", "99"])
        gate.open()
        try wait(for: "Consul's yes") { stage.consul.answered("\"ID\":\"\(id)\"") != nil }
        _ = try watch(
            Case("VM that drops probes", is: .vm, at: "\(Stage.mutedAddress):80"), id: id, with: stage.consul)
    }

    func unmute() throws {
        try stage.machines.represented.run(["ip", "rule", "del", "from", Stage.mutedAddress, "table", "99"])
    }

    /// Of the service on both only the VM's instance is proxied.
    private func check(shop trial: Int) throws {
        let proxies = try remora.ask("get", "proxies").array.filter { $0["services"].mentions("shop") }
        let backends = proxies.flatMap { $0["backends"].array.compactMap(\.string) }
        if backends != ["\(stage.machines.web.address):8088"] { problem(trial, "its proxy carries \(backends)") }
    }
}
