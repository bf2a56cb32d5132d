import Fleet
import Model
import Testing

@Suite struct VIPTests {
    @Test("a VIP is the same wherever the registrations come from and in whatever order") func stable() {
        func vips(_ names: [String]) -> [String: IPv4Address?] {
            var lab = Lab(.enforcing.with { $0.vipRanges = [blue: IPv4Prefix(a, length: 8)] })
            // The range holds 10.0.0.1 itself, so the instances live elsewhere.
            for (number, name) in names.enumerated() {
                let address = IPv4Address(bits: 0xc0a8_0001 + UInt32(number))
                lab.machines[address] = tap0
                lab.hear(consul(name), from: address)
            }
            return Dictionary(uniqueKeysWithValues: names.map { ($0, lab.vip($0)?.address) })
        }
        let one = vips(["web", "db", "cache"])
        #expect(one == vips(["cache", "db", "web"]))
        #expect(Set(one.values).count == 3)
    }

    @Test("a range is used up to its last address, never the network's or broadcast's own") func wholeRange() {
        var lab = Lab(.enforcing.with { $0.vipRanges = [blue: IPv4Prefix(IPv4Address(bits: 0x0a63_0000), length: 29)] })
        for number in 1...6 { lab.hear(consul("s\(number)", id: "\(number)", port: number)) }
        let hosts = lab.loaded.values.flatMap(\.services).compactMap { $0.vip?.address.bits }
        #expect(Set(hosts) == Set(0x0a63_0001...0x0a63_0006))
    }

    @Test("when every VIP is in use the next service has none, says so, and is reached by its VMs' addresses")
    func exhausted() {
        var lab = Lab(.enforcing.with { $0.vipRanges = [blue: IPv4Prefix(IPv4Address(bits: 0x0a63_0000), length: 30)] })
        for number in 1...3 { lab.hear(consul("s\(number)", id: "\(number)", port: number)) }
        let without = lab.loaded.values.flatMap(\.services).filter { $0.vip == nil }
        #expect(without.map(\.id.name) == ["s3"])
        #expect(without.first?.backends.count == 1)
        #expect(lab.service("s3")?.reason?.contains("every VIP of 10.99.0.0/30 is in use") == true)
    }

    @Test("a service that is gone keeps its VIP, and gets it again") func kept() {
        var lab = Lab()
        lab.hear(consul("web", id: "w"))
        let vip = lab.vip("web")
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        #expect(lab.loaded.isEmpty)
        for number in 1...200 { lab.hear(consul("s\(number)", id: "\(number)", port: number), from: b, on: tap1) }
        lab.hear(consul("web", id: "w"))
        #expect(lab.vip("web") == vip)
    }

    @Test("of the VIPs of services that are gone only so many are kept: the oldest is given up") func idleBound() {
        var lab = Lab(.enforcing.with { $0.idleVIPs = 2 })
        for number in 1...4 {
            lab.hear(consul("s\(number)", id: "w", port: number))
            lab.wait(.seconds(1))
        }
        lab.hear(message(.deregister, id: "w"))
        lab.wait(.seconds(100))
        #expect(lab.fleet.explain("s1", at: lab.now).isEmpty)
        #expect(lab.journal.contains(.vipReleased(service: ServiceID(network: blue, name: "s1"))))
        let held = lab.fleet.liveRecords.count { if case .vip = $0 { true } else { false } }
        #expect(held == 2)
    }

    @Test("a guest that registers name after name takes no VIP of another's service that rests") func share() {
        var lab = Lab(
            .enforcing.with {
                $0.servicesPerPort = 4
                $0.vipRanges = [blue: IPv4Prefix(IPv4Address(bits: 0x0a63_0000), length: 28)]
            })
        lab.hear(consul("web", id: "w"), from: b, on: tap1)
        let vip = lab.vip("web")
        lab.hear(message(.deregister, id: "w"), from: b, on: tap1)
        lab.wait(.seconds(100))
        for round in 0..<100 {
            lab.hear(consul("s\(round)", id: "\(round)", port: 1 + round))
            lab.hear(message(.deregister, id: "\(round)"))
            lab.wait(.seconds(40))
        }
        #expect(lab.fleet.liveRecords.count { if case .vip = $0 { true } else { false } } == 5)
        lab.hear(consul("web", id: "w"), from: b, on: tap1)
        #expect(lab.vip("web") == vip)
    }

    @Test("a network without a range has no VIPs, and its services are carried by their own addresses") func noRange() {
        var lab = Lab(.enforcing.with { $0.vipRanges = [:] })
        lab.hear(consul("web"))
        #expect(lab.proxy("web")?.services.first?.vip == nil)
        #expect(lab.service("web")?.reason?.contains("no VIP range") == true)
    }

