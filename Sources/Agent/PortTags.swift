internal import Model

/// The numbers by which the ear hands a port's name back.
struct PortTags {
    private var names: [PortName] = []
    private var tags: [PortName: UInt32] = [:]

    mutating func tag(_ name: PortName) -> UInt32 {
        if let tag = tags[name] { return tag }
        let tag = UInt32(names.count)
        names.append(name)
        tags[name] = tag
        return tag
    }

    func name(_ tag: UInt32) -> PortName? { names.indices.contains(Int(tag)) ? names[Int(tag)] : nil }
}
