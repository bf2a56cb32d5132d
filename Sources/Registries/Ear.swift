public import Model
public import Packets

/// An advertisement, and the frame that brought its request.
public struct Heard: Sendable, Equatable {
    public var advertisement: Advertisement
    public var network: NetworkID
    /// The caller's tag of the port by which the request was copied.
    public var port: UInt32
    public var sourceMAC: MACAddress
    public var source: IPAddress
    /// TTL or hop limit of the frame that brought the request, as it arrived.
    public var hopLimit: UInt8
    /// When the registry's answer passed, or its absence was accepted.
    public var time: Instant
}

/// A guest speaks TLS with a registry: what is said there cannot be heard, the registry must be asked instead.
public struct EncryptedRegistry: Hashable, Sendable {
    public var network: NetworkID
    public var address: IPAddress
    public var port: UInt16
    public var guest: IPAddress
}

/// Listens to copies of frames between guests and registries, and tells what was advertised. It knows no clock: every
/// call brings the time.
///
/// It belongs to the thread that first calls `hear`: SwiftNIO's parser runs on an embedded event loop, which does.
public struct Ear: ~Copyable {
    /// What listening may cost. Where it is too much, it is the port that holds most whose oldest connection goes.
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
        /// Cut short, neither TCP nor UDP, or to and from nobody who is listened to.
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
    private let limits: Limits
    let posts: ListeningPosts
    private var fragments = Fragments()
    private var conversations: Conversations
    private var ignored: [FiveTuple] = []
    private var encrypted: [EncryptedRegistry] = []
    var troubled: [String: Trouble] = [:]
    private var nextDeadline: Instant?

    public init(registries: [RegistryEndpoint] = RegistryEndpoint.defaults, limits: Limits = Limits()) {
        self.init(posts: ListeningPosts(at: registries), limits: limits)
    }

    init(posts: ListeningPosts, limits: Limits = Limits()) {
        self.limits = limits
        self.posts = posts
        conversations = Conversations(capacity: limits.connections)
    }

    /// Since the start.
    public var counters: Counters {
        var all = counted
        for dialect in posts.dialects { all.parseErrors += dialect.unreadable }
        return all
    }

    /// Connections that are known at the moment.
    public var connections: Int { conversations.count }
    /// Held back in all connections together.
    public var bytes: Int { conversations.bytes }

    /// A frame as it was copied.
    ///
    /// - Parameters:
    ///   - vlan: of a tag that is not in the bytes.
    ///   - source: any tag of the port, handed back with what is heard.
    public mutating func hear(
        _ bytes: UnsafeRawBufferPointer, vlan: UInt16? = nil, network: NetworkID, source: UInt32, at now: Instant
    ) -> [Heard] {
        counted.frames += 1
        guard let frame = Frame(bytes, vlan: vlan) else {
            counted.otherFrames += 1
            return []
        }
        let origin = Origin(mac: frame.sourceMAC, hopLimit: frame.ip?.hopLimit ?? 0, port: source, time: now)
        guard let header = frame.ip, header.isFragment else {
            return hear(frame.content, bytes, network, origin)
        }
        guard let packet = fragments.take(header, of: bytes, network: network, at: now) else { return [] }
        return packet.bytes.withUnsafeBytes { hear(packet.content, $0, network, origin) }
    }

    private mutating func hear(
        _ content: Frame.Content, _ bytes: UnsafeRawBufferPointer, _ network: NetworkID, _ origin: Origin
    ) -> [Heard] {
        var heard: [Heard]?
        switch content {
        case .tcp(let ip, let tcp):
            heard = hear(tcp, of: ip, UnsafeRawBufferPointer(rebasing: bytes[tcp.payload]), network, origin)
        case .udp(let ip, let udp):
            heard = hear(udp, of: ip, UnsafeRawBufferPointer(rebasing: bytes[udp.payload]), network, origin)
        default: break
        }
        if heard == nil { counted.otherFrames += 1 }
        return heard ?? []
    }

    /// Settles what no answer came for, and gives up on segments that will not come. Call it some times a second.
    public mutating func tick(at now: Instant) -> [Heard] {
        guard let deadline = nextDeadline, deadline <= now else { return [] }
        var heard: [Heard] = []
        var next: Instant?
        for talk in conversations.all where talk.deadline != nil {
            heard += tell(conversations.change(talk) { $0.tick(at: now) }, of: talk)
            if let deadline = talk.deadline { next = min(deadline, next ?? deadline) }
        }
        for dialect in posts.datagramDialects where dialect.deadline != nil {
            heard += tell(dialect.tick(at: now))
            if let deadline = dialect.deadline { next = min(deadline, next ?? deadline) }
        }
        nextDeadline = next
        return heard
    }

    /// Connections, guest to registry, that are TLS or show no dialect: they need not be copied any longer.
    public mutating func takeIgnored() -> [FiveTuple] {
        defer { ignored = [] }
        return ignored
    }

    /// Who was found to speak TLS, and with which registry; the same may be named again for another connection.
    public mutating func takeEncrypted() -> [EncryptedRegistry] {
        defer { encrypted = [] }
        return encrypted
    }

    private mutating func wake(at deadline: Instant?) {
        if let deadline { nextDeadline = min(deadline, nextDeadline ?? deadline) }
    }

    // MARK: - Datagrams

