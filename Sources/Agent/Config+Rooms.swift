internal import Dataplane
internal import Fleet
internal import Model
internal import Prober
internal import Registries

/// What the configuration means to each room.
extension Config {
    var endpoints: [RegistryEndpoint] {
        let named = registries.compactMap { registry in
            RegistryEndpoint.Kind(rawValue: registry.kind.rawValue).map {
                RegistryEndpoint(kind: $0, address: registry.address, port: registry.port)
            }
        }
        return named.isEmpty ? RegistryEndpoint.defaults : named
    }

    var fleetSettings: Fleet.Settings {
        var settings = Fleet.Settings()
        settings.mode = mode
        settings.grouping = proxies.per == .service ? .service : .vm
        for network in networks { settings.vipRanges[network.id] = network.vips }
        settings.registrars = Set(registrars)
        settings.drain = proxies.drain
        settings.probing = probe.enabled
        settings.instancesPerPort = limits.instancesPerPort
        settings.servicesPerPort = limits.servicesPerPort
        settings.instances = limits.instances
        return settings
    }

    var dataplaneSettings: Dataplane.Settings {
        Dataplane.Settings(
            node: node, bpffs: bpffs, flowCapacity: flows.max, halfOpenPerPort: flows.halfOpenPerPort,
            registries: endpoints.map { .init(address: $0.address, port: $0.port) })
    }

    var proberSettings: Prober.Settings {
        var settings = Prober.Settings()
        settings.timeout = probe.timeout
        settings.tries = probe.tries
        return settings
    }
}
