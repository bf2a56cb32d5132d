internal import Dataplane
internal import Model
internal import Registries

/// The registries: where they are listened to, what was heard of them, and what cannot be.
extension Engine {
    func registryViews() -> [RegistryView] {
        config.endpoints.map { endpoint in
            func isThere(_ address: IPAddress, _ port: UInt16) -> Bool {
                port == endpoint.port && (endpoint.address ?? address) == address
            }
            let heard = listening.places.filter { isThere($0.key.address, $0.key.port) }
            let encrypted = listening.encrypted.filter { isThere($0.key.address, $0.key.port) }
            return RegistryView(
                kinds: endpoint.kinds.map(\.rawValue), address: endpoint.address, port: endpoint.port,
                transports: endpoint.transports.sorted { $0.rawValue < $1.rawValue },
                heard: heard.sorted { $0.value.latest > $1.value.latest }.map { place, heard in
                    HeardRegistryView(
                        network: place.network, address: place.address, events: heard.events, seen: heard.latest)
                },
                encrypted: encrypted.sorted { $0.value.since < $1.value.since }.map { registry, found in
                    EncryptedRegistryView(
                        network: registry.network, address: registry.address, guest: registry.guest,
                        connections: found.connections, since: found.since, seen: found.latest)
                })
        }
    }

    func noteEncrypted() {
        for registry in ear.takeEncrypted() where listening.found(registry, at: clock.now) {
            log.info("\(registry.guest) speaks TLS with the registry at \(registry.place): nothing is heard of it")
        }
    }

    /// What is known of the registry at this address, or address:port.
    func registryExplanations(_ subject: String) -> [ExplanationView] {
        var facts: [String: [String]] = [:]
        for (place, heard) in listening.places where Self.isMeant(subject, place.address, place.port) {
            facts[place.text, default: []].append("\(heard.events) events were heard of it in network \(place.network)")
        }
        var closed: Set<String> = []
        for (registry, found) in listening.encrypted where Self.isMeant(subject, registry.address, registry.port) {
            closed.insert(registry.place)
            facts[registry.place, default: []].append(sentence(registry, found))
        }
        return facts.sorted { $0.key < $1.key }.map { place, facts in
            ExplanationView(
                subject: "registry \(place)",
                summary: closed.contains(place)
                    ? "some of what is said there is encrypted and cannot be heard: it must be asked instead, so declare "
                        + "the services of these guests (remora apply)" : "it is listened to",
                facts: facts.sorted())
        }
    }

    /// Why something may not be known: guests whose registrations cannot be heard.
    func encryptionFacts(of guest: IPAddress, in network: NetworkID) -> [String] {
        listening.encrypted.filter { $0.key.guest == guest && $0.key.network == network }.map(sentence).sorted()
    }

    /// For a service of which nothing was heard.
    var encryptionRemedy: String? {
        guard let (registry, found) = listening.encrypted.max(by: { $0.value.latest < $1.value.latest }) else {
            return nil
        }
        return "it may be registered where nothing can be heard: " + sentence(registry, found)
    }

    private func sentence(_ registry: EncryptedRegistry, _ found: Listening.Encrypted) -> String {
        let seconds = max(0, (clock.now - found.since).milliseconds / 1000)
        return "the registry at \(registry.place) is encrypted for guest \(registry.guest), first seen "
            + "\(seconds) s ago, connections so far: \(found.connections). What it registers there must be declared"
    }

    private static func isMeant(_ subject: String, _ address: IPAddress, _ port: UInt16) -> Bool {
        subject == address.description || subject == endpointText(address, port)
    }

    var registryEvents: [MetricsSnapshot.RegistryEvents] {
        listening.events.map { event, count in
            MetricsSnapshot.RegistryEvents(
                registry: event.registry, op: event.op.rawValue,
                accepted: event.accepted.map { $0 ? "yes" : "no" } ?? "unseen", count: count)
        }.sorted { ($0.registry, $0.op, $0.accepted) < ($1.registry, $1.op, $1.accepted) }
    }

    var registryTroubles: [MetricsSnapshot.RegistryTrouble] {
        ear.troubles.sorted { $0.key < $1.key }.flatMap { registry, trouble in
            [
                ("gaps", trouble.gaps), ("skipped_bytes", trouble.skippedBytes), ("unreadable", trouble.unreadable),
                ("tls_streams", trouble.tlsStreams),
            ].map { .init(registry: registry, kind: $0, count: UInt64($1)) }
        }
    }

    var earCounters: [String: UInt64] {
        let counters = ear.counters
        return [
            "frames": UInt64(counters.frames), "other_frames": UInt64(counters.otherFrames),
            "streams": UInt64(counters.streams), "gaps": UInt64(counters.gaps),
            "skipped_bytes": UInt64(counters.skippedBytes), "messages": UInt64(counters.messages),
            "parse_errors": UInt64(counters.parseErrors), "tls_streams": UInt64(counters.tlsStreams),
            "ignored_streams": UInt64(counters.ignoredStreams), "evicted": UInt64(counters.evicted),
            "advertisements": UInt64(counters.advertisements),
        ]
    }
}

private func endpointText(_ address: IPAddress, _ port: UInt16) -> String {
    if case .v6 = address { return "[\(address)]:\(port)" }
    return "\(address):\(port)"
}

extension Listening.Place {
    var text: String { endpointText(address, port) }
}

extension EncryptedRegistry {
    fileprivate var place: String { endpointText(address, port) }
}
