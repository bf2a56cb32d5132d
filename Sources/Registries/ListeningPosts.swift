import Model

/// Where is listened, and what may be spoken there. A dialect has one instance, which serves all its registries.
struct ListeningPosts {
    private struct Place: Hashable {
        var address: IPAddress?
        var port: UInt16
    }

    let dialects: [any Dialect]
    let datagramDialects: [any DatagramDialect]
    private let places: [Place: AllowedDialects]

    init(at registries: [RegistryEndpoint]) {
        var instances: [ObjectIdentifier: any Dialect] = [:]
        var spoken: [Place: [any Dialect]] = [:]
        var all: [any Dialect] = []
        for registry in registries {
            for type in registry.kinds.flatMap(\.dialects) {
                let id = ObjectIdentifier(type)
                let dialect = instances[id] ?? type.init()
                if instances.updateValue(dialect, forKey: id) == nil { all.append(dialect) }
                let place = Place(address: registry.address, port: registry.port)
                if spoken[place]?.contains(where: { $0 === dialect }) != true {
                    spoken[place, default: []].append(dialect)
                }
            }
        }
        dialects = all
        datagramDialects = all.compactMap { $0 as? any DatagramDialect }
        places = spoken.mapValues(AllowedDialects.init)
    }

    /// What was named with the address goes before what was named for the port alone.
    func at(_ address: IPAddress, _ port: UInt16) -> AllowedDialects? {
        places[Place(address: address, port: port)] ?? places[Place(address: nil, port: port)]
    }

    func isStream(at address: IPAddress, _ port: UInt16) -> Bool { at(address, port)?.speaksStreams == true }
}
