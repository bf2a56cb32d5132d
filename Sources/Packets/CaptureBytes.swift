/// Bytes of a file as they come, read by offset from what is not read yet.
struct CaptureBytes {
    private var pending: [UInt8] = []
    /// Start of what is not read yet, within `pending` and within the file.
    private var position = 0
    private(set) var consumed = 0
    /// To be thrown away when it comes.
    private var skipping = 0

    mutating func append(_ bytes: some Sequence<UInt8>) {
        if position > 0 {
            pending.removeFirst(position)
            position = 0
        }
        pending.append(contentsOf: bytes)
        let skipped = min(skipping, pending.count)
        position = skipped
        skipping -= skipped
    }

    var count: Int { pending.count - position }
    /// The file may end here.
    var isEmpty: Bool { count == 0 && skipping == 0 }

    /// Reads what may not have come yet as nil.
    func bytes(at offset: Int, _ count: Int) -> ArraySlice<UInt8>? {
        guard offset >= 0, count >= 0, offset <= self.count - count else { return nil }
        return pending[position + offset..<position + offset + count]
    }

    func number32(at offset: Int, swapped: Bool) -> UInt32? {
        guard let bytes = bytes(at: offset, 4) else { return nil }
        let value = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return swapped ? value.byteSwapped : value
    }

    func number16(at offset: Int, swapped: Bool) -> UInt16? {
        guard let bytes = bytes(at: offset, 2) else { return nil }
        let value = bytes.reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
        return swapped ? value.byteSwapped : value
    }

    /// - Parameter bytes: may be more than have come.
    mutating func advance(_ bytes: Int) {
        let now = min(bytes, count)
        position += now
        skipping += bytes - now
        consumed += bytes
    }
}
