import Model
import SwiftProtobuf

/// Version 3 through its JSON gateway (https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/): the messages of gRPC in
/// protocol buffers' JSON.
extension Etcd {
    private static let versions: Set<String> = ["v3", "v3beta", "v3alpha"]
    /// Messages of a stream that are read.
    private static let mostLines = 64

    static func isGateway(_ path: ArraySlice<String>) -> Bool { path.first.map(versions.contains) ?? false }

    private static func json<Read: Message>(_ bytes: some Collection<UInt8>, as _: Read.Type = Read.self) -> Read? {
        guard JSONBounds.admit(bytes) else { return nil }
        var options = JSONDecodingOptions()
        options.ignoreUnknownFields = true
        options.messageDepthLimit = JSONBounds.deepest
        return try? Read(jsonUTF8Bytes: [UInt8](bytes), options: options)
    }

    func gatewayAsked(_ request: HTTPRequest, _ place: RegistryPlace) -> Asked? {
        guard request.method == "POST" else { return nil }
        var path = request.path.dropFirst()
        // Some versions serve leases below kv as well.
        if path.count == 3, path.first == "kv", path.dropFirst().first == "lease" { path = path.dropFirst() }
        let call = path.joined(separator: "/")
        guard Self.calls.contains(call) else { return nil }
        guard let body = request.body, let asked = self.asked(call, body, place) else {
            unreadable += 1
            return nil
        }
        return asked
    }

    private static let calls: Set<String> = [
        "kv/put", "kv/range", "kv/deleterange", "kv/txn", "lease/grant", "lease/keepalive", "lease/revoke", "watch",
    ]

    /// Nil where the body cannot be read.
    private func asked(_ call: String, _ body: [UInt8], _ place: RegistryPlace) -> Asked? {
        switch call {
        case "kv/put":
            return Self.json(body, as: EtcdPBPutRequest.self).map { Asked(put($0, place), call) }
        case "kv/range":
            return Self.json(body, as: EtcdPBRangeRequest.self).map {
                Asked(look($0.key, to: $0.rangeEnd, place), call)
            }
        case "watch":
            return Self.json(body, as: EtcdPBWatchRequest.self).map {
                Asked(look($0.createRequest.key, to: $0.createRequest.rangeEnd, place), call)
            }
        case "kv/deleterange":
            return Self.json(body, as: EtcdPBDeleteRangeRequest.self).map { Asked(deletion($0, place), call) }
        case "kv/txn":
            return Self.json(body, as: EtcdPBTxnRequest.self).map {
                Asked(operations($0.success, place), otherwise: operations($0.failure, place), call, needsBody: true)
            }
        case "lease/grant":
            return Self.json(body, as: EtcdPBLeaseGrantRequest.self).map { Asked([grant($0)], call, needsBody: true) }
        case "lease/keepalive":
            // A stream's messages come one a line.
            let lines = Self.lines(of: body)
            let renewals = lines.compactMap { Self.json($0, as: EtcdPBLeaseKeepAliveRequest.self) }
            guard renewals.count == lines.count else { return nil }
            return Asked(renewals.flatMap { about(lease: $0.id, .heartbeat) }, call, needsBody: true)
        default:
            return Self.json(body, as: EtcdPBLeaseRevokeRequest.self).map {
                Asked(about(lease: $0.id, .deregister), call)
            }
        }
    }

    private static func lines(of body: [UInt8]) -> [ArraySlice<UInt8>] {
        Array(body.split(separator: UInt8(ascii: "\n")).prefix(mostLines))
    }

    // MARK: - Answers

    func gatewaySettled(_ asked: Asked, by answer: HTTPAnswer?, _ place: RegistryPlace) -> [Advertisement] {
        let body = answer?.body.flatMap { $0.isEmpty ? nil : $0 }
        let accepted = answer?.agrees
        switch asked.call {
        case "kv/txn" where accepted == true:
            // Without its answer's body nobody knows which half was done.
            guard let body, let done = Self.json(body, as: EtcdPBTxnResponse.self) else { return asked.advertisements }
            let half = done.succeeded ? asked.advertisements : asked.otherwise
            return settle(half, accepted: accepted, place)
        case "lease/grant":
            let lease = body.flatMap { Self.json($0, as: EtcdPBLeaseResponse.self) }
            return settle(asked.advertisements, accepted: accepted, lease: lease, place)
        case "lease/keepalive":
            let leases = Self.lines(of: body ?? []).map { Self.json($0, as: EtcdPBLeaseKeepAliveResult.self)?.result }
            return asked.advertisements.enumerated().flatMap { index, told in
                settle([told], accepted: accepted, lease: index < leases.count ? leases[index] : nil, place)
            }
        default: return settle(asked.advertisements, accepted: accepted, place)
        }
    }
}

extension Asked {
    fileprivate init(
        _ advertisements: [Advertisement], otherwise: [Advertisement] = [], _ call: String, needsBody: Bool = false
    ) {
        self.init(advertisements: advertisements, otherwise: otherwise, needsBody: needsBody, call: call)
    }
}
