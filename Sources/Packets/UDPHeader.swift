/// A UDP header (RFC 768) and where its payload lies.
public struct UDPHeader: Sendable, Equatable {
    /// Host order, as are all numbers here.
    public let sourcePort: UInt16
    public let destinationPort: UInt16
    /// Within the frame; no further than the frame reaches.
    public let payload: Range<Int>

    /// A length of 0 stands in jumbograms (RFC 2675, 4): the packet's own end counts.
    init?(_ bytes: UnsafeRawBufferPointer, in range: Range<Int>) {
        let start = range.lowerBound
        guard range.count >= 8, let sourcePort = bytes.number16(at: start),
            let destinationPort = bytes.number16(at: start + 2), let length = bytes.number16(at: start + 4),
            length == 0 || length >= 8
        else { return nil }
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        payload = start + 8..<(length == 0 ? range.upperBound : min(range.upperBound, start + Int(length)))
    }
}
