public import Model
public import Packets

/// A registry whose traffic is listened to.
public struct RegistryEndpoint: Hashable, Sendable {
    public enum Kind: String, Sendable, CaseIterable, Codable {
        case consul, etcd
        /// The port that the registry listens on by default.
        public var defaultPort: UInt16 { self == .consul ? 8500 : 2379 }
    }
    public var kind: Kind
    /// Nil: any address, known by its port alone.
    public var address: IPAddress?
    public var port: UInt16

    public init(kind: Kind, address: IPAddress? = nil, port: UInt16? = nil) {
        self.kind = kind
        self.address = address
        self.port = port ?? kind.defaultPort
    }

    /// Every dialect on its usual port.
    public static var defaults: [RegistryEndpoint] { Kind.allCases.map { RegistryEndpoint(kind: $0) } }
}

/// An advertisement, and the frame that brought its request.
public struct Heard: Sendable, Equatable {
    public var advertisement: Advertisement
    public var network: NetworkID
    /// The caller's tag of the port by which the request was copied.
    public var port: UInt32
    public var sourceMAC: MACAddress
    public var source: IPAddress
    /// When the registry's answer passed, or its absence was accepted.
    public var time: Instant
}

/// Listens to copies of frames between guests and registries, and tells what was advertised. It knows no clock: every
/// call brings the time.
///
/// It belongs to the thread that first calls `hear`: SwiftNIO's parser runs on an embedded event loop, which does.
public struct Ear: ~Copyable {
    /// What listening may cost.
    public struct Limits: Sendable {
        public var connections = 4096
        /// Held back in all connections together: missing segments, bodies, requests without answer.
        public var bytes = 64 << 20
        /// Of one message.
        public var bodyBytes = 1 << 20
        /// A stream that shows no dialect in its first bytes, this many, is ignored.
        public var earlyBytes = 4096
        /// The same where the stream's beginning was not seen: it may have been joined in the middle of a long body.
        public var joinedBytes = 65_536
        public var pendingRequests = 256
        public var parseErrors = 8
        /// New beginnings that one connection may have under way.
        public var stretches = 4
        public var answerTimeout = Duration.seconds(5)
        /// After a reset: frames that were overtaken by it may still come.
        public var resetTimeout = Duration.seconds(1)
        public var stream = TCPStreamLimits()

        public init() {}
    }

    public struct Counters: Sendable, Equatable {
        public var frames = 0
        /// Cut short, no TCP, fragments, or to and from nobody who is listened to.
        public var otherFrames = 0
        public var streams = 0
        /// Holes in streams that were given up, and the bytes in them or thrown away until a message began.
        public var gaps = 0
        public var skippedBytes = 0
        /// Requests and answers.
        public var messages = 0
        /// HTTP that is none, and bodies that their path's dialect cannot read.
        public var parseErrors = 0
        public var tlsStreams = 0
        public var ignoredStreams = 0
        /// Connections forgotten because there were too many or they held too much.
        public var evicted = 0
        public var advertisements = 0
    }

    private var counted = Counters()
    /// Held back in all connections together.
    public private(set) var bytes = 0
    private let limits: Limits
    private var listening: [UInt16: [(address: IPAddress?, dialect: any HTTPDialect)]] = [:]
    private var dialects: [any HTTPDialect] = []
    private var conversations: LeastRecent<FiveTuple, Conversation>
    private var ignored: [FiveTuple] = []
    private var nextDeadline: Instant?

    public init(registries: [RegistryEndpoint] = RegistryEndpoint.defaults, limits: Limits = Limits()) {
        self.limits = limits
        conversations = LeastRecent(capacity: limits.connections)
        let consul = Consul()
        let etcd = EtcdGateway()
        dialects = [consul, etcd]
        for registry in registries {
            let dialect: any HTTPDialect = registry.kind == .consul ? consul : etcd
            listening[registry.port, default: []].append((registry.address, dialect))
        }
    }

    /// Since the start.
    public var counters: Counters {
        var all = counted
        for dialect in dialects { all.parseErrors += dialect.unreadable }
        return all
    }

    /// Connections that are known at the moment.
    public var connections: Int { conversations.count }

    /// A frame as it was copied.
    ///
    /// - Parameters:
    ///   - vlan: of a tag that is not in the bytes.
    ///   - source: any tag of the port, handed back with what is heard.
    public mutating func hear(
        _ bytes: UnsafeRawBufferPointer, vlan: UInt16? = nil, network: NetworkID, source: UInt32, at now: Instant
    ) -> [Heard] {
        counted.frames += 1
        guard let frame = Frame(bytes, vlan: vlan), let (ip, tcp) = frame.tcp, !ip.isFragment,
            let (tuple, dialect, fromGuest) = conversation(of: ip, tcp, network)
        else {
            counted.otherFrames += 1
            return []
        }
        var heard: [Heard] = []
        guard let talk = talk(tuple, dialect, tcp, fromGuest: fromGuest, at: now, into: &heard) else { return heard }
        let before = talk.footprint
        let payload = UnsafeRawBufferPointer(rebasing: bytes[tcp.payload])
        let origin = Origin(mac: frame.sourceMAC, port: source, time: now)
        let settled = talk.hear(tcp, payload: payload, fromGuest: fromGuest, origin: origin)
        self.bytes += talk.footprint - before
        heard += tell(settled, of: talk)
        if let deadline = talk.deadline { nextDeadline = min(deadline, nextDeadline ?? deadline) }
        shed(at: now, into: &heard)
        return heard
    }

