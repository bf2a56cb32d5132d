public import Model

/// Everything that is counted, at one moment.
public struct MetricsSnapshot: Sendable, Hashable, Codable {
    public struct Count: Sendable, Hashable, Codable {
        public var packets: UInt64
        public var bytes: UInt64
        public init(packets: UInt64, bytes: UInt64) {
            self.packets = packets
            self.bytes = bytes
        }
    }
    public struct Port: Sendable, Hashable, Codable {
        public var name: String
        /// "ingress" or "egress".
        public var hook: String
        /// By the reason's name. Those that never struck may be missing.
        public var reasons: [String: Count]
        public init(name: String, hook: String, reasons: [String: Count]) {
            self.name = name
            self.hook = hook
            self.reasons = reasons
        }
    }
    public struct Service: Sendable, Hashable, Codable {
        public var id: ServiceID
        public var forward: Count
        public var reverse: Count
        public var connections: UInt64
        public var drops: UInt64
        public init(id: ServiceID, forward: Count, reverse: Count, connections: UInt64, drops: UInt64) {
            self.id = id
            self.forward = forward
            self.reverse = reverse
            self.connections = connections
            self.drops = drops
        }
    }

    /// Events that one dialect told of.
    public struct RegistryEvents: Sendable, Hashable, Codable {
        public var registry: String
        public var op: String
        /// "yes", "no", or "unseen" where the registry's answer was not in view.
        public var accepted: String
        public var count: UInt64
        public init(registry: String, op: String, accepted: String, count: UInt64) {
            self.registry = registry
            self.op = op
            self.accepted = accepted
            self.count = count
        }
    }
    /// What could not be heard where these dialects may be spoken.
    public struct RegistryTrouble: Sendable, Hashable, Codable {
        public var registry: String
        public var kind: String
        public var count: UInt64
        public init(registry: String, kind: String, count: UInt64) {
            self.registry = registry
            self.kind = kind
            self.count = count
        }
    }

    public var ports: [Port] = []
    public var services: [Service] = []
    /// Proxies by state.
    public var proxies: [String: Int] = [:]
    /// Instances by verdict.
    public var instances: [String: Int] = [:]
    /// How often each verdict was reached.
    public var verdicts: [String: UInt64] = [:]
    public var maps: [MapView] = []
    /// Records lost by ring.
    public var ringLosses: [String: UInt64] = [:]
    /// What the ear counted: frames, streams, gaps, messages, ...
    public var ear: [String: UInt64] = [:]
    /// What the prober counted: sent, answered, silent, refused.
    public var probes: [String: UInt64] = [:]
    public var registryEvents: [RegistryEvents] = []
    public var registryTroubles: [RegistryTrouble] = []
    public var alarms: Int = 0

    public init() {}
}

/// A metric family, as the exposition and the documentation name it.
public struct MetricFamily: Sendable, Hashable {
    public enum Kind: String, Sendable { case counter, gauge }
    public let name: String
    public let kind: Kind
    public let help: String
    public let labels: [String]

    static let portPackets = Self(
        name: "remora_port_packets_total", kind: .counter, help: "Packets by port, hook and what became of them.",
        labels: ["port", "hook", "reason"])
    static let portBytes = Self(
        name: "remora_port_bytes_total", kind: .counter, help: "Bytes by port, hook and what became of them.",
        labels: ["port", "hook", "reason"])
    static let servicePackets = Self(
        name: "remora_service_packets_total", kind: .counter,
        help: "Packets that a service's proxy carried; the last 15 of a live flow may be missing.",
        labels: ["network", "namespace", "service", "direction"])
    static let serviceBytes = Self(
        name: "remora_service_bytes_total", kind: .counter,
        help: "Bytes that a service's proxy carried; the last 15 packets of a live flow may be missing.",
        labels: ["network", "namespace", "service", "direction"])
    static let serviceConnections = Self(
        name: "remora_service_connections_total", kind: .counter, help: "Connections opened through a service's proxy.",
        labels: ["network", "namespace", "service"])
    static let serviceDrops = Self(
        name: "remora_service_drops_total", kind: .counter, help: "Packets that a service's proxy dropped.",
        labels: ["network", "namespace", "service"])
    static let proxies = Self(
        name: "remora_proxies", kind: .gauge, help: "Proxies by state.", labels: ["state"])
    static let instances = Self(
        name: "remora_instances", kind: .gauge, help: "Known instances by verdict.", labels: ["verdict"])
    static let verdicts = Self(
        name: "remora_verdicts_total", kind: .counter, help: "How often a verdict was reached.", labels: ["verdict"])
    static let mapEntries = Self(
        name: "remora_map_entries", kind: .gauge, help: "Entries in a BPF map.", labels: ["map"])
    static let mapCapacity = Self(
        name: "remora_map_capacity", kind: .gauge, help: "Entries that a BPF map can hold.", labels: ["map"])
    static let ringLosses = Self(
        name: "remora_ring_lost_total", kind: .counter, help: "Records lost because a ring was full.",
        labels: ["ring"])
    static let ear = Self(
        name: "remora_ear_total", kind: .counter, help: "What the registry ear counted, by kind.", labels: ["kind"])
    static let registryEvents = Self(
        name: "remora_registry_events_total", kind: .counter,
        help: "Events heard by dialect, operation and the registry's answer.", labels: ["registry", "op", "accepted"])
    static let registryTroubles = Self(
        name: "remora_registry_trouble_total", kind: .counter,
        help: "What could not be heard, by the dialects of the place and by kind.", labels: ["registry", "kind"])
    static let probes = Self(
        name: "remora_probes_total", kind: .counter, help: "Probes by what became of them.", labels: ["result"])
    static let alarms = Self(
        name: "remora_alarms", kind: .gauge, help: "Things that need an operator now.", labels: [])

