/// Consul's own naming of checks that are registered with a service (agent/structs, CheckTypes): "service:ID", and
/// "service:ID:2" for the second of several.
public enum ConsulCheck {
    private static let prefix = "service:"

    public static func name(of service: String, number: Int?) -> String {
        prefix + service + (number.map { ":\($0)" } ?? "")
    }

    /// The ids of services that a check of this name may belong to, the whole first: an id may end in a number as well.
    /// Empty where the name is none of Consul's own.
    public static func services(named name: String) -> [String] {
        guard name.hasPrefix(prefix), name.utf8.count > prefix.utf8.count else { return [] }
        let whole = name.dropFirst(prefix.count)
        guard let colon = whole.lastIndex(of: ":"), colon > whole.startIndex,
            UInt16(whole[whole.index(after: colon)...]) != nil
        else { return [String(whole)] }
        return [String(whole), String(whole[..<colon])]
    }
}
