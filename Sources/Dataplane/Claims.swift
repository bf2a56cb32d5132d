internal import BPFRuntime

/// Entries of a shared map that more than one proxy may want: the first holds it, the next one gets it when that lets
/// go. So a second registration of an address cannot take it from the first, nor shed its policy.
struct Claims<Key: Hashable, Value: BitwiseCopyable> {
    struct Claim {
        var owner: String
        var slot: UInt32
        var value: Value
    }
    private var held: [Key: [Claim]] = [:]
    private var ofOwner: [String: Set<Key>] = [:]
    private let write: (Key, Value?) throws(BPFError) -> Void

    init(write: @escaping (Key, Value?) throws(BPFError) -> Void) { self.write = write }

    var count: Int { held.count }
    var keys: Dictionary<Key, [Claim]>.Keys { held.keys }
    func holder(of key: Key) -> Claim? { held[key]?.first }

    /// Before the kernel knows it: as read back, to be confirmed or withdrawn.
    mutating func adopt(_ key: Key, owner: String, slot: UInt32, value: Value) {
        held[key, default: []].append(Claim(owner: owner, slot: slot, value: value))
        ofOwner[owner, default: []].insert(key)
    }

    /// The same service (`slot`) keeps its place when it moves to another proxy (`owner`).
    mutating func set(_ key: Key, owner: String, slot: UInt32, value: Value) throws(BPFError) {
        var claims = held[key] ?? []
        let claim = Claim(owner: owner, slot: slot, value: value)
        let position = claims.firstIndex { $0.slot == slot }
        let unchanged = position == 0 && same(claims[0].value, value)
        let previous = position.map { claims[$0].owner }
        if let position { claims[position] = claim } else { claims.append(claim) }
        if !unchanged, position == 0 || claims.count == 1 { try write(key, value) }
        held[key] = claims
        if let previous, previous != owner { ofOwner[previous]?.remove(key) }
        ofOwner[owner, default: []].insert(key)
    }

    /// Lets go of what `owner` held and `keep` does not name.
    mutating func retain(_ keep: Set<Key>, owner: String) throws(BPFError) {
        for key in ofOwner[owner] ?? [] where !keep.contains(key) {
            var claims = held[key] ?? []
            let wasFirst = claims.first?.owner == owner
            claims.removeAll { $0.owner == owner }
            if wasFirst { try write(key, claims.first?.value) }
            held[key] = claims.isEmpty ? nil : claims
            ofOwner[owner]?.remove(key)
        }
        if ofOwner[owner]?.isEmpty == true { ofOwner[owner] = nil }
    }
}