    /// In the order of the exposition.
    public static let all: [MetricFamily] = [
        portPackets, portBytes, servicePackets, serviceBytes, serviceConnections, serviceDrops, proxies, instances,
        verdicts, mapEntries, mapCapacity, ringLosses, ear, registryEvents, registryTroubles, probes, alarms,
    ]
}

extension MetricsSnapshot {
    /// Prometheus text exposition format 0.0.4.
    public func exposition() -> String {
        var text = Exposition()
        text.family(.portPackets, perPort { $0.packets })
        text.family(.portBytes, perPort { $0.bytes })
        text.family(.servicePackets, perDirection { $0.packets })
        text.family(.serviceBytes, perDirection { $0.bytes })
        text.family(.serviceConnections, services.map { (Self.labels($0.id), $0.connections) })
        text.family(.serviceDrops, services.map { (Self.labels($0.id), $0.drops) })
        text.family(.proxies, Self.byName(proxies))
        text.family(.instances, Self.byName(instances))
        text.family(.verdicts, Self.byName(verdicts))
        text.family(.mapEntries, maps.map { ([$0.name], UInt64(clamping: $0.entries)) })
        text.family(.mapCapacity, maps.map { ([$0.name], UInt64(clamping: $0.capacity)) })
        text.family(.ringLosses, Self.byName(ringLosses))
        text.family(.ear, Self.byName(ear))
        text.family(.registryEvents, registryEvents.map { ([$0.registry, $0.op, $0.accepted], $0.count) })
        text.family(.registryTroubles, registryTroubles.map { ([$0.registry, $0.kind], $0.count) })
        text.family(.probes, Self.byName(probes))
        text.family(.alarms, [([], UInt64(clamping: alarms))])
        return text.text
    }

    private typealias Sample = (labels: [String], value: UInt64)

    private func perPort(_ value: (Count) -> UInt64) -> [Sample] {
        ports.flatMap { port in
            port.reasons.sorted { $0.key < $1.key }.map { reason, count in
                ([port.name, port.hook, reason], value(count))
            }
        }
    }

    private func perDirection(_ value: (Count) -> UInt64) -> [Sample] {
        services.flatMap { service in
            [("forward", service.forward), ("reverse", service.reverse)].map { direction, count in
                (Self.labels(service.id) + [direction], value(count))
            }
        }
    }

    private static func labels(_ id: ServiceID) -> [String] { [id.network.description, id.namespace, id.name] }

    private static func byName(_ counts: [String: some BinaryInteger]) -> [Sample] {
        counts.sorted { $0.key < $1.key }.map { ([$0.key], UInt64(clamping: $0.value)) }
    }
}

/// The text as it grows. A family without samples is left out.
private struct Exposition {
    private(set) var text = ""

    mutating func family(_ family: MetricFamily, _ samples: [(labels: [String], value: UInt64)]) {
        guard !samples.isEmpty else { return }
        text += "# HELP \(family.name) \(family.help)\n# TYPE \(family.name) \(family.kind.rawValue)\n"
        for sample in samples {
            let labels = zip(family.labels, sample.labels).map { "\($0)=\"\(Self.escaped($1))\"" }
            text += family.name + (labels.isEmpty ? "" : "{\(labels.joined(separator: ","))}") + " \(sample.value)\n"
        }
    }

    /// A label's value: backslash, quote and line feed are escaped by the format. Other control characters are legal in
    /// it, but a service's name is a stranger's: they are written as `\\xNN`.
    private static func escaped(_ value: String) -> String {
        var escaped = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                escaped += "\\\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
