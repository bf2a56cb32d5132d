internal import CZlib

/// What was done to a body on its way (RFC 9110, 8.4), undone.
enum ContentCoding {
    /// More codings on top of each other are nobody's.
    private static let most = 2

    /// The plain body; nil where it cannot be told, or would be longer than `limit` bytes or than `Inflation` allows.
    ///
    /// - Parameter names: the header's value, as the codings were applied; nil: none was.
    static func plain(_ body: [UInt8], encoded names: String?, atMost limit: Int) -> [UInt8]? {
        let names = (names ?? "").split(separator: ",").map { $0.filter { !$0.isWhitespace }.lowercased() }
        let codings = names.filter { !$0.isEmpty && $0 != "identity" }
        guard codings.count <= most, body.count <= limit || !codings.isEmpty else { return nil }
        let limit = min(limit, Inflation.most(from: body.count))
        var plain = body
        // An empty body is sent plainly, whatever the header says.
        for coding in codings.reversed() where !plain.isEmpty {
            let decoded: [UInt8]? =
                switch coding {
                case "gzip", "x-gzip": Inflation.run(plain, .gzip, atMost: limit)
                // Some send the bare stream, without zlib's header.
                case "deflate":
                    Inflation.run(plain, .zlib, atMost: limit) ?? Inflation.run(plain, .bare, atMost: limit)
                default: nil
                }
            guard let decoded else { return nil }
            plain = decoded
        }
        return plain
    }
}

/// Decompression by zlib, bounded by what comes out.
enum Inflation {
    /// What is around the stream, as zlib's window bits say it.
    enum Wrapping: Int32 {
        case gzip = 31
        case zlib = 15
        case bare = -15
    }

    /// Bytes that may come out of so many: a text's repetitions are fewer than those of a bomb.
    static func most(from count: Int) -> Int { 65_536 + 64 * count }

    /// Nil where the bytes are damaged, do not end, or become more than `limit` or than `most` says.
    static func run(_ bytes: [UInt8], _ wrapping: Wrapping, atMost limit: Int) -> [UInt8]? {
        let limit = min(limit, most(from: bytes.count))
        // zlib remembers where its state stands: it must not move.
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        stream.initialize(to: z_stream())
        defer { stream.deallocate() }
        let size = Int32(MemoryLayout<z_stream>.size)
        guard inflateInit2_(stream, wrapping.rawValue, ZLIB_VERSION, size) == Z_OK else { return nil }
        defer { inflateEnd(stream) }
        var input = bytes
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        return input.withUnsafeMutableBufferPointer { input in
            stream.pointee.next_in = input.baseAddress
            stream.pointee.avail_in = UInt32(clamping: input.count)
            while true {
                let result = buffer.withUnsafeMutableBufferPointer { room in
                    stream.pointee.next_out = room.baseAddress
                    stream.pointee.avail_out = UInt32(room.count)
                    return inflate(stream, Z_NO_FLUSH)
                }
                output += buffer.prefix(buffer.count - Int(stream.pointee.avail_out))
                guard output.count <= limit else { return nil }
                switch result {
                case Z_OK: continue
                case Z_STREAM_END:
                    // A gzip file may have several members (RFC 1952, 2.2); what else follows is not part of it.
                    guard wrapping == .gzip, stream.pointee.avail_in > 2, stream.pointee.next_in?.pointee == 0x1f,
                        inflateReset(stream) == Z_OK
                    else { return output }
                default: return nil
                }
            }
        }
    }
}