    /// Settles what no answer came for, and gives up on segments that will not come. Call it some times a second.
    public mutating func tick(at now: Instant) -> [Heard] {
        guard let deadline = nextDeadline, deadline <= now else { return [] }
        var heard: [Heard] = []
        var next: Instant?
        for talk in Array(conversations.values) where talk.deadline != nil {
            let before = talk.footprint
            heard += tell(talk.tick(at: now), of: talk)
            self.bytes += talk.footprint - before
            if let deadline = talk.deadline { next = min(deadline, next ?? deadline) }
        }
        nextDeadline = next
        return heard
    }

    /// Connections, guest to registry, that are TLS or show no dialect: they need not be copied any longer.
    public mutating func takeIgnored() -> [FiveTuple] {
        defer { ignored = [] }
        return ignored
    }

    // MARK: - Connections

    private func conversation(
        of ip: IPHeader, _ tcp: TCPHeader, _ network: NetworkID
    ) -> (FiveTuple, any HTTPDialect, fromGuest: Bool)? {
        let tuple = FiveTuple(
            network: network, source: ip.source, sourcePort: tcp.sourcePort, destination: ip.destination,
            destinationPort: tcp.destinationPort)
        if let dialect = dialect(at: ip.destination, tcp.destinationPort) { return (tuple, dialect, true) }
        if let dialect = dialect(at: ip.source, tcp.sourcePort) { return (tuple.reversed, dialect, false) }
        return nil
    }

    private func dialect(at address: IPAddress, _ port: UInt16) -> (any HTTPDialect)? {
        listening[port]?.first { $0.address == nil || $0.address == address }?.dialect
    }

    /// The connection's state; nil where there is none and this segment gives no reason to keep one.
    private mutating func talk(
        _ tuple: FiveTuple, _ dialect: any HTTPDialect, _ tcp: TCPHeader, fromGuest: Bool, at now: Instant,
        into heard: inout [Heard]
    ) -> Conversation? {
        if let known = conversations.find(tuple) {
            guard fromGuest, known.isReplaced(by: tcp) else { return known }
            forget(known, at: now, into: &heard)
            conversations.remove(tuple)
        }
        guard !tcp.payload.isEmpty || tcp.flags.contains(.syn) else { return nil }
        let talk = Conversation(tuple, dialect: dialect, limits: limits)
        counted.streams += 1
        if let evicted = conversations.set(tuple, talk) {
            counted.evicted += 1
            forget(evicted.value, at: now, into: &heard)
        }
        return talk
    }

    private mutating func shed(at now: Instant, into heard: inout [Heard]) {
        while bytes > limits.bytes, conversations.count > 1, let oldest = conversations.oldestKey,
            let talk = conversations.remove(oldest)
        {
            counted.evicted += 1
            forget(talk, at: now, into: &heard)
        }
    }

    private mutating func forget(_ talk: Conversation, at now: Instant, into heard: inout [Heard]) {
        bytes -= talk.footprint
        heard += tell(talk.close(at: now), of: talk)
    }

    // MARK: - Telling

    private mutating func tell(_ settled: [HTTPExchanges.Settlement], of talk: Conversation) -> [Heard] {
        count(talk)
        guard !settled.isEmpty else { return [] }
        let tuple = talk.tuple
        let place = RegistryPlace(network: tuple.network, address: tuple.destination, port: tuple.destinationPort)
        var heard: [Heard] = []
        for one in settled {
            for advertisement in talk.dialect.settled(one.asked, by: one.answer, of: place) {
                var told = advertisement
                told.sourceIp = tuple.source.description
                told.registryIp = tuple.destination.description
                told.registryPort = Int(tuple.destinationPort)
                heard.append(
                    Heard(
                        advertisement: told, network: tuple.network, port: one.origin.port,
                        sourceMAC: one.origin.mac, source: tuple.source, time: one.time))
            }
        }
        counted.advertisements += heard.count
        return heard
    }

    private mutating func count(_ talk: Conversation) {
        let new = talk.takeCounts()
        counted.gaps += new.gaps
        counted.skippedBytes += new.skippedBytes
        counted.messages += new.messages
        counted.parseErrors += new.parseErrors
        counted.tlsStreams += new.tlsStreams
        guard new.ignoredStreams > 0 else { return }
        counted.ignoredStreams += new.ignoredStreams
        // Not asked for: then nobody stops copying, and a list that only grows helps no one.
        if ignored.count < limits.connections { ignored.append(talk.tuple) }
    }
}
