import Foundation
import Lab
import Testing

/// What most tests begin with: a site with a registry and two clients, light machines with a web server each, and the
/// agent. Gone when the value is freed.
final class Bed {
    let lab: Lab
    let site: Site
    let registry: EtcdServer
    let alice: Namespace
    let bob: Namespace
    let remora: Remora
    private(set) var machines: [Machine] = []

    static let aliceAddress = "10.88.0.11"

    /// A namespace that stands for a VM, with HTTP on port 80.
    struct Machine {
        let name: String
        let port: String
        let address: String
        let namespace: Namespace
        var web: Endpoint { Endpoint(address, 80) }
    }

    /// - Parameter machines: how many, on ports vm1, vm2 and so on.
    init(machines: Int = 2, settings: Remora.Settings = .init(), start: Bool = true) throws {
        lab = try Lab()
        site = try Site(in: lab)
        registry = try site.addRegistry()
        alice = try site.addClient("alice", address: Self.aliceAddress)
        bob = try site.addClient("bob", address: "10.88.0.12")
        var settings = settings
        if Self.keepsLogs { settings.logLevel = "debug" }
        remora = try Remora(settings, on: site.nic)
        for number in 0..<machines { try addMachine(number + 1) }
        if start { try remora.start() }
    }

    convenience init(machines: Int = 2, forwarding: String) throws {
        var settings = Remora.Settings()
        settings.forwarding = forwarding
        try self.init(machines: machines, settings: settings)
    }

    /// REMORA_KEEP_LOGS in the environment: the agent tells all, and what the programs said stays, in `lab.logs`.
    private static let keepsLogs = ProcessInfo.processInfo.environment["REMORA_KEEP_LOGS"] != nil

    deinit {
        if Self.keepsLogs { lab.keepLogs() }
        lab.tearDown()
    }

    @discardableResult
    func addMachine(_ number: Int) throws -> Machine {
        let (name, port, address) = ("web-\(number)", "vm\(number)", "10.88.1.\(number)")
        let namespace = try site.addLightMachine(port, address: address)
        _ = try namespace.serve(name, port: 80)
        let machine = Machine(name: name, port: port, address: address, namespace: namespace)
        machines.append(machine)
        return machine
    }

    /// Registers a service of a machine with etcd, from inside of it.
    @discardableResult
    func register(
        _ service: String = "web", on machine: Machine, port: UInt16 = 80, address: String? = nil, ttl: Int = 60
    ) throws -> Registration {
        try Registration(
            service, id: "\(machine.name):\(port)", address: address ?? machine.address, port: port, ttl: ttl,
            with: registry, from: machine.namespace)
    }

    /// Registers "web" on every machine. - Returns: its VIP, when the proxy carries them all.
    func meshWeb() throws -> Endpoint {
        for machine in machines { try register(on: machine) }
        return try remora.waitForProxy(of: "web", live: machines.count)
    }

    /// How often each page came, over connections of their own.
    func pages(_ count: Int, from client: Namespace, at endpoint: Endpoint) throws -> [String: Int] {
        var bodies: [String: Int] = [:]
        for _ in 0..<count { bodies[try Page.get(from: client, at: endpoint).body, default: 0] += 1 }
        return bodies
    }

    /// Whether nothing answers there, for a client that waits this long.
    func isSilent(_ endpoint: Endpoint, to client: Namespace, for time: Duration = .milliseconds(400)) -> Bool {
        (try? Page.get(from: client, at: endpoint, timeout: time)) == nil
    }
}

/// Both ways of forwarding.
let forwardings = ["switch", "redirect"]
