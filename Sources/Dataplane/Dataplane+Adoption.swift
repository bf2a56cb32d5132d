internal import BPFRuntime
internal import CRemoraABI
internal import Model

extension Dataplane {
    /// Takes over what an earlier run pinned: proxies with their slots, and what leads to them. It all stays in force;
    /// `apply` compares it with what is wanted, and `remove` takes what is not. What cannot be read is swept.
    func adopt() throws(DataplaneError) {
        let services = directory / Self.servicesDirectory
        for network in services.entries() {
            guard let number = PinName(escaped: network)?.name.flatMap({ UInt16($0) }) else { continue }
            let parent = services / PinName(escaped: network)!
            for entry in parent.entries() { adopt(entry, of: NetworkID(number), in: parent) }
        }
        try during("read back the frontends") { () throws(BPFError) in
            try adoptFrontends()
            try sweepSlots()
        }
        try during("forget an earlier run's probes") { () throws(BPFError) in
            for key in try maps.probes.keys() { try maps.probes.remove(key) }
            for key in try maps.probes6.keys() { try maps.probes6.remove(key) }
        }
    }

    private func adopt(_ entry: String, of network: NetworkID, in parent: PinDirectory) {
        let pins = PinDirectory(parent.file(entry))
        guard let name = PinName(escaped: entry)?.name, let proxy = try? LoadedProxy(pinned: pins) else {
            try? pins.remove()  // half written, or another version's
            return
        }
        let id = ProxyID(network: network, name: name)
        var services: [ServiceID] = []
        for slot in proxy.slots {
            guard let raw = try? maps.services[slot] else { continue }
            let service = ServiceID(
                network: NetworkID(raw.network), namespace: text(raw.namespace_name), name: text(raw.name))
            guard slots.adopt(slot, for: service) else { continue }
            serviceSlots[service] = slot
            slotOwner[slot] = id
            services.append(service)
        }
        proxies[id] = Loaded(proxy: proxy, services: services, spec: nil)
    }

    private func adoptFrontends() throws(BPFError) {
        for raw in try maps.frontends.keys() {
            guard let value = try maps.frontends[raw] else { continue }
            guard let owner = slotOwner[value.service] else {
                try maps.frontends.remove(raw)
                continue
            }
            frontends.adopt(FrontendKey(raw), owner: owner.description, slot: value.service, value: value)
        }
        for raw in try maps.vips.keys() {
            guard let slot = try maps.vips[raw] else { continue }
            guard let owner = slotOwner[slot] else {
                try maps.vips.remove(raw)
                continue
            }
            vips.adopt(AddressKey(raw), owner: owner.description, slot: slot, value: slot)
        }
        // which proxy put a neighbour there is not written down: `apply` writes them all again
        let addresses = Set(frontends.keys.map { AddressKey(network: $0.network, address: $0.address) })
        for raw in try maps.neighbours.keys() where !addresses.contains(AddressKey(raw)) {
            try maps.neighbours.remove(raw)
        }
    }

    /// Slots that no pinned proxy answers for.
    private func sweepSlots() throws(BPFError) {
        for slot in try maps.services.keys() where slotOwner[slot] == nil {
            try maps.proxies.remove(slot)
            try maps.services.remove(slot)
        }
    }
}
