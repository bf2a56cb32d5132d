public import Model

/// An ARP probe (RFC 5227, 2.1.1): a request with sender address 0.0.0.0, which every host answers and none learns from.
public struct ARPProbe: Sendable {
    public var sender: MACAddress
    public var target: IPv4Address
    public var vlan: UInt16?
    /// Nil: to all, wherever it is.
    public var destination: MACAddress?

    public init(sender: MACAddress, target: IPv4Address, vlan: UInt16? = nil, destination: MACAddress? = nil) {
        self.sender = sender
        self.target = target
        self.vlan = vlan
        self.destination = destination
    }

    public var frame: [UInt8] {
        let tag: [UInt8] = vlan.map { [0x81, 0x00, UInt8($0 >> 8 & 0x0f), UInt8($0 & 0xff)] } ?? []
        let octets = (0..<4).map { UInt8(truncatingIfNeeded: target.bits >> (24 - 8 * UInt32($0))) }
        return (destination?.bytes ?? [UInt8](repeating: 0xff, count: 6)) + sender.bytes + tag + [0x08, 0x06]
            + [0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x01] + sender.bytes + [0, 0, 0, 0]
            + [0, 0, 0, 0, 0, 0] + octets
    }
}
