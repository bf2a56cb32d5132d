import Foundation
import Lab
import Testing

/// A guest whose programs talk with a registry beyond the uplink, and the agent between them, which listens to every
/// kind of registry at its usual ports.
final class Live {
    let bed: Bed
    /// Where the registry is.
    let server: Namespace
    static let address = "10.88.0.3"
    var guest: Bed.Machine { bed.machines[0] }

    init() throws {
        var settings = Remora.Settings()
        settings.registries = []
        bed = try Bed(machines: 1, settings: settings)
        server = try bed.site.addClient("registry", address: Self.address)
    }

    /// As DHCP does it. A guest without one speaks to no multicast group, and answers no probe from a link-local sender,
    /// which is who asks where no registry has an address of its own.
    func giveDefaultRoute() throws { try guest.namespace.ip("route add default via \(Live.address)") }

    /// Has a client in the guest register a web server there.
    /// - Parameter more: what its script takes beside the usual.
    func register(
        _ service: String, by script: String, _ more: [String] = [], at registry: String = Live.address,
        port: UInt16 = 80, tool: Tool = .clients
    ) throws -> RegistryClient {
        try RegistryClient(
            script, service, at: port, of: guest.address, with: registry, more: more, tool: tool, in: guest.namespace)
    }

    /// Registers a service of its own, which is renewed for seconds, waits until it is served, and ends its client
    /// without a word.
    /// - Parameter name: what it is shown as.
    /// - Returns: its VIP.
    func abandon(
        _ service: String, shown name: String? = nil, by script: String, _ more: [String] = [],
        at registry: String = Live.address, tool: Tool = .clients
    ) throws -> Endpoint {
        _ = try guest.namespace.serve(service, port: 8081)
        let client = try register(service, by: script, more, at: registry, port: 8081, tool: tool)
        let vip = try isServed(name ?? service, page: service)
        try client.vanish()
        return vip
    }

    /// Waits for the service's proxy, and for its page through the VIP. - Returns: the VIP.
    @discardableResult
    func isServed(
        _ service: String, page: String = "web-1", sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Endpoint {
        let vip = try bed.remora.waitForProxy(of: service, live: 1)
        #expect(try bed.pages(3, from: bed.alice, at: vip) == [page: 3], sourceLocation: sourceLocation)
        return vip
    }

    /// Waits until the service has no proxy, and its VIP does not answer.
    func isGone(
        _ service: String, _ vip: Endpoint, limit: Duration = .seconds(15),
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try bed.remora.waitForEnd(of: service, limit: limit)
        #expect(bed.isSilent(vip, to: bed.alice), "\(vip) of \(service)", sourceLocation: sourceLocation)
    }

    /// Waits until the guest is shown as one that is about to call "billing".
    func isCaller() throws {
        var last = JSON.null
        try wait(for: "\(guest.address) to be about to call billing", seen: "\(last)") {
            last = try bed.remora.ask("get", "workloads")
            return last.array.contains { $0["address"].string == guest.address && $0.mentions("billing") }
        }
    }
}

extension Trait where Self == ConditionTrait {
    /// Leaves a test out where one of these is missing, and says which and what to do.
    static func needs(_ tools: Tool...) -> Self {
        let lacking = tools.compactMap(\.lacking)
        return .enabled(if: lacking.isEmpty, "\(lacking.joined(separator: "; "))")
    }
}
