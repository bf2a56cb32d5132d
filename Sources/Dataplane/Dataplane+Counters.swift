internal import BPFRuntime
internal import CRemoraABI
public import Model

public struct PacketCount: Sendable, Hashable {
    public var packets: UInt64 = 0
    public var bytes: UInt64 = 0

    static func += (a: inout Self, b: remora_counter) {
        a.packets &+= b.packets
        a.bytes &+= b.bytes
    }
}

/// Of one port and hook, by reason code; reasons that never struck are absent.
public struct PortCounters: Sendable {
    public var port: PortName
    public var egress: Bool
    public var reasons: [UInt32: PacketCount] = [:]
}

public struct ServiceCounters: Sendable, Hashable {
    public var forward = PacketCount()
    public var reverse = PacketCount()
    public var connections: UInt64 = 0
    public var drops: UInt64 = 0
}

public struct MapPressure: Sendable, Hashable {
    public var name: String
    public var entries: Int
    public var capacity: Int
}

extension Dataplane {
    public func portCounters() throws(DataplaneError) -> [PortCounters] {
        try during("read the ports' counters") { () throws(BPFError) in
            var all: [PortCounters] = []
            for (name, attachment) in attachments.sorted(by: { $0.key < $1.key }) {
                for egress in [false, true] {
                    var counters = PortCounters(port: name, egress: egress)
                    let hook = attachment.slot * 2 + (egress ? 1 : 0)
                    for reason in 0..<UInt32(REMORA_REASON_COUNT.rawValue) {
                        var sum = PacketCount()
                        for value in try maps.counters.perCPU(hook * UInt32(REMORA_MAX_REASONS) + reason) {
                            sum += value
                        }
                        if sum.packets > 0 { counters.reasons[reason] = sum }
                    }
                    all.append(counters)
                }
            }
            return all
        }
    }

    public func counters(of service: ServiceID) throws(DataplaneError) -> ServiceCounters {
        guard let slot = serviceSlots[service] else { return ServiceCounters() }
        return try during("read the counters of \(service)") { () throws(BPFError) in
            var sum = ServiceCounters()
            for value in try maps.counters(ofSlot: slot) {
                sum.forward += value.forward
                sum.reverse += value.reverse
                sum.connections &+= value.connections
                sum.drops &+= value.drops
            }
            return sum
        }
    }

    /// Records that a ring had no room for, by ring.
    public func ringLosses() -> [String: UInt64] {
        let rings = ["adverts": REMORA_RING_ADVERTS, "events": REMORA_RING_EVENTS]
        return rings.mapValues { (try? maps.ringLosses.perCPU($0.rawValue))?.reduce(0, &+) ?? 0 }
    }

    /// `flows`: entries that the last pass over the table saw.
    public func pressure(flows: Int) -> [MapPressure] {
        [
            MapPressure(name: maps.flows.name, entries: flows, capacity: maps.flows.capacity),
            MapPressure(name: maps.frontends.name, entries: frontends.count, capacity: maps.frontends.capacity),
            MapPressure(name: maps.vips.name, entries: vips.count, capacity: maps.vips.capacity),
            MapPressure(name: maps.neighbours.name, entries: neighbours.count, capacity: maps.neighbours.capacity),
            MapPressure(name: maps.services.name, entries: serviceSlots.count, capacity: maps.services.capacity),
        ]
    }
}

extension Dataplane {
    /// Refuses rules that no proxy could hold.
    public static func check(_ rules: PolicyRules) throws(DataplaneError) {
        _ = try ProxyPlan.compile(rules, of: "policy")
    }
}
