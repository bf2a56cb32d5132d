internal import Model
internal import Packets

/// One registry's language, whatever carries it. One instance serves every registry of its kind and holds what messages
/// refer back to (leases, checks, sessions), by place and bounded. What it speaks over says which of the protocols
/// below it conforms to; one may speak over several.
protocol Dialect: AnyObject {
    /// As the configuration names it.
    static var name: String { get }

    /// The ports that registries of this kind listen on by default.
    static var usualPorts: [UInt16] { get }

    init()

    /// Messages that were this dialect's and could not be read.
    var unreadable: Int { get }
}

/// A registry's language over plain TCP, in messages of its own.
protocol StreamDialect: Dialect {
    /// Does a guest's stream that shows these bytes speak it?
    ///
    /// - Parameters:
    ///   - bytes: of the guest, from the first of a segment on.
    ///   - isStart: they are the first of the connection; else it is joined in the middle.
    static func recognizes(_ bytes: ArraySlice<UInt8>, isStart: Bool) -> Recognition

    /// Reads one connection, from what was recognised on.
    func reader(of connection: FiveTuple) -> any StreamReader
}

enum Recognition { case yes, no, tooShort }

/// A registry's language in datagrams.
protocol DatagramDialect: Dialect {
    /// One datagram, either way. What waits for an answer is told with it, or by `tick`.
    func hear(_ datagram: Datagram, of registry: RegistryPlace) -> [Told]
    /// Tells without an answer what has waited for long enough.
    func tick(at now: Instant) -> [Told]
    /// When `tick` will have something to tell.
    var deadline: Instant? { get }
}

struct Datagram {
    var bytes: ArraySlice<UInt8>
    /// Who speaks with the registry. With multicast, the sender.
    var guest: IPAddress
    var guestPort: UInt16
    var fromGuest: Bool
    var origin: Origin
}

/// Reads one connection whose bytes were put in order. A chunk of answers comes after the requests that it
/// acknowledges, as far as they will come.
protocol StreamReader: AnyObject {
    func hear(request chunk: TCPStream<Origin>.Chunk) -> [Told]
    func hear(answer chunk: TCPStream<Origin>.Chunk) -> [Told]
    /// This many bytes of the guest's will not be seen: go on at a message's beginning.
    func missed(requestBytes: Int, at now: Instant) -> [Told]
    func missed(answerBytes: Int, at now: Instant) -> [Told]
    /// Nothing follows from that side. `.forgotten` comes last, always: what waits is told without an answer.
    func ended(_ end: StreamEnd, at now: Instant) -> [Told]
    /// Tells without an answer what has waited for long enough.
    func tick(at now: Instant) -> [Told]
    /// When `tick` will have something to do.
    var deadline: Instant? { get }
    /// Bytes held back, roughly.
    var footprint: Int { get }
    /// False: nothing is to be heard here any more, the stream need not be copied.
    var isListening: Bool { get }
    /// What came up since it was last taken.
    func takeCounts() -> ReaderCounts
}

enum StreamEnd {
    /// The guest's side is finished, the registry's, or both at once by a reset.
    case guest, registry, reset
    /// Nobody listens any more, the connection may well go on: nothing is said to have ended.
    case forgotten
}

struct ReaderCounts {
    var messages = 0
    var parseErrors = 0
    /// Thrown away until a message began.
    var skippedBytes = 0
}

/// An advertisement, and the frame that brought its request.
struct Told {
    var advertisement: Advertisement
    var guest: IPAddress
    var registry: RegistryPlace
    var origin: Origin
    /// When the registry's answer passed, or its absence was accepted.
    var time: Instant
}

/// What is to be known of the frame that brought a request.
struct Origin {
    var mac: MACAddress
    var hopLimit: UInt8 = 0
    /// The caller's tag of the port.
    var port: UInt32
    var time: Instant
}

/// Where a registry stands: what is remembered of one must not be taken for another's.
struct RegistryPlace: Hashable {
    var network: NetworkID
    var address: IPAddress
    var port: UInt16
    /// Whoever speaks there; the place is the same for all.
    var guest: IPAddress?

    /// In whose share it is remembered.
    struct Holder: Hashable {
        var network: NetworkID
        var guest: IPAddress?
    }
    var holder: Holder { Holder(network: network, guest: guest) }

    init(network: NetworkID, address: IPAddress, port: UInt16, guest: IPAddress? = nil) {
        self.network = network
        self.address = address
        self.port = port
        self.guest = guest
    }

    /// Where a guest's connection leads to.
    init(of connection: FiveTuple) {
        self.init(
            network: connection.network, address: connection.destination, port: connection.destinationPort,
            guest: connection.source)
    }

    static func == (a: Self, b: Self) -> Bool {
        a.network == b.network && a.address == b.address && a.port == b.port
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(network)
        hasher.combine(address)
        hasher.combine(port)
    }
}

/// A name that means something at one place only: what is remembered by names is remembered by these.
struct PlacedName: Hashable {
    var place: RegistryPlace
    var name: String
}
