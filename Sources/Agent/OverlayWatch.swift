internal import Model
internal import Netlink
internal import Packets

/// Listens to the uplinks while probes are under way: does an answer come wrapped in the container network's overlay?
/// Sampled here, and not looked for in every packet by the port program: the question comes up once for an instance, and
/// the data path would pay for it for ever.
struct OverlayWatch {
    /// A late answer still tells.
    private static let window: Duration = .seconds(2)
    private let overlays: [Config.Overlay]
    private let ports: [UInt16: Encapsulation]
    private(set) var until: Instant?

    init(_ overlays: [Config.Overlay]) {
        self.overlays = overlays
        ports = Dictionary(overlays.map { ($0.port, $0.kind) }, uniquingKeysWith: { first, _ in first })
    }

    /// Nil: there is nothing to listen for, or it is listened already. Else what to open.
    mutating func begin(at now: Instant) -> [UInt16]? {
        guard !overlays.isEmpty else { return nil }
        defer { until = now + Self.window }
        return until == nil ? ports.keys.sorted() : nil
    }

    /// True: nobody has asked for a while, and the socket can be closed.
    mutating func isOver(at now: Instant) -> Bool {
        guard let until, until <= now else { return false }
        self.until = nil
        return true
    }

    /// Who answered inside one of the container network's overlays.
    func found(in bytes: UnsafeRawBufferPointer) -> (IPAddress, OverlaySegment)? {
        guard let frame = OverlayFrame(bytes, ports: ports),
            overlays.contains(where: { $0.holds(frame.segment) })
        else { return nil }
        return (frame.source, frame.segment)
    }
}
