/// Features of network hardware that may forward, end or merge packets before or beside the hooks.
enum Offload: String, CaseIterable {
    // by the kernel's names, as `ethtool -k` prints them
    case tcRules = "hw-tc-offload"
    case macvlan = "l2-fwd-offload"
    case tlsConnections = "tls-hw-record"
    case mergedFrames = "rx-lro"
    case hardwareGRO = "rx-gro-hw"
    case ipsec = "esp-hw-offload"
    case tlsSend = "tls-hw-tx-offload"
    case tlsReceive = "tls-hw-rx-offload"
    case macsec = "macsec-hw-offload"

    /// What it keeps from the hooks; nil: nothing that matters to them.
    var hides: String? {
        switch self {
        case .tcRules: "flows whose tc or Open vSwitch rules go into the hardware are forwarded there, past the hooks"
        case .macvlan: "the hardware hands frames straight to macvlan devices, past the hooks"
        case .tlsConnections: "the hardware ends whole TLS connections: their packets never reach the hooks"
        case .mergedFrames: "the hardware merges frames that cannot be split again where they are forwarded"
        case .hardwareGRO, .ipsec, .tlsSend, .tlsReceive, .macsec: nil
        }
    }

    /// What ethtool calls it when it sets it.
    var setting: String { self == .mergedFrames ? "lro" : rawValue }
}
