/// One direction of a TCP connection within a network.
public struct FiveTuple: Hashable, Sendable, CustomStringConvertible {
    public let network: NetworkID
    public let source: IPAddress
    public let sourcePort: UInt16
    public let destination: IPAddress
    public let destinationPort: UInt16

    public init(
        network: NetworkID, source: IPAddress, sourcePort: UInt16, destination: IPAddress, destinationPort: UInt16
    ) {
        self.network = network
        self.source = source
        self.sourcePort = sourcePort
        self.destination = destination
        self.destinationPort = destinationPort
    }

    public var reversed: FiveTuple {
        FiveTuple(
            network: network, source: destination, sourcePort: destinationPort, destination: source,
            destinationPort: sourcePort)
    }

    public var description: String { "\(source) \(sourcePort) > \(destination) \(destinationPort) tcp" }
}
