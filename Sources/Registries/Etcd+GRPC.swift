import Model
import Packets
import SwiftProtobuf

/// Version 3 over gRPC.
extension Etcd: GRPCDialect {
    private static let package = "/etcdserverpb."
    /// Beside etcd's own there are its locks and elections.
    private static let packages = [package, "/v3lockpb.", "/v3electionpb."]
    private static let methods: Set<String> = [
        "KV/Put", "KV/Range", "KV/DeleteRange", "KV/Txn", "Lease/LeaseGrant", "Lease/LeaseRevoke",
        "Lease/LeaseKeepAlive", "Watch/Watch",
    ]
    /// Of messages in messages; a transaction's operations lie four deep.
    private static let deepest = 8

    func knows(method: String) -> Bool { Self.packages.contains { method.hasPrefix($0) } }

    func reads(method: String) -> Bool {
        method.hasPrefix(Self.package) && Self.methods.contains(String(method.dropFirst(Self.package.count)))
    }

    /// Nil where the bytes are not this message.
    static func read<Read: Message>(_ bytes: [UInt8], as _: Read.Type = Read.self) -> Read? {
        var options = BinaryDecodingOptions()
        options.messageDepthLimit = deepest
        return try? Read(serializedBytes: bytes, options: options)
    }

    func settled(_ exchange: GRPCExchange, on connection: FiveTuple) -> [Advertisement] {
        let place = RegistryPlace(of: connection)
        guard let method = exchange.method else { return guessed(exchange, place) }
        guard let told = settled(String(method.dropFirst(Self.package.count)), exchange, place) else {
            unreadable += 1
            return []
        }
        return told
    }

    /// Nil where the request cannot be read.
    private func settled(_ call: String, _ exchange: GRPCExchange, _ place: RegistryPlace) -> [Advertisement]? {
        let bytes = exchange.request
        let answer = exchange.answer
        switch call {
        case "KV/Put":
            return Self.read(bytes, as: EtcdPBPutRequest.self).map { settle(put($0, place), answer, place) }
        case "KV/Range":
            return Self.read(bytes, as: EtcdPBRangeRequest.self).map {
                settle(look($0.key, to: $0.rangeEnd, place), answer, place)
            }
        case "KV/DeleteRange":
            return Self.read(bytes, as: EtcdPBDeleteRangeRequest.self).map {
                settle(deletion($0, place), answer, place)
            }
        case "KV/Txn":
            return Self.read(bytes, as: EtcdPBTxnRequest.self).map { transaction($0, answer, place) }
        case "Lease/LeaseGrant":
            return Self.read(bytes, as: EtcdPBLeaseGrantRequest.self).map { settle([grant($0)], answer, place) }
        case "Lease/LeaseKeepAlive":
            return Self.read(bytes, as: EtcdPBLeaseKeepAliveRequest.self).map {
                settle(about(lease: $0.id, .heartbeat), answer, place)
            }
        case "Lease/LeaseRevoke":
            return Self.read(bytes, as: EtcdPBLeaseRevokeRequest.self).map {
                settle(about(lease: $0.id, .deregister), answer, place)
            }
        default: return Self.read(bytes, as: EtcdPBWatchRequest.self).map { watch($0, answer, place) }
        }
    }

    func settle(
        _ asked: [Advertisement], _ answer: GRPCAnswer?, _ place: RegistryPlace
    ) -> [Advertisement] {
        let lease = answer?.message.flatMap { Self.read($0, as: EtcdPBLeaseResponse.self) }
        return settle(asked, accepted: answer?.agrees, lease: lease, place)
    }

    func transaction(
        _ request: EtcdPBTxnRequest, _ answer: GRPCAnswer?, _ place: RegistryPlace
    ) -> [Advertisement] {
        let succeeded = answer?.message.flatMap { Self.read($0, as: EtcdPBTxnResponse.self) }?.succeeded
        let half = operations(succeeded == false ? request.failure : request.success, place)
        // Without its answer nobody knows which half was done.
        guard let answer, succeeded != nil || answer.agrees == false else { return half }
        return settle(half, accepted: answer.agrees, place)
    }

    func watch(_ request: EtcdPBWatchRequest, _ answer: GRPCAnswer?, _ place: RegistryPlace) -> [Advertisement] {
        guard request.hasCreateRequest else { return [] }
        let isCanceled = answer?.message.flatMap { Self.read($0, as: EtcdPBWatchResponse.self) }?.canceled
        let accepted = isCanceled == true ? false : answer?.agrees
        let told = look(request.createRequest.key, to: request.createRequest.rangeEnd, place)
        return settle(told, accepted: accepted, place)
    }
}
