/// A tenant's address space, by its number in every BPF key. 0 is the default network.
public struct NetworkID: Hashable, Sendable, Codable, Comparable, CustomStringConvertible {
    public let number: UInt16
    public init(_ number: UInt16) { self.number = number }
    public init(from decoder: any Decoder) throws { number = try UInt16(from: decoder) }
    public func encode(to encoder: any Encoder) throws { try number.encode(to: encoder) }
    public static func < (a: Self, b: Self) -> Bool { a.number < b.number }
    public var description: String { String(number) }
}

/// A network device of the NIC, by name.
public struct PortName: Hashable, Sendable, TextCodable, Comparable {
    public let description: String
    public init(_ name: String) { description = name }
    public static func < (a: Self, b: Self) -> Bool { a.description < b.description }
}

public enum PortRole: String, Codable, Sendable, CaseIterable { case mixed, uplink, vm, container }

/// Observe: show what would be done and touch no packet. Enforce: do it.
public enum Mode: String, Codable, Sendable, CaseIterable { case observe, enforce }

/// How a packet reaches its port: through whatever switches there (`switch`), or straight to the device (`redirect`).
public enum Forwarding: String, Codable, Sendable, CaseIterable { case `switch`, redirect }

public enum TransportProtocol: String, Codable, Sendable, CaseIterable {
    case tcp, udp
    /// The IP protocol number (IANA).
    public var number: UInt8 { self == .tcp ? 6 : 17 }
}

/// A service, wherever its instances run. Registry names are a stranger's bytes: never a path, never a format.
public struct ServiceID: Hashable, Sendable, Codable, Comparable, CustomStringConvertible {
    public let network: NetworkID
    /// The registry's namespace or partition; "default" where it has none.
    public let namespace: String
    public let name: String

    public init(network: NetworkID, namespace: String = "default", name: String) {
        self.network = network
        self.namespace = namespace
        self.name = name
    }

    public static func < (a: Self, b: Self) -> Bool {
        (a.network, a.namespace, a.name) < (b.network, b.namespace, b.name)
    }
    /// "web", "blue/web" or "3:default/web": as short as it is unambiguous.
    public var description: String {
        let local = namespace == "default" ? name : "\(namespace)/\(name)"
        return network.number == 0 ? local : "\(network):\(local)"
    }
}

/// One address:port:protocol on one network that offers a service. Port 0: its registry was told of none.
public struct InstanceID: Hashable, Sendable, Codable, Comparable, CustomStringConvertible {
    public let network: NetworkID
    public let address: IPAddress
    public let port: UInt16
    public let proto: TransportProtocol

    public init(network: NetworkID, address: IPAddress, port: UInt16, proto: TransportProtocol = .tcp) {
        self.network = network
        self.address = address
        self.port = port
        self.proto = proto
    }

    public static func < (a: Self, b: Self) -> Bool {
        (a.network, a.address.description, a.port, a.proto.rawValue)
            < (b.network, b.address.description, b.port, b.proto.rawValue)
    }
    /// "-" stands for no port.
    public var description: String {
        let port = port == 0 ? "-" : "\(port)"
        if case .v6 = address { return "[\(address)]:\(port)/\(proto.rawValue)" }
        return "\(address):\(port)/\(proto.rawValue)"
    }
}

/// A moment: milliseconds since 1970. The agent's clock never goes backwards within one run.
public struct Instant: Hashable, Sendable, Codable, Comparable {
    public let milliseconds: Int64
    public init(milliseconds: Int64) { self.milliseconds = milliseconds }
    public init(from decoder: any Decoder) throws { milliseconds = try Int64(from: decoder) }
    public func encode(to encoder: any Encoder) throws { try milliseconds.encode(to: encoder) }
    public static func < (a: Self, b: Self) -> Bool { a.milliseconds < b.milliseconds }
    public static func + (a: Self, b: Duration) -> Self { Self(milliseconds: a.milliseconds + b.milliseconds) }
    public static func - (a: Self, b: Self) -> Duration { .milliseconds(a.milliseconds - b.milliseconds) }
}

extension Duration {
    public var milliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}
