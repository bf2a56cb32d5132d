import Foundation
import Lab

/// What changes while it is watched.
extension Trials {
    public func playChanging() throws {
        try answerLate()
        try moveAndDie()
        try inherit()
        try neglect()
        try spoof()
    }

    /// Whoever has an address is asked before another one gets it, and is given time to answer.
    private static let succession: Duration = .seconds(2)

    /// The whole machine stands still for a second after its registration was taken.
    private func answerLate() throws {
        let web = stage.machines.web
        let id = "late"
        let gate = stage.consul.hold("\"ID\":\"\(id)\"")
        let body = Self.body("late", id: id, address: web.address, port: 8090)
        try web.start(["put", "10.88.0.2", "8500", "/v1/agent/service/register", body])
        try gate.waitUntilAsked()
        web.pause()
        defer { web.resume() }
        gate.open()
        let yes = try wait(for: "Consul's yes") { stage.consul.answered("\"ID\":\"\(id)\"") }
        let trial = try watch(
            Case("target that answers after a second", is: .vm, at: "\(web.address):8090"), id: id, with: stage.consul)
        // the second is what the case is about
        try wait(for: "a second without an answer") { ContinuousClock.now - yes >= .seconds(1) }
        web.resume()
        settle(trial)
    }

    /// A VM migrates while clients are connected to it, and dies; a container gets its address.
    private func moveAndDie() throws {
        let address = "10.88.3.200"
        let nic = stage.site.nic
        for tap in ["vm7", "vm8"] {
            try nic.addTap(tap)
            try nic.plug(tap, into: Site.bridge)
        }
        defer { try? nic.ip("link del vm7", "link del vm8") }
        let mover = try VirtualMachine("mover", address: address, tap: "vm7", in: nic)
        try mover.waitUntilReady()
        try mover.serve(port: 80)
        let moving = try register(
            "mover", Case("VM that moves while serving", is: .vm, at: "\(address):80"), by: .guest(mover),
            address: address, port: 80)
        settle(moving)
        try migrate(mover, to: "vm8", trial: moving)
        try close(moving)
        try mover.process.destroy()
        try reuse(address)
    }

    private func migrate(_ mover: VirtualMachine, to tap: String, trial: Int) throws {
        let own = Endpoint(mover.address, 80)
        guard let vip = try? remora.waitForProxy(of: "mover", live: 1, limit: .seconds(3)) else {
            return problem(trial, "it has no proxy before it moves")
        }
        let direct = try Connection(from: stage.alice, to: own)
        let meshed = try Connection(from: stage.alice, to: vip)
        try mover.migrate(to: tap)
        do {
            var last = JSON.null
            try wait(for: "the agent to find it on \(tap)", limit: .seconds(8), seen: "\(last)") {
                last = try remora.instance(own)
                return last["device"].string == tap && last["verdict"].string == "vm"
            }
        } catch { problem(trial, "\(error)") }
        do {
            try direct.send(Page.request("/", at: own))
            guard try Page.read(from: direct).body == "mover" else { return problem(trial, "another one answers") }
        } catch { problem(trial, "its connection broke: \(error)") }
        do {
            try meshed.send(Page.request("/", at: vip))
            guard try Page.read(from: meshed).body == "mover" else { return problem(trial, "another one answers") }
        } catch { problem(trial, "its connection through the VIP broke: \(error)") }
        do { _ = try Page.get(from: stage.alice, at: vip) } catch {
            problem(trial, "no new connection through the VIP: \(error)")
        }
    }

    private func reuse(_ address: String) throws {
        let network = stage.containers.bridged
        let container = try network.addContainer("reuse", address: address)
        defer { try? network.remove(container) }
        _ = try container.namespace.serve("reuse", port: 80)
        try list(address, isThere: true)
        let trial = try register(
            "reuse", Case("address reused by a container", is: .container, at: "\(address):80"),
            by: .namespace(container.namespace), address: address, port: 80)
        settle(trial)
        try list(address, isThere: false)
        try close(trial)
    }

    /// A container dies, and a VM gets its address.
    private func inherit() throws {
        let heir = stage.machines.heir
        let (address, dying) = try briefContainer("brief", isListed: true)
        try list(address, isThere: false)
        try close(dying)
        try heir.run(["ip", "address", "add", "\(address)/16", "dev", "eth0"])
        let trial = try register(
            "heir",
            Case("address of a dead container reused by a VM", is: .vm, at: "\(address):8300", delay: Self.succession),
            by: .guest(heir), address: address, port: 8300)
        settle(trial)
        try close(trial)
        try heir.run(["ip", "address", "del", "\(address)/16", "dev", "eth0"])
    }

    /// A container that registers itself on port 8300, is judged, and is gone again.
    private func briefContainer(_ name: String, isListed: Bool) throws -> (address: String, trial: Int) {
        let network = stage.containers.bridged
        let container = try network.addContainer(name)
        _ = try container.namespace.serve(name, port: 8300)
        if isListed { try list(container.address, isThere: true) }
        let trial = try register(
            name, Case("container that comes and goes (\(name))", is: .container, at: "\(container.address):8300"),
            by: .namespace(container.namespace), address: container.address, port: 8300)
        settle(trial)
        try network.remove(container)
        return (container.address, trial)
    }

    /// The list was written ten minutes ago: it lacks a container that has started since, and holds one that is gone.
    private func neglect() throws {
        let heir = stage.machines.heir
        let (address, dying) = try briefContainer("forgotten", isListed: true)
        try close(dying)
        try neglectList(for: .seconds(600))
        // the agent looks at the file's age at intervals, and says what it saw
        try? wait(for: "the agent to know", limit: .seconds(3)) {
            try remora.fetch("/v1/explain?subject=\(address):8300").mentions("container list is of 6")
        }
        try heir.run(["ip", "address", "add", "\(address)/16", "dev", "eth0"])
        let network = stage.containers.bridged
        let unknown = try network.addContainer("unlisted")
        defer { try? network.remove(unknown) }
        _ = try unknown.namespace.serve("unlisted", port: 8400)
        let added = try register(
            "unlisted", Case("stale list: a container that it lacks", is: .container, at: "\(unknown.address):8400"),
            by: .namespace(unknown.namespace), address: unknown.address, port: 8400)
        let gone = try register(
            "still-listed",
            Case("stale list: a VM that it holds", is: .vm, at: "\(address):8300", delay: Self.succession),
            by: .guest(heir), address: address, port: 8300)
        settle(added, gone, limit: .seconds(3))
        for trial in [added, gone] { try close(trial) }
        try heir.run(["ip", "address", "del", "\(address)/16", "dev", "eth0"])
        try list(address, isThere: false)
    }

    /// A guest answers ARP, and everything else, for a container's address, and says that it has a VM's.
    private func spoof() throws {
        let address = stage.containers.plain.address
        _ = try stage.rogue.serve("rogue", port: 8091)
        try stage.rogue.ip("address add \(address)/32 dev eth0")
        defer { try? stage.rogue.ip("address del \(address)/32 dev eth0") }
        let trial = try register(
            "coveted", Case("a guest answers ARP for a container", is: .container, at: "\(address):8091"),
            by: .namespace(stage.platform), address: address, port: 8091)
        try stage.rogue.announce(stage.machines.web.address, by: "eth0")
        settle(trial, limit: .seconds(2))
        // whom the lie has reached would go on believing it
        for believer in stage.listeners { try believer.ip("neigh flush all") }
    }
}
