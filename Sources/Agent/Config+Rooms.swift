internal import CRemoraABI
internal import Dataplane
internal import Fleet
internal import Model
internal import Prober
internal import Registries

/// What the configuration means to each room.
extension Config {
    var endpoints: [RegistryEndpoint] {
        registries.isEmpty ? RegistryEndpoint.defaults : registries
    }

    var fleetSettings: Fleet.Settings {
        var settings = Fleet.Settings()
        settings.mode = mode
        settings.grouping = proxies.per
        for network in networks { settings.vipRanges[network.id] = network.vips }
        settings.registrars = Set(registrars)
        settings.drain = proxies.drain
        settings.restoreGrace = proxies.restoreGrace
        settings.probing = probe.enabled
        settings.liveness = probe.liveness == .zero ? nil : probe.liveness
        settings.containerListMaxAge = containers.maxAge
        settings.containerListConfirms = containers.confirm
        settings.containerNetworkKnown = containers.isKnown
        settings.instancesPerPort = limits.instancesPerPort
        settings.servicesPerPort = limits.servicesPerPort
        settings.instances = limits.instances
        settings.backendsPerProxy = Int(REMORA_MAX_BACKENDS)
        settings.servicesPerProxy = Int(REMORA_MAX_PROXY_SERVICES)
        return settings
    }

    var dataplaneSettings: Dataplane.Settings {
        var settings = Dataplane.Settings(
            node: node, bpffs: bpffs, flowCapacity: flows.max, halfOpenPerPort: flows.halfOpenPerPort,
            registries: endpoints.map { .init(address: $0.address, port: $0.port, transports: $0.transports) })
        settings.httpProbe = probe.enabled && probe.http != nil
        return settings
    }

    var proberSettings: Prober.Settings {
        var settings = Prober.Settings()
        settings.timeout = probe.timeout
        settings.tries = probe.tries
        settings.jitter = probe.timeout / 8
        settings.rate = probe.rate
        settings.ratePerPort = probe.ratePerPort
        return settings
    }
}
