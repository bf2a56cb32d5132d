internal import Model
internal import Registries

/// The sections of a configuration, and how they must fit each other.
extension Config {
    static func keys(of section: String) -> [String] { keys.first { $0.key == section }?.value ?? [] }

    // MARK: networks

    mutating func readNetworks(_ section: YAMLSection) {
        guard section.has("networks") else { return }
        var read: [Network] = []
        for inner in section.sections("networks", keys: Self.keys(of: "networks"), most: 1024) {
            guard let network = readNetwork(inner) else { continue }
            if let other = read.first(where: { $0.id == network.id }) {
                inner.problem("\(network.id) is the number of network '\(other.name)' already", "id")
            }
            if read.contains(where: { $0.name == network.name }) {
                inner.problem("a network '\(network.name)' stands above already", "name")
            }
            read.append(network)
        }
        if read.isEmpty { section.problem("names no network", "networks") }
        networks = read.isEmpty ? networks : read.sorted { $0.id < $1.id }
    }

    private func readNetwork(_ section: YAMLSection) -> Network? {
        if !section.has("name") { section.missing("name", "what ports and documents call it") }
        if !section.has("id") { section.missing("id", "a number from 0 to 65535 that stays the same") }
        let name = section.string("name")
        if let name, !(1...63).contains(name.utf8.count) { section.problem("must have 1 to 63 bytes", "name") }
        let id = section.integer("id", in: 0...Int(UInt16.max)).map { NetworkID(UInt16($0)) }
        let vips: IPv4Prefix? = section.value("vips", "IPv4 range whose host bits are zero, such as 10.88.255.0/24")
        if let vips { checkRange(vips, in: section) }
        let probeSource: IPv4Address? = section.value("probeSource", "IPv4 address")
        if let probeSource {
            if !probeSource.isUnicast { section.problem("\(probeSource) is no address of a host", "probeSource") }
            if vips?.contains(probeSource) == true {
                section.problem("\(probeSource) lies in the VIP range \(vips?.description ?? "")", "probeSource")
            }
        }
        guard let name, let id else { return nil }
        var network = Network(name: name, id: id, vips: vips, probeSource: probeSource)
        network.probeSource6 = section.value("probeSource6", "IPv6 address")
        return network
    }

    /// Windows drops 240.0.0.0/4, and every guest has its own 127.0.0.0/8.
    private func checkRange(_ vips: IPv4Prefix, in section: YAMLSection) {
        let last = IPv4Address(bits: vips.address.bits | ~(vips.length == 0 ? 0 : ~0 << (32 - UInt32(vips.length))))
        if vips.length > Self.longestVIPPrefix {
            section.problem(
                "\(vips) is too small: /\(Self.longestVIPPrefix) is the smallest range that holds services", "vips")
        } else if vips.length < Self.shortestVIPPrefix {
            section.problem("\(vips) is too large: /\(Self.shortestVIPPrefix) is the largest range", "vips")
        } else if !vips.address.isUnicast || !last.isUnicast {
            section.problem("\(vips) holds addresses that no guest can route to", "vips")
        }
    }
    static let longestVIPPrefix = 29
    static let shortestVIPPrefix = 8

    // MARK: ports

    /// Which of two rules holds for a device must never depend on their order.
    func checkOverlap(of port: Port, in section: YAMLSection, with earlier: [(Port, YAMLSection)]) {
        for (other, otherSection) in earlier where other.match.overlaps(port.match) {
            let line = otherSection.mark(of: "match")?.line ?? 0
            if other.match == port.match {
                section.problem("'\(port.match)' stands in line \(line) already", "match")
            } else if other.role != port.role {
                section.problem(
                    "'\(port.match)' (\(port.role.rawValue)) and '\(other.match)' (\(other.role.rawValue), line \(line)) "
                        + "can match the same device, and its role would be unclear", "match")
            } else if !other.sameSettings(as: port) {
                section.problem(
                    "'\(port.match)' and '\(other.match)' (line \(line)) can match the same device, with other settings",
                    "match")
            }
        }
    }

