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
        self.init(
            registries.map { registry in
                let dialects = registry.kinds.flatMap(\.dialects).map { type in
                    let dialect = instances[ObjectIdentifier(type)] ?? type.init()
                    instances[ObjectIdentifier(type)] = dialect
                    return dialect
                }
                return (registry.address, registry.port, dialects)
            })
    }

    init(_ posts: [(address: IPAddress?, port: UInt16, dialects: [any Dialect])]) {
        var spoken: [Place: [any Dialect]] = [:]
        var all: [any Dialect] = []
        for post in posts {
            let place = Place(address: post.address, port: post.port)
            for dialect in post.dialects {
                if !all.contains(where: { $0 === dialect }) { all.append(dialect) }
                // The same place may stand there twice.
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
