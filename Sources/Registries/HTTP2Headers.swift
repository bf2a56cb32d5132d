internal import NIOCore
internal import NIOHPACK

/// The header blocks of one direction (RFC 7541), read by SwiftNIO's decoder a field at a time. Where the connection was
/// joined in the middle, the older entries of the peers' table are not known; what was added since is, as new entries
/// come first. So a field that cannot be read is nil, and the others are right.
struct HTTP2Headers {
    /// Of fields that are wanted; the others are decoded for the table's sake alone.
    private static let wanted: Set<String> = [":path", ":status", "content-type", "grpc-status"]
    private static let longestValue = 1024
    /// Of one block. A byte may stand for a whole entry of the table: what follows is not worth its reading.
    private static let mostFields = 512
    /// Peers agree on a table's size between themselves; above this it is not followed to its end.
    private static let tableBytes = 65_536

    private var decoder = HTTP2Headers.freshDecoder()
    /// An upper bound of what the table holds.
    private var added = 0

    /// Bytes of the table, roughly.
    var footprint: Int { min(added, decoder.allowedDynamicTableLength) }

    /// Nothing is known of the table any more.
    mutating func forget() {
        decoder = Self.freshDecoder()
        added = 0
    }

    private static func freshDecoder() -> HPACKDecoder {
        var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
        decoder.maxDynamicTableLength = tableBytes
        return decoder
    }

    /// The wanted fields by name, of repeated ones the first. Nil where the block is none, or has too many.
    mutating func read(_ block: [UInt8]) -> [String: String]? {
        var fields: [String: String] = [:]
        var rest = block[...]
        var count = 0
        while !rest.isEmpty {
            count += 1
            guard count <= Self.mostFields, let field = HeaderField(&rest) else {
                forget()
                return nil
            }
            if field.isAdded { added = min(added + field.value.count * 2 + 512, Self.tableBytes) }
            guard let (name, value) = decode(field.bytes) else {
                if field.isAdded { addUnknown(field) }
                continue
            }
            if Self.wanted.contains(name), fields[name] == nil, value.utf8.count <= Self.longestValue {
                fields[name] = value
            }
        }
        return fields
    }

    private mutating func decode(_ field: some Collection<UInt8>) -> (name: String, value: String)? {
        var buffer = ByteBuffer(bytes: field)
        guard let headers = try? decoder.decodeHeaders(from: &buffer), let first = headers.first else { return nil }
        return (first.name, first.value)
    }

    /// Keeps the place of an entry whose name is not known, so that the others are found where they are.
    private mutating func addUnknown(_ field: HeaderField) {
        let unknown: [UInt8] = [0x40, 1, UInt8(ascii: "?")]
        if decode(unknown + field.value) == nil { _ = decode(unknown + [0]) }
    }
}

/// One field of a header block as it is written (RFC 7541, section 6): where it ends, and what it does to the table.
private struct HeaderField {
    var bytes: ArraySlice<UInt8>
    /// The value with its length; empty where the field has none.
    var value: ArraySlice<UInt8> = []
    /// It goes into the table.
    var isAdded = false

    /// Takes the first field off; nil where it does not end within the bytes.
    init?(_ rest: inout ArraySlice<UInt8>) {
        bytes = rest
        guard let first = rest.first else { return nil }
        switch first {
        case 0x80...:
            guard Self.integer(&rest, prefix: 7) != nil else { return nil }
        case 0x20..<0x40:
            guard Self.integer(&rest, prefix: 5) != nil else { return nil }
        default:
            isAdded = first >= 0x40
            guard let index = Self.integer(&rest, prefix: isAdded ? 6 : 4) else { return nil }
            if index == 0, !Self.skipText(&rest) { return nil }
            value = rest
            guard Self.skipText(&rest) else { return nil }
            value = value[..<rest.startIndex]
        }
        bytes = bytes[..<rest.startIndex]
    }

    private static func skipText(_ rest: inout ArraySlice<UInt8>) -> Bool {
        guard let length = integer(&rest, prefix: 7), length <= rest.count else { return false }
        rest = rest.dropFirst(length)
        return true
    }

    /// RFC 7541, 5.1; nil above 2^28, which nothing in a block can be.
    private static func integer(_ rest: inout ArraySlice<UInt8>, prefix: UInt8) -> Int? {
        guard let first = rest.popFirst() else { return nil }
        let mask = UInt8(1) << prefix &- 1
        var number = Int(first & mask)
        guard first & mask == mask else { return number }
        for shift in stride(from: 0, through: 21, by: 7) {
            guard let byte = rest.popFirst() else { return nil }
            number += Int(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return number }
        }
        return nil
    }
}
