internal import Model

/// Evidence in words, for `remora explain`.
enum Sentences {
    private static func end(of role: PortRole) -> String {
        switch role {
        case .vm: ", a port that leads to a VM"
        case .container: ", a port that leads to the container network"
        case .mixed: ", whose role is mixed"
        case .uplink: ", an uplink"
        }
    }

    private static func place(_ place: Place) -> String {
        let tag = place.vlan.map { " in VLAN \($0)" } ?? ""
        return "\(place.port)\(tag) from \(place.mac)"
    }

    static func heard(_ heard: Place) -> String {
        let silent = heard.role == .mixed || heard.role == .uplink
        return "its own frames came in by \(place(heard))\(end(of: heard.role))" + (silent ? ": no evidence" : "")
    }

    static func listed(_ match: ContainerList.Match, stale: Bool) -> String {
        let sentence =
            switch match {
            case .address(let address): "\(address) is on the container list"
            case .socket(let address, let port): "\(socket(address, port)) is on the container list"
            case .service: "the service is on the container list"
            case .range(let range): "its address is in the container range \(range)"
            case .range6(let range): "its address is in the container range \(range)"
            }
        return sentence + (stale ? ", \(Self.stale)" : "")
    }

    static func unlisted(_ instance: InstanceID, but idle: String?) -> String {
        "neither \(instance.address) nor \(socket(instance.address, instance.port)) is on the container list"
            + (idle.map { ", \($0)" } ?? "")
    }

    static func service(stale: Bool, elsewhere: Bool) -> String {
        "the service is on the container list" + (elsewhere ? ", though its address is not" : "")
            + (stale ? ", \(Self.stale)" : "")
    }

    static let stale = "which was made too long before it came to tell"
    static let early = "which was made before it came"

    private static func socket(_ address: IPAddress, _ port: UInt16) -> String {
        if case .v6 = address { "[\(address)]:\(port)" } else { "\(address):\(port)" }
    }

    static func probe(_ probe: ProbeResult) -> String {
        switch probe {
        case .silent: return "a probe got no answer"
        case .notSent(let why): return "no probe was sent: \(why)"
        case .answered(let from, let open, let hops, _):
            return answer("a probe was answered (\(open ? "open" : "closed"), hop limit \(hops))", from)
        case .present(let from, let hops, _):
            return answer("its port was silent, and an echo was answered (hop limit \(hops))", from)
        }
    }

    private static func answer(_ what: String, _ from: Place) -> String {
        "\(what) by \(place(from))\(end(of: from.role))" + (from.role == .uplink ? ": it is not attached here" : "")
    }

    static func request(_ http: HTTPFinding, fromAnother: Bool) -> String {
        let by = http.place.map { " by \(place($0))" } ?? ""
        let what =
            switch http.outcome {
            case .answered(let status, let server, _):
                "HTTP answered \(status)\(by)" + (server.map { ", server \"\($0)\"" } ?? "")
            case .notHTTP: "a request over HTTP was answered\(by), not in HTTP/1"
            case .closed: "a request over HTTP was answered\(by) by the end of the connection"
            case .silent: "a request over HTTP got no answer"
            }
        return what + (fromAnother ? ": another machine than the one that took the connection" : "")
    }

    static func mesh(_ header: String) -> String {
        "its answer has the header \"\(header)\", which a mesh's proxy adds, as pods have one: weak evidence"
    }

    static func routed(_ what: String, by from: Place, _ hops: UInt8) -> String {
        "\(what) by \(from.port) with hop limit \(hops): a router stands before it, as a node does before its containers"
    }

    static func neighbour(_ from: Place, of address: IPAddress) -> String {
        "\(asks(address)) for \(address) is answered by \(place(from))\(end(of: from.role))"
    }

    static func rival(_ from: Place, of address: IPAddress, carried: Bool) -> String {
        "\(asks(address)) for \(address) is answered by \(place(from)), too: another machine"
            + (carried ? ", which takes nothing from it" : "")
    }

    private static func asks(_ address: IPAddress) -> String { address.v4 == nil ? "neighbour discovery" : "ARP" }

    static func overlay(_ segment: OverlaySegment) -> String {
        "its address was reached inside \(segment), an overlay of the container network"
    }

    static func shared(_ mac: MACAddress) -> String {
        "\(mac) answers for \(Classifier.manyAddresses) addresses or more, as a node does: weak evidence"
    }

    static func prefix(_ mac: MACAddress, _ name: String) -> String {
        "\(mac) begins like the addresses that \(name) gives: weak evidence"
    }

    static func localMAC(_ mac: MACAddress) -> String {
        "\(mac) is locally administered, as CNI's are among others: weak evidence"
    }
}
