import Model
import Packets
import SwiftProtobuf

/// Nacos over gRPC, from version 2 on (https://nacos.io/en/docs/v2/plugin/client-plugin/): each call takes one payload,
/// which names the request and holds it as JSON. An ephemeral instance lives as long as the connection that registered
/// it, so it has no time to live of its own.
extension Nacos: GRPCDialect {
    private static let unary = "Request/request"
    /// By which the server pushes and the client acknowledges: nothing is asked for there.
    private static let stream = "BiRequestStream/requestBiStream"
    private static let deepest = 4
    private static let mostInstances = 256

    func knows(method: String) -> Bool { reads(method: method) || method.hasSuffix("/" + Self.stream) }

    func reads(method: String) -> Bool { method.hasSuffix("/" + Self.unary) }

    func began(_ connection: FiveTuple) { connections.forget(connection) }

    /// The server lets go of what the connection registered.
    func ended(_ connection: FiveTuple) -> [Advertisement] { ends(connections.end(connection)) }

    func settled(_ exchange: GRPCExchange, on connection: FiveTuple) -> [Advertisement] {
        guard let payload = Self.payload(exchange.request) else {
            // Without a method it need not be Nacos at all.
            if exchange.method != nil { unreadable += 1 }
            return []
        }
        let type = payload.type
        guard Self.types.contains(type) else { return [] }
        guard let fields = Fields(payload.body) else {
            unreadable += 1
            return []
        }
        let accepted = Self.agrees(exchange.answer)
        switch type {
        case "HealthCheckRequest": return renewals(accepted, connection)
        case "BatchInstanceRequest": return batch(fields, accepted, connection)
        case "InstanceRequest", "PersistentInstanceRequest":
            guard let instance = fields.object("instance") else { return [] }
            return change(fields, instance, isPersistent: type != "InstanceRequest", accepted, connection)
        // It asks for what is there now, and for what will be: a look-up and a subscription.
        case "SubscribeServiceRequest": return discovery(fields, accepted) + discovery(fields, accepted)
        default: return discovery(fields, accepted)
        }
    }

    private static let types: Set<String> = [
        "InstanceRequest", "PersistentInstanceRequest", "BatchInstanceRequest", "HealthCheckRequest",
        "ServiceQueryRequest", "SubscribeServiceRequest", "ServiceListRequest",
    ]

    /// Some name the request's class with its package.
    private static func payload(_ bytes: [UInt8]) -> (type: String, body: [UInt8])? {
        var options = BinaryDecodingOptions()
        options.messageDepthLimit = deepest
        guard let payload = try? NacosPBPayload(serializedBytes: bytes, options: options),
            let type = payload.metadata.type.split(separator: ".").last
        else { return nil }
        return (String(type), [UInt8](payload.body.value))
    }

    /// Errors come as answers, too.
    private static func agrees(_ answer: GRPCAnswer?) -> Bool? {
        guard let message = answer?.message else { return answer?.agrees }
        guard let payload = payload(message) else { return nil }
        guard payload.type != "ErrorResponse" else { return false }
        guard let fields = Fields(payload.body) else { return nil }
        if let code = fields.number("resultCode") { return code == 200 }
        return fields.flag("success") ?? (fields.number("errorCode") ?? 0 == 0)
    }

    // MARK: - Requests

    private func discovery(_ fields: Fields, _ accepted: Bool?) -> [Advertisement] {
        guard fields.flag("subscribe") != false else { return [] }
        var told = Advertisement(registry: Self.name, op: .discover)
        NacosName(fields, namespace: fields.text("namespace")).name(&told)
        told.cluster = Bounds.name(fields.text("cluster") ?? fields.text("clusters"))
        told.accepted = accepted
        return [told]
    }

