internal import Model
internal import Packets

/// A connection that a probe's SYN opened: one request, the head of its answer, and a reset. It is kept a while longer,
/// so that what is still under way ends here, too, and is reset in its turn (RFC 9293, 3.5.2).
struct HTTPSession {
    let target: ProbeTarget
    /// Where the connection was opened to.
    let asked: Place
    let key: ProbeKey
    let request: [UInt8]
    /// Of the request's first byte.
    let sequence: UInt32
    /// The guest's next byte.
    private(set) var expected: UInt32
    private(set) var isAcknowledged = false
    /// Nothing more is to come.
    private(set) var isAnswered = false
    private(set) var bytes: [UInt8] = []
    private(set) var response = ProbeResponse(ending: .silent)
    var triesLeft: Int
    var generation: UInt64 = 0
    var isOver = false
    private var resetsLeft = 8

    /// No more of an answer is kept: less than is copied of one segment.
    static let most = 2048

    init(
        _ target: ProbeTarget, at asked: Place, key: ProbeKey, request: [UInt8], sequence: UInt32, expected: UInt32,
        tries: Int
    ) {
        self.target = target
        self.asked = asked
        self.key = key
        self.request = request
        self.sequence = sequence
        self.expected = expected
        triesLeft = tries
    }

    private var next: UInt32 { sequence &+ UInt32(request.count) }

    /// ACK and request in one: the handshake ends with it.
    var requestFrame: ProbeFrame? {
        var segment = segment(.ack, sequence)
        segment.flags.insert(.psh)
        segment.acknowledged = expected
        segment.payload = request
        segment.window = UInt16(Self.most)
        return wrap(segment)
    }

    /// Where it is not known whether the request came through, one for each case: a guest believes only the exact number.
    var resetFrames: [ProbeFrame] {
        (isAcknowledged ? [next] : [next, sequence]).compactMap { wrap(segment(.rst, $0)) }
    }

    /// For what comes when it is over. Nil: enough of them were sent.
    mutating func resetFrame(for acknowledged: UInt32) -> ProbeFrame? {
        guard isOver, resetsLeft > 0 else { return nil }
        resetsLeft -= 1
        return wrap(segment(.rst, acknowledged))
    }

    private func segment(_ flags: TCPHeader.Flags, _ sequence: UInt32) -> TCPSegment {
        TCPSegment(from: target, port: key.destinationPort, sequence: sequence, flags: flags)
    }

    private func wrap(_ segment: TCPSegment) -> ProbeFrame? {
        segment.frame().map { ProbeFrame(ifindex: target.ifindex, bytes: $0) }
    }

    /// False: it belongs to no connection of ours.
    mutating func hear(_ segment: ProbeSegment, microseconds: Int?) -> Bool {
        guard segment.flags.contains(.ack), segment.acknowledged == next || segment.acknowledged == sequence else {
            return false
        }
        isAcknowledged = isAcknowledged || segment.acknowledged == next
        // What overtook another comes again: nothing of it was acknowledged.
        guard segment.sequence == expected, !segment.payload.isEmpty || segment.flags.contains(.fin) else {
            return true
        }
        bytes += segment.payload.prefix(Self.most - bytes.count)
        expected = expected &+ UInt32(truncatingIfNeeded: segment.payload.count)
        let isWhole = segment.flags.contains(.fin) || bytes.count == Self.most || !mayBeHTTP || hasHead
        response = ProbeResponse(
            ending: bytes.isEmpty ? .closed : .bytes(bytes), place: response.place ?? segment.place,
            hopLimit: response.hopLimit ?? segment.hopLimit, microseconds: response.microseconds ?? microseconds)
        isAnswered = isWhole
        return true
    }

    /// False: a reset that the guest did not send on this connection.
    mutating func hear(reset answer: ProbeAnswer, microseconds: Int?) -> Bool {
        guard answer.flags.contains(.rst), answer.sequence == expected else { return false }
        if response.place == nil {
            response = ProbeResponse(
                ending: .closed, place: answer.place, hopLimit: answer.hopLimit, microseconds: microseconds)
        }
        isAnswered = true
        return true
    }

    private var mayBeHTTP: Bool { zip(bytes, "HTTP/".utf8).allSatisfy { $0 == $1 } }
    /// An empty line ends the head (RFC 9112, 2.1).
    private var hasHead: Bool { bytes.contains(Array("\r\n\r\n".utf8)) || bytes.contains(Array("\n\n".utf8)) }
}

extension TCPSegment {
    init(from target: ProbeTarget, port: UInt16, sequence: UInt32, flags: TCPHeader.Flags) {
        self.init(
            sourceMAC: target.sourceMAC, destinationMAC: target.mac, source: target.source,
            destination: target.instance.address, sourcePort: port, destinationPort: target.instance.port,
            sequence: sequence, flags: flags)
        vlan = target.vlan
    }
}
