import Model

/// What is written to the catalog itself, for a node that may be any: one entity at a time, or in a transaction.
extension Consul {
    static let mostOperations = 128

    func catalogRegistration(_ request: HTTPRequest) -> [Advertisement] {
        guard let fields = fields(request) else { return [] }
        guard let node = Bounds.name(fields.text("Node")) else {
            unreadable += 1
            return []
        }
        var told: [Advertisement] = []
        if let service = fields.object("Service").flatMap({ ConsulService($0, nameField: "Service") }) {
            told += entries(of: service, node: node, address: Bounds.address(fields.text("Address")))
        }
        let checks = [fields.object("Check")].compactMap { $0 } + fields.objects("Checks").prefix(Self.mostOperations)
        told += checks.compactMap { Self.state($0) }.map { state in
            var one = state
            one.node = state.node ?? node
            return one
        }
        let dc = Bounds.name(fields.text("Datacenter"))
        return told.map { one in
            var one = one
            one.dc = dc
            return one
        }
    }

    /// A service's own address, or its node's.
    private func entries(of service: ConsulService, node: String, address: String?) -> [Advertisement] {
        service.registrations().map { registration in
            var one = registration
            one.node = node
            // Ids need only be unique on their node: whoever reads them knows by the field.
            one.key = registration.key.map { "\(node)/\($0)" }
            guard registration.addressDefault != nil else { return one }
            one.address = address
            one.addressDefault = "node"
            return one
        }
    }

    func catalogDeregistration(_ request: HTTPRequest) -> [Advertisement] {
        guard let fields = fields(request) else { return [] }
        guard let node = Bounds.name(fields.text("Node")) else {
            unreadable += 1
            return []
        }
        let service = Bounds.name(fields.text("ServiceID"))
        // A check alone: no service ends with it.
        if service == nil, Bounds.name(fields.text("CheckID")) != nil { return [] }
        var told = end(of: service, node: node)
        told.dc = Bounds.name(fields.text("Datacenter"))
        told.namespace = Bounds.name(fields.text("Namespace"))
        told.partition = Bounds.name(fields.text("Partition"))
        return [told]
    }

    /// Of one service of the node, or of all that it has.
    private func end(of service: String?, node: String) -> Advertisement {
        var told = Advertisement(registry: Self.name, op: .deregister)
        told.node = node
        told.id = service
        return told
    }

    // MARK: - Transactions

    func transaction(_ request: HTTPRequest, _ place: RegistryPlace) -> [Advertisement] {
        guard let operations = request.body.flatMap({ Fields.list($0) }) else {
            unreadable += 1
            return []
        }
        var told: [Advertisement] = []
        for operation in operations.prefix(Self.mostOperations) {
            if let service = operation.object("Service") {
                told += self.operation(service: service)
            } else if let check = operation.object("Check"), Self.writes.contains(check.text("Verb") ?? "") {
                told += [check.object("Check").flatMap { Self.state($0) }].compactMap { $0 }
            } else if let node = operation.object("Node"), Self.deletes.contains(node.text("Verb") ?? ""),
                let name = Bounds.name(node.object("Node")?.text("Node"))
            {
                told.append(end(of: nil, node: name))
            }
        }
        if told.count > 1 { for index in told.indices { told[index].batch = true } }
        return told
    }

    private static let writes: Set<String> = ["set", "cas"]
    private static let deletes: Set<String> = ["delete", "delete-cas"]

    private func operation(service operation: Fields) -> [Advertisement] {
        guard let node = Bounds.name(operation.text("Node")), let fields = operation.object("Service"),
            let verb = operation.text("Verb")
        else { return [] }
        let id = Bounds.name(fields.text("ID"))
        if Self.deletes.contains(verb) { return id.map { [end(of: $0, node: node)] } ?? [] }
        if Self.writes.contains(verb) {
            return ConsulService(fields, nameField: "Service").map { entries(of: $0, node: node, address: nil) } ?? []
        }
        guard verb == "get" else { return [] }
        var told = Advertisement(registry: Self.name, op: .discover)
        told.service = Bounds.name(fields.text("Service"))
        told.id = id
        told.node = node
        return [told]
    }
}
