/// By what the answer to a probe is known where it comes in.
public struct ProbeKey: Hashable, Sendable, CustomStringConvertible {
    public let network: NetworkID
    public let protocolNumber: UInt8
    /// Who was asked.
    public let source: IPAddress
    public let sourcePort: UInt16
    /// In whose name.
    public let destination: IPAddress
    /// Of an echo: its identifier.
    public let destinationPort: UInt16

    /// ARP has no protocol number of its own: 0 stands for it, and its probes are sent in nobody's name.
    public static let arp: UInt8 = 0

    public init(
        network: NetworkID, protocolNumber: UInt8, source: IPAddress, sourcePort: UInt16 = 0, destination: IPAddress,
        destinationPort: UInt16 = 0
    ) {
        self.network = network
        self.protocolNumber = protocolNumber
        self.source = source
        self.sourcePort = sourcePort
        self.destination = destination
        self.destinationPort = destinationPort
    }

    public var description: String {
        "\(source) \(sourcePort) > \(destination) \(destinationPort) protocol \(protocolNumber)"
    }
}
