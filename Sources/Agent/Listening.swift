internal import Model
internal import Registries

/// What was heard of which registry, and which guests' conversations are closed to us. Bounded: a guest may talk to as
/// many places as it likes.
struct Listening {
    struct Place: Hashable {
        let network: NetworkID
        let address: IPAddress
        let port: UInt16
    }
    struct Event: Hashable {
        let registry: String
        let op: Advertisement.Operation
        /// Nil: its answer was not in view.
        let accepted: Bool?
    }
    struct Heard: Hashable {
        var events: UInt64 = 0
        var latest: Instant
    }
    struct Encrypted: Hashable {
        let since: Instant
        var latest: Instant
        var connections: UInt64 = 0
    }

    private static let most = 1024
    private(set) var events: [Event: UInt64] = [:]
    private(set) var places: [Place: Heard] = [:]
    private(set) var encrypted: [EncryptedRegistry: Encrypted] = [:]

    mutating func heard(_ said: Advertisement, in network: NetworkID, at now: Instant) {
        events[Event(registry: said.registry, op: said.op, accepted: said.accepted), default: 0] &+= 1
        guard let address = said.registryIp.flatMap({ IPAddress($0) }),
            let port = said.registryPort.flatMap(UInt16.init(exactly:))
        else { return }
        let place = Place(network: network, address: address, port: port)
        guard places[place] != nil || places.count < Self.most else { return }
        places[place, default: Heard(latest: now)].events &+= 1
        places[place]?.latest = now
    }

    /// True: this guest was not known to speak TLS with that registry.
    mutating func found(_ registry: EncryptedRegistry, at now: Instant) -> Bool {
        let isNew = encrypted[registry] == nil
        guard !isNew || encrypted.count < Self.most else { return false }
        encrypted[registry, default: Encrypted(since: now, latest: now)].connections &+= 1
        encrypted[registry]?.latest = now
        return isNew
    }
}
