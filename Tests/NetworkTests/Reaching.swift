import Foundation
import Lab
import Testing

extension Networks {
    @Test(
        "the VIP of a registered service leads to all its VMs, their own addresses to each alone",
        arguments: forwardings)
    func vip(forwarding: String) throws {
        let bed = try Bed(forwarding: forwarding)
        let vip = try bed.meshWeb()
        let spread = try bed.pages(40, from: bed.alice, at: vip)
        #expect(Set(spread.keys) == ["web-1", "web-2"])
        for machine in bed.machines {
            #expect(try bed.pages(5, from: bed.alice, at: machine.web) == [machine.name: 5])
        }
    }

    @Test("a VM reaches the VIP of a service on the same NIC", arguments: forwardings)
    func eastWest(forwarding: String) throws {
        let bed = try Bed(machines: 1, forwarding: forwarding)
        let vip = try bed.meshWeb()
        let guest = try bed.addMachine(2)
        #expect(try bed.pages(10, from: guest.namespace, at: vip) == ["web-1": 10])
    }

    @Test(
        "a service in a real VM behind a tap is proxied; one in a container is not, whether roles are told or mixed",
        arguments: zip(forwardings, [false, true]))
    func realMachine(forwarding: String, mixedRoles: Bool) throws {
        var settings = Remora.Settings()
        settings.forwarding = forwarding
        settings.mixedRoles = mixedRoles
        settings.containers = ["10.88.3.0/24"]
        let bed = try Bed(machines: 0, settings: settings)
        let guest = try bed.site.addVirtualMachine(
            "guest", tap: "vm1", address: "10.88.1.1", registry: bed.registry.endpoint)
        let container = try bed.site.addContainerNetwork().addContainer("cart")
        _ = try container.namespace.serve("cart", port: 8080)
        try guest.waitUntilReady()
        try guest.serve(port: 80)
        try guest.register("web", port: 80)
        let cart = Endpoint(container.address, 8080)
        _ = try Registration(
            "cart", id: "1", address: cart.address, port: cart.port, with: bed.registry, from: container.namespace)
        let vip = try bed.remora.waitForProxy(of: "web", live: 1)
        #expect(try bed.pages(10, from: bed.alice, at: vip) == ["guest": 10])
        try bed.remora.waitForVerdict("container", on: cart)
        #expect(try bed.remora.service("cart")["proxy"].string == nil)
        try guest.powerOff()
        try bed.remora.waitForEnd(of: "web")
        #expect(bed.isSilent(vip, to: bed.alice))
    }

    @Test("with every port's role mixed the verdicts are the same, from the container list and the probe")
    func mixedRoles() throws {
        var settings = Remora.Settings()
        settings.mixedRoles = true
        settings.containers = ["10.88.3.0/24"]
        let bed = try Bed(machines: 1, settings: settings)
        let container = try bed.site.addContainerNetwork().addContainer("cart")
        _ = try container.namespace.serve("cart", port: 8080)
        let cart = Endpoint(container.address, 8080)
        try bed.remora.waitForPort("ct0")  // what is said before is not heard
        let registration = try Registration(
            "cart", id: "1", address: cart.address, port: cart.port, with: bed.registry, from: container.namespace)
        let vip = try bed.meshWeb()
        #expect(try bed.pages(5, from: bed.alice, at: vip) == ["web-1": 5])
        try bed.remora.waitForVerdict("container", on: cart)
        try registration.withdraw()
    }

    @Test("one proxy carries all services of a VM where the configuration says so")
    func perMachine() throws {
        var settings = Remora.Settings()
        settings.proxiesPer = "vm"
        let bed = try Bed(machines: 1, settings: settings)
        let machine = bed.machines[0]
        _ = try machine.namespace.serve("orders", port: 8081)
        try bed.register("web", on: machine)
        try bed.register("orders", on: machine, port: 8081)
        let web = try bed.remora.waitForProxy(of: "web", live: 1)
        let orders = try bed.remora.waitForProxy(of: "orders", live: 1)
        try wait(for: "one proxy of both") { try bed.remora.ask("get", "proxies").array.count == 1 }
        #expect(try bed.pages(5, from: bed.alice, at: web) == ["web-1": 5])
        #expect(try bed.pages(5, from: bed.alice, at: orders) == ["orders": 5])
        try bed.remora.apply(Remora.denial(of: "orders", from: ["\(Bed.aliceAddress)/32"]))
        try wait(for: "the policy on orders") { bed.isSilent(orders, to: bed.alice) }
        #expect(try bed.pages(5, from: bed.alice, at: web) == ["web-1": 5])
    }

    @Test("a service that the ear cannot have heard is declared, and gets the same proxy")
    func declared() throws {
        let bed = try Bed(machines: 1)
        let document = """
            kind: Service
            name: silent
            instances:
              - {address: 10.88.1.1, port: 80}
            runsIn: vm
            """
        try bed.remora.apply(document)
        let vip = try bed.remora.waitForProxy(of: "silent", live: 1)
        #expect(try bed.pages(5, from: bed.alice, at: vip) == ["web-1": 5])
        try bed.remora.delete(document)
        try bed.remora.waitForEnd(of: "silent")
    }

    @Test("a service that registers with Consul is proxied, and goes when it deregisters")
    func consul() throws {
        let bed = try Bed(machines: 1)
        let consul = try ConsulStandIn(in: bed.site.addClient("consul", address: "10.88.0.3"), address: "10.88.0.3")
        let guest = bed.machines[0].namespace
        try consul.put(
            "service/register", "{\"ID\":\"web-1\",\"Name\":\"web\",\"Address\":\"10.88.1.1\",\"Port\":80}", from: guest
        )
        let vip = try bed.remora.waitForProxy(of: "web", live: 1)
        #expect(try bed.pages(5, from: bed.alice, at: vip) == ["web-1": 5])
        try consul.put("service/deregister/web-1", "", from: guest)
        try bed.remora.waitForEnd(of: "web")
        #expect(bed.isSilent(vip, to: bed.alice))
    }
}