    // MARK: registries

    mutating func readRegistries(_ section: YAMLSection) {
        var read: [(RegistryEndpoint, line: Int)] = []
        for inner in section.sections("registries", keys: Self.keys(of: "registries"), most: 64) {
            let kinds = readKinds(inner)
            let key = inner.has("kinds") ? "kinds" : "kind"
            let places = RegistryEndpoint.places(
                of: kinds, address: inner.value("address", "IP address"),
                port: inner.integer("port", in: 1...65535).map { UInt16($0) })
            for place in places where !place.kinds.isEmpty {
                for (other, line) in read where other.address == place.address && other.port == place.port {
                    for kind in place.kinds where other.kinds.contains(kind) {
                        inner.problem("\(kind) at port \(place.port) stands in line \(line) already", key)
                    }
                }
                read.append((place, inner.mark(of: key)?.line ?? 0))
            }
        }
        registries = read.map(\.0)
    }

    /// One by `kind`, or several that may be spoken at the same port by `kinds`.
    private func readKinds(_ section: YAMLSection) -> [RegistryEndpoint.Kind] {
        let known = RegistryEndpoint.Kind.allCases
        if section.has("kind") && section.has("kinds") { section.problem("stands beside 'kind': one of them", "kinds") }
        guard section.has("kinds") else {
            if !section.has("kind") { section.missing("kind", known.map(\.rawValue).joined(separator: ", ")) }
            return section.choice("kind", of: RegistryEndpoint.Kind.self).map { [$0] } ?? []
        }
        var kinds: [RegistryEndpoint.Kind] = []
        for (text, mark) in section.strings("kinds", most: known.count) {
            guard let kind = RegistryEndpoint.Kind(rawValue: text) else {
                section.problems.add(
                    "\(section.name).kinds: unknown value '\(text)'"
                        + didYouMean(text, among: known.map(\.rawValue)), at: mark)
                continue
            }
            if kinds.contains(kind) {
                section.problems.add("\(section.name).kinds: '\(text)' stands there twice", at: mark)
            } else {
                kinds.append(kind)
            }
        }
        return kinds
    }

    // MARK: numbers

    mutating func readTuning(_ section: YAMLSection) {
        if let inner = section.section("proxies", keys: Self.keys(of: "proxies")) {
            proxies.per = inner.choice("per") ?? proxies.per
            proxies.drain = inner.duration("drain", in: .zero ... .seconds(86400)) ?? proxies.drain
            proxies.restoreGrace =
                inner.duration("restoreGrace", in: .zero ... .seconds(86400)) ?? proxies.restoreGrace
        }
        if let inner = section.section("flows", keys: Self.keys(of: "flows")) {
            flows.max = inner.integer("max", in: 1024...16_777_216) ?? flows.max
            flows.idle = inner.duration("idle", in: .seconds(10) ... .seconds(7 * 86400)) ?? flows.idle
            flows.halfOpen = inner.duration("halfOpen", in: .seconds(1) ... .seconds(300)) ?? flows.halfOpen
            flows.closed = inner.duration("closed", in: .seconds(1) ... .seconds(600)) ?? flows.closed
            flows.halfOpenPerPort = inner.integer("halfOpenPerPort", in: 16...1_048_576) ?? flows.halfOpenPerPort
        }
        readProbe(section)
        if let inner = section.section("limits", keys: Self.keys(of: "limits")) {
            limits.instancesPerPort =
                inner.integer("instancesPerPort", in: 1...20000) ?? limits.instancesPerPort
            limits.servicesPerPort = inner.integer("servicesPerPort", in: 1...16384) ?? limits.servicesPerPort
            limits.instances = inner.integer("instances", in: 1...200_000) ?? limits.instances
        }
    }
}

extension Config.Port {
    fileprivate func sameSettings(as other: Self) -> Bool {
        var copy = other
        copy.match = match
        return copy == self
    }
}
