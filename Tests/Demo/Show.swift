import Lab

/// The demo's nine steps, and what they share.
final class Show {
    let screen: Screen
    let lab: Lab
    let site: Site
    let remora: Remora
    let registry: EtcdServer
    let alice: Namespace
    let bob: Namespace
    let one: VirtualMachine
    let two: VirtualMachine
    let containers: ContainerNetwork
    var container: ContainerNetwork.Container?
    var cart: Registration?
    /// Of the service "web".
    var vip = Endpoint("0.0.0.0", 0)
    /// Of the service "rehearsal": it keeps it when it is gone.
    var rehearsalVIP = Endpoint("0.0.0.0", 0)
    /// The kernel's numbers of the programs that proxies had.
    var programs: Set<Int> = []

    static let aliceAddress = "10.88.0.11"
    static let bobAddress = "10.88.0.12"
    static let ports = [Site.uplink, "vm1", "vm2", "ct0"]
    var webAtOne: Endpoint { Endpoint(one.address, 80) }
    var webAtTwo: Endpoint { Endpoint(two.address, 80) }
    var cartAt: Endpoint { Endpoint(container?.address ?? "0.0.0.0", 8080) }

    /// Builds the lab; the VMs go on booting.
    init(in lab: Lab, remora binary: String, mixedRoles: Bool, screen: Screen) throws {
        (self.lab, self.screen) = (lab, screen)
        site = try Site(in: lab)
        registry = try site.addRegistry()
        alice = try site.addClient("alice", address: Self.aliceAddress)
        bob = try site.addClient("bob", address: Self.bobAddress)
        one = try site.addVirtualMachine("web-1", tap: "vm1", address: "10.88.1.1", registry: registry.endpoint)
        two = try site.addVirtualMachine("web-2", tap: "vm2", address: "10.88.1.2", registry: registry.endpoint)
        containers = try site.addContainerNetwork()
        var settings = Remora.Settings()
        settings.mode = "observe"
        settings.mixedRoles = mixedRoles
        settings.containers = ["10.88.3.0/24"]
        remora = try Remora(settings, on: site.nic, binary: binary)
    }

    func play() throws {
        try observe()
        try bootMachines()
        try registerAll()
        try judge()
        try reach()
        try deny()
        try comeAndGo()
        try killAgent()
        try powerOff()
    }

    /// Asks `count` times over connections of their own. - Returns: how often each page came.
    /// - Throws: a Failure at the first that fails.
    func pages(_ count: Int, from client: Namespace, at endpoint: Endpoint) throws -> [String: Int] {
        var bodies: [String: Int] = [:]
        for number in 1...count {
            do {
                let page = try Page.get(from: client, at: endpoint)
                guard page.status == 200 else { throw Failure("HTTP \(page.status)") }
                bodies[page.body, default: 0] += 1
            } catch {
                throw Failure("request \(number) of \(count) to \(endpoint): \(error)")
            }
        }
        return bodies
    }

    /// That nothing answers there, for a client that waits half a second.
    func expectSilence(from client: Namespace, at endpoint: Endpoint) throws {
        guard let page = try? Page.get(from: client, at: endpoint, timeout: .milliseconds(500)) else { return }
        throw Failure("\(endpoint) answered: \(page)")
    }

    /// A Failure unless it holds.
    func expect(_ holds: Bool, _ seen: @autoclosure () -> String) throws {
        guard holds else { throw Failure(seen()) }
    }
}
