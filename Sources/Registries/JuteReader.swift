/// Reads ZooKeeper's records (jute): numbers are big-endian; texts, buffers and lists follow a 32-bit count, -1 for
/// none. Nil past the end, and for what cannot be.
struct JuteReader {
    private(set) var rest: ArraySlice<UInt8>

    static let longestText = 4096

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func int() -> Int32? { number(4).map { Int32(truncatingIfNeeded: $0) } }
    mutating func long() -> Int64? { number(8).map { Int64(bitPattern: $0) } }
    mutating func flag() -> Bool? { number(1).map { $0 != 0 } }

    mutating func buffer() -> ArraySlice<UInt8>? {
        guard let count = int() else { return nil }
        guard count >= 0 else { return count == -1 ? [] : nil }
        guard count <= rest.count else { return nil }
        defer { rest = rest.dropFirst(Int(count)) }
        return rest.prefix(Int(count))
    }

    mutating func text() -> String? {
        guard let bytes = buffer(), bytes.count <= Self.longestText else { return nil }
        return String(exactly: bytes)
    }

    mutating func path() -> String? { text().flatMap { $0.hasPrefix("/") ? $0 : nil } }

    /// How many elements follow. Each has bytes of its own, so that a lie ends with the bytes.
    mutating func count() -> Int? { int().flatMap { $0 >= -1 ? max(0, Int($0)) : nil } }

    private mutating func number(_ size: Int) -> UInt64? {
        guard rest.count >= size else { return nil }
        defer { rest = rest.dropFirst(size) }
        return rest.prefix(size).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
