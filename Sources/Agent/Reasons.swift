internal import CRemoraABI

/// What can become of a packet: the ABI header's list, for people.
public struct Reason: Sendable, Hashable, Identifiable {
    public let id: UInt32
    /// As counters, metrics and the CLI print it.
    public let name: String
    public let text: String
    public let isDrop: Bool

    public static let all: [Reason] = (0..<UInt32(REMORA_REASON_COUNT.rawValue)).compactMap { code in
        guard let name = remora_reason_name(code), let text = remora_reason_text(code) else { return nil }
        return Reason(
            id: code, name: String(cString: name), text: String(cString: text),
            isDrop: isDrop(code))
    }

    public static func isDrop(_ code: UInt32) -> Bool { code >= REMORA_DROP_POLICY.rawValue }

    /// Of packets that were counted before, as handed on.
    public static func isAfterwards(_ code: UInt32) -> Bool { code == REMORA_DROP_KERNEL.rawValue }

    /// The reason's name; a code that this build does not know is printed as its number.
    public static func name(_ code: UInt32) -> String {
        all.indices.contains(Int(code)) ? all[Int(code)].name : "reason-\(code)"
    }
}
