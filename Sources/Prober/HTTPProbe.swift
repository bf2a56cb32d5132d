public import Model
public import Packets

/// The request that goes out on a connection that a probe's SYN opened.
public enum HTTPProbe {
    /// One request, in one segment, that asks for no body and for the connection's end (RFC 9110, 9.3.2; RFC 9112, 9.6).
    ///
    /// - Parameters:
    ///   - path: in visible ASCII, from its slash on.
    ///   - agent: who asks.
    public static func request(path: String, of instance: InstanceID, agent: String) -> [UInt8] {
        let host =
            switch instance.address {
            case .v4(let address): "\(address):\(instance.port)"
            case .v6(let address): "[\(address)]:\(instance.port)"
            }
        return Array(
            "HEAD \(path) HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: \(agent)\r\nConnection: close\r\n\r\n".utf8)
    }
}

/// A segment of such a connection, as the data path took it off the wire.
public struct ProbeSegment: Hashable, Sendable {
    public var key: ProbeKey
    public var sequence: UInt32
    public var acknowledged: UInt32
    public var flags: TCPHeader.Flags
    public var payload: [UInt8]
    public var place: Place
    public var hopLimit: UInt8
    /// When the kernel saw it come in: CLOCK_MONOTONIC, nanoseconds.
    public var time: UInt64

    public init(
        key: ProbeKey, sequence: UInt32, acknowledged: UInt32, flags: TCPHeader.Flags, payload: [UInt8] = [],
        place: Place, hopLimit: UInt8, time: UInt64 = 0
    ) {
        self.key = key
        self.sequence = sequence
        self.acknowledged = acknowledged
        self.flags = flags
        self.payload = payload
        self.place = place
        self.hopLimit = hopLimit
        self.time = time
    }

    /// Nil: the frame is no packet of TCP. A long one is cut where it was copied.
    public init?(
        _ bytes: UnsafeRawBufferPointer, network: NetworkID, place: Place, time: UInt64
    ) {
        guard let (ip, tcp) = Frame(bytes)?.tcp else { return nil }
        key = ProbeKey(
            network: network, protocolNumber: TransportProtocol.tcp.number, source: ip.source,
            sourcePort: tcp.sourcePort, destination: ip.destination, destinationPort: tcp.destinationPort)
        (sequence, acknowledged, flags) = (tcp.sequence, tcp.acknowledged, tcp.flags)
        payload = Array(bytes[tcp.payload].prefix(HTTPSession.most))
        (self.place, hopLimit, self.time) = (place, ip.hopLimit, time)
    }
}

/// What a request was answered with.
public struct ProbeResponse: Hashable, Sendable {
    public enum Ending: Hashable, Sendable {
        /// The answer's first bytes, never none.
        case bytes([UInt8])
        case closed
        case silent
    }

    public var ending: Ending
    /// Nil: nothing came.
    public var place: Place?
    public var hopLimit: UInt8?
    /// From the request; nil: not known.
    public var microseconds: Int?
}
