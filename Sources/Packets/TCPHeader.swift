/// A TCP header (RFC 9293) and where its payload lies.
public struct TCPHeader: Sendable, Equatable {
    public struct Flags: OptionSet, Sendable, Hashable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let fin = Flags(rawValue: 1)
        public static let syn = Flags(rawValue: 2)
        public static let rst = Flags(rawValue: 4)
        public static let psh = Flags(rawValue: 8)
        public static let ack = Flags(rawValue: 16)
    }

    /// Host order, as are all numbers here.
    public let sourcePort: UInt16
    public let destinationPort: UInt16
    public let sequence: UInt32
    /// Counts only with the flag `ack`.
    public let acknowledged: UInt32
    public let flags: Flags
    public let window: UInt16
    /// Within the frame.
    public let payload: Range<Int>

    init?(_ bytes: UnsafeRawBufferPointer, in range: Range<Int>) {
        let start = range.lowerBound
        guard range.count >= 20, let sourcePort = bytes.number16(at: start),
            let destinationPort = bytes.number16(at: start + 2), let sequence = bytes.number32(at: start + 4),
            let acknowledged = bytes.number32(at: start + 8), let offset = bytes.number8(at: start + 12),
            let flags = bytes.number8(at: start + 13), let window = bytes.number16(at: start + 14)
        else { return nil }
        let length = Int(offset >> 4) * 4
        guard length >= 20, length <= range.count else { return nil }
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.sequence = sequence
        self.acknowledged = acknowledged
        self.flags = Flags(rawValue: flags)
        self.window = window
        payload = start + length..<range.upperBound
    }
}
