import Model

/// Evidence in words, for `remora explain`.
extension Classifier {
    static func sentence(for heard: Place) -> String {
        let seen = "its own frames came in by \(heard.port) from \(heard.mac)"
        return switch heard.role {
        case .vm: "\(seen), a port that leads to a VM"
        case .container: "\(seen), a port that leads to the container network"
        case .mixed: "\(seen), whose role is mixed: no evidence"
        case .uplink: "\(seen), an uplink: no evidence"
        }
    }

    static func sentence(for match: ContainerList.Match) -> String {
        switch match {
        case .address(let address): "\(address) is on the container list"
        case .socket(let address, let port):
            if case .v6 = address {
                "[\(address)]:\(port) is on the container list"
            } else {
                "\(address):\(port) is on the container list"
            }
        case .service: "the service is on the container list"
        case .range(let range): "its address is in the container range \(range)"
        }
    }

    static func sentence(for probe: ProbeResult) -> String {
        switch probe {
        case .silent: return "a probe got no answer"
        case .notSent(let why): return "no probe was sent: \(why)"
        case .answered(let place, let open, let hopLimit):
            let answer =
                "a probe was answered (\(open ? "open" : "closed"), hop limit \(hopLimit)) by \(place.port) "
                + "from \(place.mac)"
            return switch place.role {
            case .vm: "\(answer), a port that leads to a VM"
            case .container: "\(answer), a port that leads to the container network"
            case .mixed: "\(answer), whose role is mixed"
            case .uplink: "\(answer), an uplink: it is not attached here"
            }
        }
    }
}