    @Test("a /31 and a /32 can be ranges") func tiny() {
        var lab = Lab(.enforcing.with { $0.vipRanges = [blue: IPv4Prefix(IPv4Address(bits: 0x0a63_0005), length: 32)] })
        lab.hear(consul("web"))
        #expect(lab.vip("web")?.address.description == "10.99.0.5")
    }
}

@Suite struct ProxyTests {
    let perVM = Fleet.Settings.enforcing.with { $0.grouping = .vm }

    @Test("per VM: services of exactly the same VMs share a proxy named by their addresses") func shared() {
        var lab = Lab(perVM)
        lab.hear(consul("web", id: "w", port: 80))
        lab.hear(consul("db", id: "d", port: 81))
        #expect(lab.proxy("10.0.0.1")?.services.map(\.id.name) == ["db", "web"])
        #expect(lab.loaded.count == 1)
    }

    @Test("per VM: a service that gains a VM moves to another proxy, loaded before the old one loses it")
    func regroups() throws {
        var lab = Lab(perVM)
        lab.hear(consul("web", id: "w", port: 80))
        lab.hear(consul("db", id: "d", port: 81))
        lab.machines[b] = nil
        lab.hear(consul("web", id: "w", port: 80), from: b, on: tap1)
        let actions = lab.fleet.probed(instance(b), .answered(tap1, open: true, hopLimit: 64), at: lab.now)
        let loads = actions.compactMap { if case .load(let spec) = $0 { spec.id.name } else { nil } }
        #expect(loads == ["10.0.0.1+10.0.0.2", "10.0.0.1"])
        lab.apply(actions)
        #expect(lab.proxy("10.0.0.1")?.services.map(\.id.name) == ["db"])
        #expect(lab.proxy("10.0.0.1+10.0.0.2")?.services.map(\.id.name) == ["web"])
        lab.apply(lab.fleet.portVanished(tap1.port, at: lab.now))
        #expect(lab.loaded.keys.map(\.name) == ["10.0.0.1"])
    }

    @Test("per VM: more backends than one program has room for become a second proxy") func chunks() {
        var lab = Lab(perVM.with { $0.backendsPerProxy = 2 })
        for number in 1...5 { lab.hear(consul("s\(number)", id: "\(number)", port: number)) }
        #expect(lab.loaded.values.map(\.services.count).sorted() == [1, 2, 2])
        #expect(lab.loaded.keys.map(\.name).sorted() == ["10.0.0.1", "10.0.0.1#2", "10.0.0.1#3"])
    }

    @Test("per VM: more services than one program carries become a second proxy, and none is between two")
    func services() {
        var lab = Lab(perVM.with { $0.servicesPerProxy = 3 })
        for number in [5, 3, 1, 4, 2, 7, 6] { lab.hear(consul("s\(number)", id: "\(number)", port: number)) }
        #expect(lab.loaded.values.map(\.services.count).sorted() == [1, 3, 3])
        for number in [1, 4] {
            lab.hear(message(.deregister, id: "\(number)"))
            lab.wait(.seconds(31))
        }
        #expect(lab.loaded.values.map(\.services.count).sorted() == [2, 3])
    }

    @Test("the other grouping after a restart: every service is carried, none by two") func regrouped() {
        var lab = Lab(perVM)
        lab.hear(consul("web", id: "w", port: 80))
        lab.hear(consul("db", id: "d", port: 81))
        let again = lab.restarted()
        #expect(again.loaded.keys.map(\.name).sorted() == ["db", "web"])
        #expect(again.vip("web") == lab.vip("web"))
        let back = Lab(perVM, restoring: lab.journal + again.journal)
        #expect(back.loaded.keys.map(\.name) == ["10.0.0.1"])
    }

    @Test("a service of VMs and containers: its proxy leads to the VMs alone") func both() {
        var lab = Lab()
        lab.hear(consul("web"))
        lab.hear(consul("web"), from: c, on: cni)
        #expect(lab.backends("web") == [a: .live])
        #expect(lab.state(c) == .container)
        #expect(lab.service("web")?.instances == 2)
        lab.hear(message(.deregister, id: "web"))
        lab.wait(.seconds(31))
        #expect(lab.loaded.isEmpty)
        #expect(lab.state(c) == .container)
    }

    @Test("per VM: many VMs make no endless name") func longNames() {
        var lab = Lab(perVM)
        for host in 0..<100 {
            let address = IPv4Address(bits: 0x0a00_0101 + UInt32(host))
            lab.machines[address] = tap0
            lab.hear(consul("web"), from: address)
        }
        #expect(lab.loaded.keys.first?.description.utf8.count ?? 999 < 200)
        #expect(lab.loaded.values.first?.services.first?.backends.count == 100)
    }

