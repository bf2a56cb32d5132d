import Lab

/// How soon a service has its proxy.
enum Registering {
    /// Registers a service again and again, and withdraws it each time. - Returns: milliseconds.
    static func measure(times: Int, in lab: Lab, remora binary: String) throws -> Report.Spread? {
        let site = try Site(in: lab)
        let registry = try site.addRegistry()
        let client = try site.addClient("client", address: "10.88.0.11")
        let address = "10.88.1.1"
        let machine = try site.addLightMachine("vm1", address: address)
        _ = try machine.serve("web", port: 80)
        let remora = try Remora(on: site.nic, binary: binary)
        try remora.start()
        func register() throws -> Registration {
            try Registration("web", id: "1", address: address, port: 80, ttl: 60, with: registry, from: machine)
        }
        // The first time gives the service its VIP, and the client the VIP's MAC address.
        var registration = try register()
        let vip = try remora.waitForProxy(of: "web", live: 1)
        _ = try Page.get(from: client, at: vip)
        var samples: [Double] = []
        for _ in 0..<times {
            try registration.withdraw()
            try remora.waitForEnd(of: "web", limit: .seconds(40))
            let time = try Readiness.measure("web", at: vip, client: client, registry: registry) {
                registration = try register()
            }
            samples.append(Double(time.components.seconds) * 1000 + Double(time.components.attoseconds) / 1e15)
        }
        return Report.Spread(samples)
    }
}
