import Lab

/// Steps 1 to 4: from an untouched NIC to a proxy for the VM service.
extension Show {
    func observe() throws {
        screen.step("A NIC with an uplink, two vm ports and a container port; the agent observes, then enforces")
        try screen.check("the agent runs on all four ports, in observe mode") {
            try remora.start()
            let ports = try remora.ask("get", "ports").array
            for name in Self.ports {
                guard ports.contains(where: { $0["name"].string == name && $0["state"].string == "attached" }) else {
                    throw Failure("port \(name) is not attached: \(ports)")
                }
            }
        }
        screen.show("remora get ports", try remora.tell("get", "ports"))
        try screen.check("the first VM boots (QEMU, software emulation) and registers a service") {
            try one.waitUntilReady()
            try one.serve(port: 80)
            try one.register("rehearsal", port: 80, ttl: 30)
        }
        try screen.check("the agent heard it and judges: a VM service, which it would give a proxy") {
            try remora.waitForVerdict("vm", on: webAtOne)
        }
        try expectUntouched()
        try screen.check("the rehearsal is withdrawn, and the agent is told to enforce") {
            try one.deregister("rehearsal")
            try remora.tell("mode", "enforce")
            let mode = try remora.ask("status")["mode"].string
            try expect(mode == "enforce", "status says \(mode ?? "nothing") of the mode")
        }
    }

    private func expectUntouched() throws {
        screen.show("remora get services", try remora.tell("get", "services"))
        try screen.check("not one packet was touched: no proxy, no drop, no answer from a VIP") {
            let service = try remora.service("rehearsal")
            try expect(service["proxy"].string == nil, "the service has a proxy: \(service)")
            let drops = try remora.ask("status")["drops"].members
            try expect(drops.values.allSatisfy { $0.number == 0 }, "drops were counted: \(drops)")
            try expect(remora.pinnedServices().isEmpty, "pinned: \(remora.pinnedServices())")
            rehearsalVIP = try vip(of: service)
            try expectSilence(from: alice, at: rehearsalVIP)
            let bodies = try pages(3, from: alice, at: webAtOne)
            try expect(bodies == [one.name: 3], "the VM's own address answers \(bodies)")
        }
    }

    private func vip(of service: JSON) throws -> Endpoint {
        guard let vip = service["vip"].string.flatMap(Endpoint.init(text:)) else {
            throw Failure("the service has no VIP: \(service)")
        }
        return vip
    }

    func bootMachines() throws {
        screen.step("Two real VMs behind the taps, a container network beside them")
        try screen.check("both VMs answer at their own addresses") {
            try two.waitUntilReady()
            try two.serve(port: 80)
            for (machine, endpoint) in [(one, webAtOne), (two, webAtTwo)] {
                let page = try Page.get(from: alice, at: endpoint)
                try expect(page.body == machine.name, "\(endpoint) says \(page)")
            }
        }
        try screen.check("a container, its interface made by Debian's CNI plugins, answers at its address") {
            let container = try containers.addContainer("cart-1")
            self.container = container
            _ = try container.namespace.serve("cart-1", port: 8080)
            let page = try Page.get(from: alice, at: cartAt)
            try expect(page.body == "cart-1", "\(cartAt) says \(page)")
        }
    }

    func registerAll() throws {
        screen.step("All register with a real etcd: leases, keys, keep-alives")
        try screen.check("etcd holds web-1, web-2 and cart-1") {
            try one.register("web", port: 80, ttl: 10)
            try two.register("web", port: 80, ttl: 10)
            cart = try container.map {
                try Registration(
                    "cart", id: "cart-1", address: $0.address, port: 8080, with: registry, from: $0.namespace)
            }
            let keys = try registry.keys(under: "/services/")
            let wanted: Set = ["/services/web/web-1", "/services/web/web-2", "/services/cart/cart-1"]
            try expect(wanted.isSubset(of: keys), "etcd holds \(keys)")
        }
    }

    func judge() throws {
        screen.step("The agent says which of them run in VMs, and loads a proxy for these only")
        try screen.check("web has a proxy with two live instances") {
            vip = try remora.waitForProxy(of: "web", live: 2)
        }
        for endpoint in [webAtOne, webAtTwo] {
            try screen.check("\(endpoint) is judged a VM") { try remora.waitForVerdict("vm", on: endpoint) }
        }
        try screen.check("\(cartAt) is judged a container") { try remora.waitForVerdict("container", on: cartAt) }
        for endpoint in [webAtOne, cartAt] {
            screen.show("remora explain \(endpoint)", try remora.tell("explain", "\(endpoint)"))
        }
        try screen.check("only web has a proxy") {
            let proxies = try remora.ask("get", "proxies").array
            try expect(proxies.count == 1 && proxies[0].mentions("web"), "proxies: \(proxies)")
            rememberPrograms(proxies)
        }
        try measureReadiness()
    }

    /// From etcd's event (which precedes its "yes") to the first connection through the VIP.
    private func measureReadiness() throws {
        // port 80 of that VM is web's: an address and port belong to one service
        try one.serve(port: 8085)
        let time = try screen.check("a service that registers is reachable at once") {
            try Readiness.measure(
                "rehearsal", at: rehearsalVIP, client: alice, registry: registry,
                register: { try one.register("rehearsal", port: 8085, ttl: 30) })
        }
        screen.note("from etcd's \"yes\" to the first connection through the new proxy: \(time)")
        try screen.check("and is withdrawn") {
            try one.deregister("rehearsal")
            try remora.waitForEnd(of: "rehearsal")
        }
    }

    func rememberPrograms(_ proxies: [JSON]) {
        programs.formUnion(proxies.compactMap { $0["program"].number.map { Int($0) } })
    }
}
