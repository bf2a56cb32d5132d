import Lab

/// How soon a service has its proxy, by the agent's own account: from the frame that carried the registry's yes to the
/// proxy that carries packets, probe included.
enum Registering {
    /// Registers as many services, one after the other, each on a port of its own. - Returns: milliseconds.
    static func measure(times: Int, in lab: Lab, remora binary: String) throws -> Report.Spread? {
        let site = try Site(in: lab)
        let registry = try site.addRegistry()
        let address = "10.88.1.1"
        let machine = try site.addLightMachine("vm1", address: address)
        let remora = try Remora(on: site.nic, binary: binary)
        try remora.start()
        var samples: [Double] = []
        for number in 0..<times {
            let name = "web-\(number)"
            let port = UInt16(8000 + number)
            _ = try machine.serve(name, port: port)
            _ = try Registration(name, id: "1", address: address, port: port, ttl: 60, with: registry, from: machine)
            _ = try remora.waitForProxy(of: name, live: 1)
            let proxy = try remora.ask("get", "proxies").array.first { $0["name"].string == name }
            guard let time = proxy?["registrationToProxyMilliseconds"].number else {
                throw Failure("the agent did not say how long \(name) took")
            }
            samples.append(time)
        }
        return Report.Spread(samples)
    }
}
