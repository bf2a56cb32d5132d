public import Model

extension Fleet {
    public struct Settings: Sendable {
        /// What a proxy carries: one service, or all services that the same VMs offer.
        public enum Grouping: String, Codable, Sendable, CaseIterable { case service, vm }

        public var mode: Mode = .observe
        public var grouping: Grouping = .service
        /// Where VIPs are chosen from; a network that is absent gets none.
        public var vipRanges: [NetworkID: IPv4Prefix] = [:]
        /// Senders that may register addresses other than their own.
        public var registrars: Set<IPAddress> = []
        /// How long established connections to a deregistered instance may go on.
        public var drain: Duration = .seconds(30)
        /// After a start nothing restored lapses before this, or one lease time where that is longer.
        public var restoreGrace: Duration = .seconds(10)

        /// Without probes the role of the port where an instance's own frames were seen decides.
        public var probing = true
        /// Between two liveness probes of a VM's instance; nil: none once its verdict stands.
        public var liveness: Duration? = .seconds(30)
        /// So many silent probes in a row, and the instance is dead.
        public var livenessFailures = 3
        /// Before a silent probe is repeated; doubled each time, up to `probeRetryMaximum`.
        public var probeRetry: Duration = .milliseconds(500)
        public var probeRetryMaximum: Duration = .seconds(30)
        /// How much older than an instance the container list may be and still speak about it.
        public var containerListMaxAge: Duration = .seconds(60)
        /// Only a list that was made since may say that it does not hold an instance.
        public var containerListConfirms = false
        /// Something beside the list tells containers from others: ranges or overlays.
        public var containerNetworkKnown = false
        /// Who answered ARP for an address is believed for so long.
        public var neighbourLife: Duration = .seconds(600)
        /// How long an instance that died or let its lease lapse is remembered.
        public var forget: Duration = .seconds(600)

        /// An instance that went away more often than this within a minute waits for a minute when it comes back.
        public var flapLimit = 3

        public var instancesPerPort = 256
        public var servicesPerPort = 128
        /// Of a port to the fabric, where registrars and other nodes' guests speak.
        public var instancesPerUplink = 8192
        public var servicesPerUplink = 4096
        public var instances = 20000
        public var holdersPerInstance = 8
        /// Backends of one proxy program: no service has more, and no more are put together in one.
        public var backendsPerProxy = 256
        /// Of one service, behind one port: nobody fills another's service.
        public var backendsPerPort = 128
        public var servicesPerProxy = 64
        public var workloadsPerPort = 256
        /// Services that one workload is remembered to have asked for, and for how long.
        public var callsPerWorkload = 16
        public var callsRemembered: Duration = .seconds(3600)
        /// How long a workload is remembered that asks for nothing any more.
        public var workloadsRemembered: Duration = .seconds(86_400)
        public var refusalsPerPort = 64
        /// VIPs kept for services that are gone.
        public var idleVIPs = 1024

        public init() {}

        /// Longest service name, namespace and registration id, in bytes of UTF-8.
        static let longestName = 255
        static let longestRegistration = 1024
        /// In one explanation.
        static let callersTold = 16
        static let longestLeaseName = 128
        /// Of those that one registration lists.
        static let addressesRead = 16
        /// Whoever answers for an address that is new for so long may be its owner.
        static let settling: Duration = .seconds(5)
        static let flapWindow: Duration = .seconds(60)
        /// Instances whose departures are remembered.
        static let remembered = 4096
        /// Addresses that said something from elsewhere.
        static let waiting = 256
        /// Checks of one registration, beside those that are named after it.
        static let checksPerHolder = 8
        /// Changes that a port may make at once, at least; and when it has all of them back.
        static let leastBurst = 512
        static let burstRegained: Duration = .seconds(30)
        /// A lease longer than ten years is for ever, and cannot overflow a deadline.
        static let longestLease = 315_360_000
    }
}
