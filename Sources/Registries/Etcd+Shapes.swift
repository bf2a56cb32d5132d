import Model
import SwiftProtobuf

/// Calls whose method was said before anybody listened: what they are is seen by what they hold, and by what is answered.
/// Only what can be nothing else is told.
extension Etcd {
    func guessed(_ exchange: GRPCExchange, _ place: RegistryPlace) -> [Advertisement] {
        let answer = exchange.answer
        if let request = shaped(exchange.request, as: EtcdPBPutRequest.self), !request.value.isEmpty,
            isPlain(answer, as: EtcdPBPutResponse.self)
        {
            let told = guessedPut(request, place)
            if !told.isEmpty { return settle(told, answer, place) }
        }
        if let request = shaped(exchange.request, as: EtcdPBTxnRequest.self), isTransaction(request),
            isPlain(answer, as: EtcdPBTxnResponse.self)
        {
            return transaction(request, answer, place)
        }
        if let request = shaped(exchange.request, as: EtcdPBLeaseKeepAliveRequest.self), request.id > 0 {
            return guessedLease(request.id, answer, place)
        }
        if let request = shaped(exchange.request, as: EtcdPBWatchRequest.self), request.hasCreateRequest,
            let answered = shaped(answer?.message, as: EtcdPBWatchResponse.self), answered.created
        {
            return watch(request, answer, place)
        }
        return guessedRange(exchange, place)
    }

    /// A message of this kind and nothing more.
    private func shaped<Shape: Message>(_ bytes: [UInt8]?, as _: Shape.Type) -> Shape? {
        guard let bytes, !bytes.isEmpty, let read = Self.read(bytes, as: Shape.self), read.unknownFields.data.isEmpty
        else { return nil }
        return read
    }

    /// The answer, where there is one, could be of this kind.
    private func isPlain<Shape: Message>(_ answer: GRPCAnswer?, as _: Shape.Type) -> Bool {
        guard let message = answer?.message else { return true }
        return shaped(message, as: Shape.self) != nil
    }

    /// A put or a range, whose end is where the value would be: only what reads as a registration is one.
    private func guessedPut(_ request: EtcdPBPutRequest, _ place: RegistryPlace) -> [Advertisement] {
        guard let key = Self.key(request.key), !key.isEmpty, !request.ignoreValue,
            KeyedEndpoints.registration(in: Self.name, key: key, value: [UInt8](request.value), isMeant: true) != nil
        else { return [] }
        return put(request, place)
    }

    private func isTransaction(_ request: EtcdPBTxnRequest) -> Bool {
        let operations = request.success + request.failure
        return !operations.isEmpty
            && operations.prefix(Self.mostOperations).allSatisfy { operation in
                switch operation.request {
                case .requestPut(let put): put.unknownFields.data.isEmpty && Self.key(put.key)?.isEmpty == false
                case .requestDeleteRange(let range): range.unknownFields.data.isEmpty && !range.key.isEmpty
                case .requestRange(let range): !range.key.isEmpty
                case nil: false
                }
            }
    }

    /// Grants, renewals and revocations all hold one number: the answer tells them apart.
    private func guessedLease(_ number: Int64, _ answer: GRPCAnswer?, _ place: RegistryPlace) -> [Advertisement] {
        guard let answered = shaped(answer?.message, as: EtcdPBLeaseResponse.self), answered.hasHeader else {
            return []
        }
        let known = memory.ttl(ofLease: String(number), in: place) != nil
        if answered.id == number, answered.ttl > 0 || known {
            return settle(about(lease: number, .heartbeat), answer, place)
        }
        if answered.id > 0, answered.ttl == number, answered.id != number {
            var request = EtcdPBLeaseGrantRequest()
            request.ttl = number
            return settle([grant(request)], answer, place)
        }
        return answered.id == 0 && known ? settle(about(lease: number, .deregister), answer, place) : []
    }

    /// Look-ups and deletions are asked for alike.
    private func guessedRange(_ exchange: GRPCExchange, _ place: RegistryPlace) -> [Advertisement] {
        guard let message = exchange.answer?.message,
            let range = Self.read(exchange.request, as: EtcdPBRangeRequest.self), !range.key.isEmpty
        else { return [] }
        if let deleted = shaped(message, as: EtcdPBDeleteRangeResponse.self), deleted.deleted > 0,
            let request = shaped(exchange.request, as: EtcdPBDeleteRangeRequest.self)
        {
            return settle(deletion(request, place), exchange.answer, place)
        }
        guard let found = Self.read(message, as: EtcdPBRangeResponse.self), found.hasHeader, found.count > 0 else {
            return []
        }
        return settle(look(range.key, to: range.rangeEnd, place), exchange.answer, place)
    }
}
