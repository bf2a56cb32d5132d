internal import Model
internal import Packets

/// A registry's language over gRPC (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): what a message asks
/// for, and what its answer makes of that.
protocol GRPCDialect: Dialect {
    /// Does this method, "/package.Service/Method", belong to the registry's API, whatever it does?
    func knows(method: String) -> Bool

    /// Are its messages to be read?
    func reads(method: String) -> Bool

    /// What a request message asked for and what came of it. Told without an answer after a while, it may be told once
    /// more with it.
    func settled(_ exchange: GRPCExchange, on connection: FiveTuple) -> [Advertisement]

    /// A connection begins: what was remembered of an older one on the same addresses and ports is void.
    func began(_ connection: FiveTuple)

    /// It ended, for both sides: with it ends what hangs on it.
    func ended(_ connection: FiveTuple) -> [Advertisement]
}

extension GRPCDialect {
    func began(_ connection: FiveTuple) {}
    func ended(_ connection: FiveTuple) -> [Advertisement] { [] }
}

/// A request message, and its answer. In a streaming call each is paired with the answer of the same rank.
struct GRPCExchange {
    /// Nil where the connection was joined in the middle, and the method cannot be told any more.
    var method: String?
    var request: [UInt8]
    /// Nil: none was seen.
    var answer: GRPCAnswer?
}

struct GRPCAnswer {
    /// Nil where the call ended without one, or it could not be read.
    var message: [UInt8]?
    /// Nil where the call's end does not tell.
    var agrees: Bool?
}
