internal import Dataplane
public import Fleet
public import Model
public import Registries

/// What the operator asked for: one file, checked whole before anything starts. See `Config.parse`.
public struct Config: Sendable, Hashable {
    public var node: String
    public var mode: Mode = .observe
    public var forwarding: Forwarding = .switch
    /// Directory of the journal.
    public var state: String = "/var/lib/remora"
    public var socket: String = Config.defaultSocket
    /// Where Prometheus may scrape; nil: on the socket only.
    public var metrics: TCPEndpoint?
    public var bpffs: String = "/sys/fs/bpf"
    public var logLevel: LogLevel = .info
    /// In the order of the file. No two that differ can match the same device.
    public var ports: [Port] = []
    /// Sorted by number; holds at least one.
    public var networks: [Network] = [Network(name: "default", id: NetworkID(0))]
    public var registries: [RegistryEndpoint] = []
    /// Senders that may register addresses other than their own.
    public var registrars: [IPAddress] = []
    public var containers = Containers()
    public var proxies = Proxies()
    public var flows = Flows()
    public var probe = Probe()
    public var limits = Limits()

    public static let defaultPath = "/etc/remora/remora.yaml"
    public static let defaultSocket = "/run/remora/remora.sock"

    public init(node: String) { self.node = node }

    /// The first rule that matches this device.
    public func port(matching name: PortName) -> Port? { ports.first { $0.match.matches(name.description) } }

    public func network(named name: String) -> Network? { networks.first { $0.name == name } }

    public enum LogLevel: String, Sendable, CaseIterable { case trace, debug, info, notice, warning, error, critical }

    /// Devices by name, and what they are.
    public struct Port: Sendable, Hashable {
        public var match: Glob
        public var role: PortRole
        /// Answer ARP requests for VIPs that come in here.
        public var answerARP: Bool
        /// Of untagged frames.
        public var network: NetworkID
        /// Nil: as the node.
        public var mode: Mode?
        public var forwarding: Forwarding?
        /// VLAN id (1...4094) to network.
        public var vlans: [UInt16: NetworkID]
    }

    public struct Network: Sendable, Hashable {
        public var name: String
        public var id: NetworkID
        /// Where the VIPs of its services are chosen from; nil: its services get none.
        public var vips: IPv4Prefix?
        /// Sender of probes where the guest's registry address does not serve.
        public var probeSource: IPv4Address?
        public var probeSource6: IPv6Address?

        public init(name: String, id: NetworkID, vips: IPv4Prefix? = nil, probeSource: IPv4Address? = nil) {
            self.name = name
            self.id = id
            self.vips = vips
            self.probeSource = probeSource
        }
    }

    public struct Proxies: Sendable, Hashable {
        public var per: Fleet.Settings.Grouping = .service
        /// How long established connections to a deregistered instance may go on.
        public var drain: Duration = Fleet.Settings().drain
        /// After a start nothing that was known before lapses or is unloaded before this.
        public var restoreGrace: Duration = Fleet.Settings().restoreGrace
    }

    public struct Flows: Sendable, Hashable {
        /// Entries of the flow table; a connection takes two.
        public var max: Int = Dataplane.Settings.defaultFlowCapacity
        public var idle: Duration = .seconds(3600)
        public var halfOpen: Duration = .seconds(10)
        /// How long a closed connection keeps its ports: no less than a guest's TIME_WAIT.
        public var closed: Duration = .seconds(60)
        public var halfOpenPerPort: Int = 16384
    }

    public struct Limits: Sendable, Hashable {
        public var instancesPerPort: Int = Fleet.Settings().instancesPerPort
        public var servicesPerPort: Int = Fleet.Settings().servicesPerPort
        public var instances: Int = Fleet.Settings().instances
    }
}

/// A TCP address to listen on.
public struct TCPEndpoint: Sendable, Hashable, LosslessStringConvertible {
    public let address: IPAddress
    public let port: UInt16

    /// `192.0.2.1:9477` or `[2001:db8::1]:9477`.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard let address = IPv6Address(String(host)) else { return nil }
            self.address = .v6(address)
        } else {
            guard let address = IPv4Address(String(host)) else { return nil }
            self.address = .v4(address)
        }
        self.port = port
    }

    public var description: String {
        if case .v6 = address { return "[\(address)]:\(port)" }
        return "\(address):\(port)"
    }
}
