public import Model

/// A place where registries are listened to, and what may be spoken there: nothing else is tried.
public struct RegistryEndpoint: Hashable, Sendable {
    /// A registry's kind, by the name of its dialect.
    public struct Kind: RawRepresentable, CaseIterable, Hashable, Sendable, Codable, CustomStringConvertible {
        public let rawValue: String

        /// Nil where no dialect has this name.
        public init?(rawValue: String) {
            guard Dialects.all.contains(where: { $0.name == rawValue }) else { return nil }
            self.rawValue = rawValue
        }

        private init(of dialect: any Dialect.Type) { rawValue = dialect.name }

        public static var allCases: [Kind] {
            var kinds: [Kind] = []
            for kind in Dialects.all.map(Kind.init(of:)) where !kinds.contains(kind) { kinds.append(kind) }
            return kinds
        }

        /// Where registries of this kind listen by default; the first is the one that is meant if none is named.
        public var usualPorts: [UInt16] {
            var ports: [UInt16] = []
            for port in dialects.flatMap({ $0.usualPorts }) where !ports.contains(port) { ports.append(port) }
            return ports
        }

        var dialects: [any Dialect.Type] { Dialects.all.filter { $0.name == rawValue } }

        public var description: String { rawValue }
    }

    /// What may be spoken there; the first bytes of a stream decide.
    public var kinds: [Kind]
    /// Nil: any address, known by its port alone.
    public var address: IPAddress?
    public var port: UInt16

    /// What carries the languages that may be spoken there.
    public var transports: Set<TransportProtocol> {
        var transports: Set<TransportProtocol> = []
        for dialect in kinds.flatMap(\.dialects) {
            if dialect is any DatagramDialect.Type { transports.insert(.udp) }
            if dialect is any StreamDialect.Type || dialect is any HTTPDialect.Type { transports.insert(.tcp) }
        }
        return transports
    }

    public init(kinds: [Kind], address: IPAddress? = nil, port: UInt16) {
        self.kinds = kinds
        self.address = address
        self.port = port
    }

    /// - Parameter port: nil stands for each of the kinds' usual ports, where only its own kinds may be spoken.
    public static func places(
        of kinds: [Kind], address: IPAddress? = nil, port: UInt16? = nil
    ) -> [RegistryEndpoint] {
        if let port { return [RegistryEndpoint(kinds: kinds, address: address, port: port)] }
        var places: [RegistryEndpoint] = []
        for kind in kinds {
            for port in kind.usualPorts {
                if let known = places.firstIndex(where: { $0.port == port }) {
                    places[known].kinds.append(kind)
                } else {
                    places.append(RegistryEndpoint(kinds: [kind], address: address, port: port))
                }
            }
        }
        return places
    }

    /// Every dialect at its usual ports.
    public static var defaults: [RegistryEndpoint] { places(of: Kind.allCases) }
}
