/// What could not be heard at one kind of place.
public struct Trouble: Sendable, Equatable {
    /// Holes in streams that were given up, and the bytes in them or thrown away until a message began.
    public var gaps = 0
    public var skippedBytes = 0
    /// Messages that their dialect could not read.
    public var unreadable = 0
    public var tlsStreams = 0

    public init() {}

    var isNone: Bool { self == Trouble() }

    mutating func add(_ other: Trouble) {
        gaps += other.gaps
        skippedBytes += other.skippedBytes
        unreadable += other.unreadable
        tlsStreams += other.tlsStreams
    }
}

extension Ear {
    /// Since the start, by what may be spoken there: "consul", or "eureka,uddi" where two share a port.
    public var troubles: [String: Trouble] {
        var all = troubled
        for dialect in posts.dialects where dialect.unreadable > 0 {
            all[type(of: dialect).name, default: Trouble()].unreadable += dialect.unreadable
        }
        return all
    }
}
