internal import Model

/// How long it takes from a registry's yes to a verdict, and to a proxy that carries packets.
struct Readiness {
    private var yes: [InstanceID: UInt64] = [:]
    private static let most = 4096
    private var unjudged: [InstanceID: UInt64] = [:]
    /// Milliseconds, the newest last.
    private(set) var recent: [Double] = []
    private(set) var recentVerdicts: [Double] = []
    private var ofProxy: [ProxyID: Double] = [:]

    /// The registry's answer passed at this time (CLOCK_MONOTONIC, nanoseconds).
    mutating func registered(_ instance: InstanceID, at time: UInt64, isNew: Bool) {
        if yes.count < Self.most, yes[instance] == nil { yes[instance] = time }
        if isNew, unjudged.count < Self.most, unjudged[instance] == nil { unjudged[instance] = time }
    }

    /// It has its first verdict that is not `unknown`.
    mutating func judged(_ instance: InstanceID, at now: UInt64) {
        guard let time = unjudged.removeValue(forKey: instance), now > time else { return }
        recentVerdicts.append(Double(now - time) / 1_000_000)
        if recentVerdicts.count > 1024 { recentVerdicts.removeFirst(512) }
    }

    /// The proxy carries packets; how long its first instance has waited, in milliseconds.
    mutating func carries(_ spec: ProxySpec, at now: UInt64) -> Double? {
        var longest: Double?
        for backend in spec.services.flatMap(\.backends) {
            let instance = backend.instance(in: spec.id.network)
            guard let time = yes.removeValue(forKey: instance), now > time else { continue }
            longest = max(longest ?? 0, Double(now - time) / 1_000_000)
        }
        guard let longest else { return nil }
        recent.append(longest)
        if recent.count > 1024 { recent.removeFirst(512) }
        if ofProxy.count < Self.most { ofProxy[spec.id] = ofProxy[spec.id] ?? longest }
        return longest
    }

    func milliseconds(of proxy: ProxyID) -> Double? { ofProxy[proxy] }
    mutating func forget(_ proxy: ProxyID) { ofProxy[proxy] = nil }
    /// It will not be carried: refused, a container, gone.
    mutating func forget(_ instance: InstanceID) { yes[instance] = nil }
}