    private func change(
        _ fields: Fields, _ instance: Fields, isPersistent: Bool, _ accepted: Bool?, _ connection: FiveTuple
    ) -> [Advertisement] {
        let op: Advertisement.Operation = fields.text("type") == "deregisterInstance" ? .deregister : .register
        guard let told = advertisement(op, fields, instance, isPersistent: isPersistent, accepted) else { return [] }
        guard accepted != false else { return [told] }
        if op == .deregister || told.ephemeral == false {
            connections.remove(told, from: connection)
        } else {
            connections.add(told, to: connection)
        }
        return [told]
    }

    /// A batch stands for all that the connection offers of the service: what is not in it any more is let go.
    private func batch(_ fields: Fields, _ accepted: Bool?, _ connection: FiveTuple) -> [Advertisement] {
        var told = fields.objects("instances").prefix(Self.mostInstances).compactMap {
            advertisement(.register, fields, $0, isPersistent: false, accepted)
        }
        for index in told.indices { told[index].batch = true }
        guard accepted != false else { return told }
        let name = NacosName(fields, namespace: fields.text("namespace"))
        let gone = connections.of(connection).filter { known in
            known.service == name.service && known.group == name.group && known.namespace == name.namespace
                && !told.contains { $0.key == known.key }
        }
        for instance in gone { connections.remove(instance, from: connection) }
        for instance in told { connections.add(instance, to: connection) }
        return told + ends(gone)
    }

    private func advertisement(
        _ op: Advertisement.Operation, _ fields: Fields, _ instance: Fields, isPersistent: Bool, _ accepted: Bool?
    ) -> Advertisement? {
        var told = Advertisement(registry: Self.name, op: op)
        NacosName(fields, namespace: fields.text("namespace")).name(&told)
        NacosInstance(instance).describe(&told)
        if isPersistent { told.ephemeral = false }
        told.accepted = accepted
        guard told.service != nil, told.address != nil, let port = told.port, port > 0 else {
            unreadable += 1
            return nil
        }
        told.key = NacosMemory.key(told)
        return told
    }

    // MARK: - The connection

    /// A health check renews all that the connection registered; refused, the server has let go of it.
    private func renewals(_ accepted: Bool?, _ connection: FiveTuple) -> [Advertisement] {
        let known = connections.of(connection)
        var told = known.map { instance in
            var told = instance
            told.op = .heartbeat
            told.batch = nil
            return told
        }
        if told.isEmpty { told = [Advertisement(registry: Self.name, op: .heartbeat)] }
        for index in told.indices { told[index].accepted = accepted }
        return accepted == false ? told + ends(connections.end(connection)) : told
    }

    private func ends(_ instances: [Advertisement]) -> [Advertisement] {
        instances.map { instance in
            var told = instance.withdrawn
            told.accepted = true
            return told
        }
    }
}

/// Which ephemeral instances hang on which connection. Bounded; of the longest unused connection they are forgotten.
struct NacosConnections {
    private static let mostInstances = 1024
    private var connections = SharedMemory<FiveTuple, RegistryPlace.Holder, [String: Advertisement]>(capacity: 4096)

    /// In the order of their keys.
    func of(_ connection: FiveTuple) -> [Advertisement] {
        (connections.peek(connection) ?? [:]).sorted { $0.key < $1.key }.map(\.value)
    }

    mutating func add(_ told: Advertisement, to connection: FiveTuple) {
        guard let key = told.key else { return }
        var kept = told
        kept.meta = nil
        if connections.find(connection) == nil {
            _ = connections.set(connection, [:], of: RegistryPlace(of: connection).holder)
        }
        _ = connections.change(connection) { instances in
            if instances.count < Self.mostInstances || instances[key] != nil { instances[key] = kept }
        }
    }

    mutating func remove(_ told: Advertisement, from connection: FiveTuple) {
        guard let key = told.key else { return }
        _ = connections.change(connection) { $0[key] = nil }
    }

    mutating func forget(_ connection: FiveTuple) { connections.remove(connection) }

    mutating func end(_ connection: FiveTuple) -> [Advertisement] {
        defer { forget(connection) }
        return of(connection)
    }
}
