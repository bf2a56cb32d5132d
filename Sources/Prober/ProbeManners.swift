public import Model

/// Whom nothing is ever sent to, whatever is registered.
public struct ProbeManners: Sendable {
    /// The NIC's own addresses, and the broadcast addresses of its networks.
    public var own: Set<IPAddress> = []
    public var broadcasts: Set<IPAddress> = []
    /// The operator's: addresses that are left alone, and, if there are any, the only ones that are not.
    public var never: [IPPrefix] = []
    public var only: [IPPrefix] = []

    public init() {}

    /// Nil: it may be probed.
    public func refusal(of address: IPAddress) -> String? {
        if !address.isUnicast { return "\(address) is no address of a host" }
        if own.contains(address) { return "\(address) is the NIC's own" }
        if broadcasts.contains(address) { return "\(address) is a broadcast address" }
        if never.contains(where: { $0.contains(address) }) { return "probe.never names \(address)" }
        if !only.isEmpty, !only.contains(where: { $0.contains(address) }) {
            return "probe.only does not name \(address)"
        }
        return nil
    }
}
