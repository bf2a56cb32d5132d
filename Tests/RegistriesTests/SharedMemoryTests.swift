import Model
import Packets
import Testing

@testable import Registries

@Suite("Memories that guests share") struct SharedMemoryTests {
    @Test("once it is full, whoever has most loses what was unused for longest") func shares() {
        var memory = SharedMemory<Int, String, Int>(capacity: 4)
        _ = memory.set(0, 0, of: "a")
        for key in 1...3 { _ = memory.set(key, key, of: "b") }
        _ = memory.find(1)
        #expect(memory.set(4, 4, of: "b")?.key == 2)
        #expect(memory.set(5, 5, of: "c")?.key == 3)
        #expect(memory.peek(0) == 0 && memory.peek(1) == 1 && memory.count == 4)
    }

    @Test("it stays within its bounds, whoever sets, takes over and removes what") func bounds() {
        var memory = SharedMemory<Int, Int, Int>(capacity: 50)
        for step in 0..<5000 {
            let key = step * 7919 % 131
            if step % 5 == 0 { memory.remove(key) } else { _ = memory.set(key, step, of: step % 17) }
            #expect(memory.count <= 50)
        }
        for key in Array(memory.keys) { #expect(memory.remove(key) != nil) }
        #expect(memory.count == 0 && memory.set(1, 1, of: 1) == nil && memory.find(1) == 1)
    }

    @Test("whatever one guest says, the checks, leases and instances of another are remembered") func foreign() {
        func place(guest: UInt32) -> RegistryPlace {
            RegistryPlace(
                of: FiveTuple(
                    network: NetworkID(0), source: .v4(IPv4Address(bits: guest)), sourcePort: 40_000,
                    destination: RegistryPlace.lab.address, destinationPort: 8500))
        }
        let (own, other) = (place(guest: 0x0a4d_000b), place(guest: 0x0a4d_000c))
        #expect(own == other)
        var (consul, leases, nacos) = (ConsulMemory(), LeasedKeys(), NacosMemory())
        var instance = Advertisement(registry: Nacos.name, op: .register)
        (instance.service, instance.address, instance.port) = ("web", "10.0.0.1", 80)
        instance.meta = ["preserved.heart.beat.timeout": "60000"]
        func remember(_ id: String, in place: RegistryPlace) {
            var check = Advertisement(registry: Consul.name, op: .status)
            (check.id, check.serviceId, check.ttlSeconds) = (id, "web", 30)
            _ = consul.settled([check], in: place)
            var lease = Advertisement(registry: Etcd.name, op: .lease)
            (lease.leaseId, lease.ttlSeconds) = (id, 30)
            leases.granted(lease, in: place)
            instance.service = id
            nacos.settled(&instance, in: place)
        }
        remember("own", in: own)
        for index in 0..<16_400 { remember("\(index)", in: other) }
        let scope = Consul.Scope(of: Advertisement(registry: Consul.name, op: .status))
        #expect(consul.check("own", scope, in: own)?.service == "web")
        #expect(consul.check("0", scope, in: other) == nil)
        #expect(leases.ttl(ofLease: "own", in: own) == 30)
        var beat = Advertisement(registry: Nacos.name, op: .heartbeat)
        (beat.service, beat.address, beat.port) = ("own", "10.0.0.1", 80)
        nacos.settled(&beat, in: own)
        #expect(beat.ttlSeconds == 60)
    }
}