    /// Nil where it is to or from nobody who is listened to.
    private mutating func hear(
        _ udp: UDPHeader, of ip: IPHeader, _ payload: UnsafeRawBufferPointer, _ network: NetworkID, _ origin: Origin
    ) -> [Heard]? {
        // With multicast both ports are the registry's: the sender is the guest then.
        let fromGuest = posts.at(ip.destination, udp.destinationPort)?.datagrams.isEmpty == false
        let place =
            fromGuest
            ? RegistryPlace(network: network, address: ip.destination, port: udp.destinationPort, guest: ip.source)
            : RegistryPlace(network: network, address: ip.source, port: udp.sourcePort, guest: ip.destination)
        guard let allowed = posts.at(place.address, place.port), !allowed.datagrams.isEmpty else { return nil }
        let datagram = Datagram(
            bytes: ArraySlice(payload), guest: fromGuest ? ip.source : ip.destination,
            guestPort: fromGuest ? udp.sourcePort : udp.destinationPort, fromGuest: fromGuest, origin: origin)
        counted.messages += 1
        var heard: [Heard] = []
        for dialect in allowed.datagrams {
            heard += tell(dialect.hear(datagram, of: place))
            wake(at: dialect.deadline)
        }
        return heard
    }

    // MARK: - Connections

    /// Nil where it is to or from nobody who is listened to.
    private mutating func hear(
        _ tcp: TCPHeader, of ip: IPHeader, _ payload: UnsafeRawBufferPointer, _ network: NetworkID, _ origin: Origin
    ) -> [Heard]? {
        let sent = FiveTuple(
            network: network, source: ip.source, sourcePort: tcp.sourcePort, destination: ip.destination,
            destinationPort: tcp.destinationPort)
        var fromGuest = posts.isStream(at: ip.destination, tcp.destinationPort)
        let fromRegistry = posts.isStream(at: ip.source, tcp.sourcePort)
        guard fromGuest || fromRegistry else { return nil }
        // A guest's own port may be one that registries listen on: whoever opened the connection is the guest.
        if fromGuest && fromRegistry { fromGuest = !conversations.contains(sent.reversed) }
        let tuple = fromGuest ? sent : sent.reversed
        guard let allowed = posts.at(tuple.destination, tuple.destinationPort) else { return nil }
        var heard: [Heard] = []
        guard let talk = talk(tuple, allowed, tcp, fromGuest: fromGuest, origin, into: &heard) else {
            return heard
        }
        let told = conversations.change(talk) {
            $0.hear(tcp, payload: payload, fromGuest: fromGuest, origin: origin)
        }
        heard += tell(told, of: talk)
        wake(at: talk.deadline)
        while let evicted = conversations.shed(above: limits.bytes) { evict(evicted, at: origin.time, into: &heard) }
        return heard
    }

    /// The connection's state; nil where there is none and this segment gives no reason to keep one.
    private mutating func talk(
        _ tuple: FiveTuple, _ allowed: AllowedDialects, _ tcp: TCPHeader, fromGuest: Bool, _ origin: Origin,
        into heard: inout [Heard]
    ) -> Conversation? {
        if let known = conversations.find(tuple) {
            guard fromGuest, known.isReplaced(by: tcp) else { return known }
            conversations.remove(tuple)
            heard += tell(known.close(isOver: true, at: origin.time), of: known)
        }
        guard !tcp.payload.isEmpty || tcp.flags.contains(.syn) else { return nil }
        let talk = Conversation(tuple, allowed: allowed, limits: limits)
        counted.streams += 1
        if let evicted = conversations.add(talk, from: origin.port) { evict(evicted, at: origin.time, into: &heard) }
        return talk
    }

    private mutating func evict(_ talk: Conversation, at now: Instant, into heard: inout [Heard]) {
        counted.evicted += 1
        heard += tell(talk.close(isOver: false, at: now), of: talk)
    }

    // MARK: - Telling

    private mutating func tell(_ told: [Told], of talk: Conversation) -> [Heard] {
        count(talk)
        return tell(told)
    }

    private mutating func tell(_ told: [Told]) -> [Heard] {
        counted.advertisements += told.count
        return told.map { one in
            var advertisement = one.advertisement
            advertisement.sourceIp = one.guest.description
            advertisement.registryIp = one.registry.address.description
            advertisement.registryPort = Int(one.registry.port)
            return Heard(
                advertisement: advertisement, network: one.registry.network, port: one.origin.port,
                sourceMAC: one.origin.mac, source: one.guest, hopLimit: one.origin.hopLimit,
                time: one.time)
        }
    }

    private mutating func count(_ talk: Conversation) {
        let new = talk.takeCounts()
        counted.gaps += new.gaps
        counted.skippedBytes += new.skippedBytes
        counted.messages += new.messages
        counted.parseErrors += new.parseErrors
        counted.tlsStreams += new.tlsStreams
        var trouble = Trouble()
        (trouble.gaps, trouble.skippedBytes) = (new.gaps, new.skippedBytes)
        (trouble.unreadable, trouble.tlsStreams) = (new.parseErrors, new.tlsStreams)
        if !trouble.isNone, let allowed = posts.at(talk.tuple.destination, talk.tuple.destinationPort) {
            troubled[allowed.names, default: Trouble()].add(trouble)
        }
        guard new.ignoredStreams > 0 else { return }
        counted.ignoredStreams += new.ignoredStreams
        // Not asked for: then nobody stops copying, and a list that only grows helps no one.
        let tuple = talk.tuple
        if ignored.count < limits.connections { ignored.append(tuple) }
        guard new.tlsStreams > 0, encrypted.count < limits.connections else { return }
        encrypted.append(
            EncryptedRegistry(
                network: tuple.network, address: tuple.destination, port: tuple.destinationPort, guest: tuple.source))
    }
}
