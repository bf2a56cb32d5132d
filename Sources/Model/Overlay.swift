/// What wraps frames of an overlay network in UDP.
public enum Encapsulation: String, Codable, Sendable, CaseIterable {
    /// RFC 7348
    case vxlan
    /// RFC 8926
    case geneve

    /// As IANA assigned it.
    public var defaultPort: UInt16 { self == .vxlan ? 4789 : 6081 }
}

/// One virtual network of an overlay, as its frames name it.
public struct OverlaySegment: Hashable, Sendable, Codable, CustomStringConvertible {
    public var encapsulation: Encapsulation
    /// UDP port that the frames are sent to.
    public var port: UInt16
    /// Virtual network identifier, 24 bits.
    public var vni: UInt32

    public init(encapsulation: Encapsulation, port: UInt16, vni: UInt32) {
        self.encapsulation = encapsulation
        self.port = port
        self.vni = vni
    }

    public var description: String { "\(encapsulation.rawValue) \(vni) (UDP port \(port))" }
}