    @Test("observe mode loads nothing, and shows what would be") func observe() {
        var lab = Lab(.enforcing.with { $0.mode = .observe })
        lab.hear(consul("web"))
        #expect(lab.loaded.isEmpty)
        #expect(lab.fleet.wanted.isEmpty)
        #expect(lab.fleet.planned.count == 1)
        #expect(lab.fleet.proxies().map(\.status) == [nil])
        #expect(lab.service("web")?.reason == "observe mode: it would have a proxy")
        #expect(lab.service("web")?.vip != nil)
        lab.apply(lab.fleet.portVanished(tap0.port, at: lab.now))
        #expect(lab.purged.isEmpty)
    }

    @Test("switched to enforce, everything that was planned is loaded; back to observe, unloaded") func switched() {
        var lab = Lab(.enforcing.with { $0.mode = .observe })
        lab.hear(consul("web"))
        let planned = lab.fleet.planned
        lab.apply(lab.fleet.mode(.enforce, for: .all, at: lab.now))
        #expect(Array(lab.loaded.values) == planned)
        lab.apply(lab.fleet.mode(.observe, for: .all, at: lab.now))
        #expect(lab.loaded.isEmpty)
    }

    @Test("observe, enforce, observe: what is draining and what is guarded come and go with the mode")
    func thereAndBack() {
        var lab = Lab(.enforcing.with { $0.mode = .observe })
        lab.hear(consul("web", id: "w", port: 80))
        lab.hear(consul("db", id: "d", port: 81))
        lab.deny("db")
        lab.hear(message(.deregister, id: "d"))
        lab.wait(.seconds(31))
        lab.hear(message(.deregister, id: "w"))
        #expect(lab.loaded.isEmpty)
        lab.apply(lab.fleet.mode(.enforce, for: .all, at: lab.now))
        #expect(lab.backends("web") == [a: .draining])
        #expect(lab.backends("db") == [a: .guarded])
        lab.apply(lab.fleet.mode(.observe, for: .all, at: lab.now))
        #expect(lab.loaded.isEmpty)
        lab.wait(.seconds(31))
        #expect(lab.purged.isEmpty)
        lab.apply(lab.fleet.mode(.enforce, for: .all, at: lab.now))
        #expect(lab.loaded.values.flatMap(\.services).map(\.id.name) == ["db"])
    }

    @Test("a service and a port can be taken in one by one") func oneByOne() {
        var lab = Lab(.enforcing.with { $0.mode = .observe })
        lab.hear(consul("web"))
        lab.hear(consul("db", port: 81))
        lab.hear(consul("web"), from: b, on: tap1)
        #expect(lab.fleet.mode(of: tap0.port) == .observe)
        lab.apply(lab.fleet.mode(.enforce, for: .service(ServiceID(network: blue, name: "db")), at: lab.now))
        #expect(lab.loaded.keys.map(\.name) == ["db"])
        #expect(lab.fleet.mode(of: tap0.port) == .enforce)
        lab.apply(lab.fleet.mode(.enforce, for: .port(tap1.port), at: lab.now))
        #expect(lab.backends("web") == [b: .live])
        lab.apply(lab.fleet.mode(nil, for: .port(tap1.port), at: lab.now))
        #expect(lab.backends("web").isEmpty)
    }

    @Test("a port that the configuration leaves in observe is left out of an enforcing node") func portConfigured() {
        var lab = Lab()
        lab.apply(lab.fleet.port(tap0.port, role: .vm, network: blue, up: true, mode: .observe, at: lab.now))
        lab.hear(consul("web"))
        #expect(lab.loaded.isEmpty)
        #expect(lab.view(a)?.reason == "observe mode: it would be in a proxy")
        lab.apply(lab.fleet.port(tap0.port, role: .vm, network: blue, up: true, at: lab.now))
        #expect(lab.backends("web") == [a: .live])
    }

    @Test("a proxy that could not be loaded is shown with the reason until it is") func failed() {
        var lab = Lab()
        lab.hear(consul("web"))
        let id = ProxyID(network: blue, name: "web")
        lab.fleet.loadFailed(id, "verifier: too many instructions", at: lab.now)
        #expect(lab.service("web")?.reason == "its proxy could not be loaded: verifier: too many instructions")
        lab.fleet.loaded(id, at: lab.now)
        #expect(lab.service("web")?.reason == nil)
        #expect(lab.service("web")?.status == .loaded(since: lab.now))
    }

    @Test("news of a proxy that is not wanted any more changes nothing") func lateNews() {
        var lab = Lab()
        lab.fleet.loaded(ProxyID(network: blue, name: "gone"), at: lab.now)
        #expect(lab.fleet.proxies().isEmpty)
    }
}
