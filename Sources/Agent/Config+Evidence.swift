public import Model

/// What tells containers from VMs, and how instances are asked.
extension Config {
    public struct Containers: Sendable, Hashable {
        /// The list of what the container platform holds.
        public var file: String?
        /// How much older than an instance the list may be and still speak about it.
        public var maxAge: Duration = .seconds(60)
        /// Only a list that was written or touched since may say that it does not hold an instance.
        public var confirm = false
        /// Pod and service ranges, whatever is listed.
        public var ranges: [IPPrefix] = []
        public var overlays: [Overlay] = []

        /// Is anything said of the container network beside the list?
        var isKnown: Bool { !ranges.isEmpty || !overlays.isEmpty }
    }

    /// An overlay that carries containers' frames.
    public struct Overlay: Sendable, Hashable {
        public var kind: Encapsulation
        public var port: UInt16
        /// Empty: all of them.
        public var vnis: [UInt32]

        func holds(_ segment: OverlaySegment) -> Bool {
            kind == segment.encapsulation && port == segment.port && (vnis.isEmpty || vnis.contains(segment.vni))
        }
    }

    public struct Probe: Sendable, Hashable {
        public var enabled = true
        public var timeout: Duration = .milliseconds(200)
        public var tries: Int = 2
        /// Between two probes of an instance that is carried; zero: none once its verdict stands.
        public var liveness: Duration = .seconds(30)
        /// Frames a second, out of all ports and out of one.
        public var rate: Int = 4000
        public var ratePerPort: Int = 400
        public var never: [IPPrefix] = []
        /// If there are any, nothing else is probed.
        public var only: [IPPrefix] = []
        /// Nil: nothing is asked over HTTP.
        public var http: HTTP?

        /// What is asked where a SYN was answered.
        public struct HTTP: Sendable, Hashable {
            /// Of instances: no other is asked.
            public var ports: Set<UInt16>
            public var path = "/"
        }
    }

    mutating func readContainers(_ section: YAMLSection) {
        guard let inner = section.section("containers", keys: Self.keys(of: "containers")) else { return }
        containers.file = inner.absolutePath("file")
        containers.maxAge = inner.duration("maxAge", in: .seconds(1) ... .seconds(365 * 86400)) ?? containers.maxAge
        containers.confirm = inner.flag("confirm") ?? containers.confirm
        if containers.confirm, containers.file == nil { inner.problem("stands without 'file'", "confirm") }
        containers.ranges = Self.prefixes("ranges", in: inner)
        for overlay in inner.sections("overlays", keys: Self.keys(of: "overlays"), most: 16) {
            if !overlay.has("kind") {
                overlay.missing("kind", Encapsulation.allCases.map(\.rawValue).joined(separator: ", "))
            }
            guard let kind = overlay.choice("kind", of: Encapsulation.self) else { continue }
            let port = overlay.integer("port", in: 1...65535).map { UInt16($0) } ?? kind.defaultPort
            var vnis: [UInt32] = []
            for (text, mark) in overlay.strings("vnis", most: 4096) {
                if let vni = UInt32(text), vni < 1 << 24 {
                    vnis.append(vni)
                } else {
                    overlay.problems.add("\(overlay.name).vnis: '\(text)' is no number from 0 to 16777215", at: mark)
                }
            }
            containers.overlays.append(Overlay(kind: kind, port: port, vnis: vnis))
        }
        if containers.file == nil, !containers.isKnown {
            inner.missing("file", "the list of what the container platform holds, or ranges, or overlays")
        }
    }

    mutating func readProbe(_ section: YAMLSection) {
        guard let inner = section.section("probe", keys: Self.keys(of: "probe")) else { return }
        probe.enabled = inner.flag("enabled") ?? probe.enabled
        probe.timeout = inner.duration("timeout", in: .milliseconds(10) ... .seconds(10)) ?? probe.timeout
        probe.tries = inner.integer("tries", in: 1...10) ?? probe.tries
        probe.liveness = inner.duration("liveness", in: .zero ... .seconds(86400)) ?? probe.liveness
        probe.rate = inner.integer("rate", in: 1...100_000) ?? probe.rate
        probe.ratePerPort = inner.integer("ratePerPort", in: 1...100_000) ?? probe.ratePerPort
        probe.never = Self.prefixes("never", in: inner)
        probe.only = Self.prefixes("only", in: inner)
        probe.http = inner.section("http", keys: Self.keys(of: "http")).flatMap(Self.http)
    }

    private static func http(_ section: YAMLSection) -> Probe.HTTP? {
        var ports: Set<UInt16> = []
        for (text, mark) in section.strings("ports", most: 64) {
            if let port = UInt16(text), port != 0 {
                ports.insert(port)
            } else {
                section.problems.add("\(section.name).ports: '\(text)' is no number from 1 to 65535", at: mark)
            }
        }
        if !section.has("ports") { section.missing("ports", "of the instances that speak HTTP, such as [80, 8080]") }
        var http = Probe.HTTP(ports: ports)
        guard let path = section.string("path") else { return http }
        if path.hasPrefix("/"), path.utf8.count <= longestPath, path.utf8.allSatisfy({ (0x21..<0x7f).contains($0) }) {
            http.path = path
        } else {
            section.problem(
                "'\(path)' is no path: a slash, and up to \(longestPath) visible characters of ASCII", "path")
        }
        return http
    }
    /// The request has to fit into one segment on any link.
    private static let longestPath = 255

    private static func prefixes(_ key: String, in section: YAMLSection) -> [IPPrefix] {
        section.strings(key, most: 4096).compactMap { text, mark in
            let prefix = IPPrefix(text)
            if prefix == nil {
                section.problems.add(
                    "\(section.name).\(key): '\(text)' is no range whose host bits are zero, such as 10.244.0.0/16",
                    at: mark)
            }
            return prefix
        }
    }
}
