/// What came of a request over HTTP, on the connection that a probe's SYN opened.
public struct HTTPFinding: Hashable, Sendable, Codable {
    public enum Outcome: Hashable, Sendable, Codable {
        /// `server` is the header of that name; `mesh` a header by which a mesh's proxy tells of itself.
        case answered(status: Int, server: String?, mesh: String?)
        /// Bytes that are no answer of HTTP/1: TLS, or another protocol.
        case notHTTP
        /// The connection was ended without a byte.
        case closed
        case silent
    }

    public var outcome: Outcome
    /// Where the answer came in, and from whom; nil: there was none.
    public var place: Place?
    /// TTL or hop limit as it arrived.
    public var hopLimit: UInt8?
    /// From the request to the answer; nil: not known.
    public var microseconds: Int?

    public init(outcome: Outcome, place: Place? = nil, hopLimit: UInt8? = nil, microseconds: Int? = nil) {
        self.outcome = outcome
        self.place = place
        self.hopLimit = hopLimit
        self.microseconds = microseconds
    }
}
