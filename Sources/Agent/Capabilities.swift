/// What a process may do beyond its user: capabilities(7).
struct Capabilities: Equatable {
    /// Bit numbers of linux/capability.h, which Glibc leaves out.
    enum Capability: Int, CaseIterable {
        case netAdmin = 12
        case netRaw = 13
        case sysAdmin = 21
        case perfmon = 38
        case bpf = 39

        var name: String {
            switch self {
            case .netAdmin: "CAP_NET_ADMIN"
            case .netRaw: "CAP_NET_RAW"
            case .sysAdmin: "CAP_SYS_ADMIN"
            case .perfmon: "CAP_PERFMON"
            case .bpf: "CAP_BPF"
            }
        }

        /// The kernel takes CAP_SYS_ADMIN for these too.
        var isPartOfAdmin: Bool { self == .bpf || self == .perfmon }
    }

    let bits: UInt64

    /// From the text of /proc/<pid>/status: the effective set.
    init?(status: String) {
        let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
        guard let word = line?.split(whereSeparator: \.isWhitespace).last, let bits = UInt64(word, radix: 16) else {
            return nil
        }
        self.bits = bits
    }

    func holds(_ one: Capability) -> Bool {
        bits >> UInt64(one.rawValue) & 1 == 1 || one.isPartOfAdmin && holds(.sysAdmin)
    }

    /// Of those that the agent needs.
    var missing: [Capability] { [.bpf, .netAdmin, .perfmon, .netRaw].filter { !holds($0) } }
}
