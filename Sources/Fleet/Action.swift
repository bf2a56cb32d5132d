public import Model

extension Fleet {
    /// What is to be done now, in this order: probes first (they are what the way to a proxy waits for), then records
    /// (what is loaded is on disk before), then loads, unloads, and purges (when no new flow can arise any more).
    public enum Action: Hashable, Sendable {
        /// Send a probe, and hand what came of it to `probed`.
        case probe(ProbeRequest)
        /// Write to the journal.
        case record(Record)
        /// This is what the proxy should be: load it, or bring the loaded one to it. A service that moves from one
        /// proxy to another is in the load of the new one before the old one's.
        case load(ProxySpec)
        case unload(ProxyID)
        /// The instance is dead: its flows go at once. There may be none.
        case purge(InstanceID)
    }

    public struct ProbeRequest: Hashable, Sendable {
        public var instance: InstanceID
        /// Where the address should answer; nil: not known, ask on every port of the network.
        public var place: Place?
        /// Whom the guest just spoke to: a sender that it has a route to.
        public var registry: IPAddress?
        /// Nothing came of a request over HTTP yet.
        public var mayRequest = true
        /// Its port answered before: only then is silence a failure, whatever its machine says.
        public var wasOpen = false
        /// Nothing waits for the answer: it is only asked whether it still lives.
        public var isRoutine = false

        public init(instance: InstanceID, place: Place?, registry: IPAddress?) {
            self.instance = instance
            self.place = place
            self.registry = registry
        }
    }
}

/// One address on one network.
struct HostID: Hashable, Sendable {
    let network: NetworkID
    let address: IPAddress
}
