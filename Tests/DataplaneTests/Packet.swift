import Model

/// A TCP packet as bytes, with right checksums, built and read back by the tests alone.
struct Packet: Equatable {
    var sourceMAC = MACAddress("02:00:00:00:00:01")!
    var destinationMAC = MACAddress("02:00:00:00:00:02")!
    var vlan: UInt16?
    var source: IPv4Address
    var destination: IPv4Address
    var sourcePort: UInt16
    var destinationPort: UInt16
    var flags: UInt8 = 0x02
    var sequence: UInt32 = 1
    var acknowledged: UInt32 = 1
    var proto: UInt8 = 6
    var fragment: UInt16 = 0
    var options: [UInt8] = []
    var payload: [UInt8] = []

    static let syn: UInt8 = 0x02
    static let ack: UInt8 = 0x10
    static let fin: UInt8 = 0x11
    static let reset: UInt8 = 0x04

    init(
        from source: String, _ sourcePort: UInt16, to destination: String, _ destinationPort: UInt16,
        flags: UInt8 = 0x02
    ) {
        self.source = IPv4Address(source)!
        self.destination = IPv4Address(destination)!
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.flags = flags
    }

    private var linkHeader: [UInt8] {
        destinationMAC.bytes + sourceMAC.bytes + (vlan.map { [0x81, 0x00] + big($0) } ?? []) + [0x08, 0x00]
    }

    var bytes: [UInt8] {
        let segmentLength = 20 + payload.count
        var ip: [UInt8] = [0x40 | UInt8(5 + options.count / 4), 0]
        ip += big(UInt16(20 + options.count + segmentLength)) + [0, 0] + big(fragment) + [64, proto, 0, 0]
        ip += big(source.bits) + big(destination.bits) + options
        let sum = ~checksum(ip)
        ip[10] = UInt8(sum >> 8)
        ip[11] = UInt8(sum & 255)
        var tcp =
            big(sourcePort) + big(destinationPort) + big(sequence) + big(acknowledged)
            + [0x50, flags, 0xff, 0xff, 0, 0, 0, 0]
        tcp += payload
        let check = ~checksum(pseudoHeader(length: segmentLength) + tcp)
        tcp[16] = UInt8(check >> 8)
        tcp[17] = UInt8(check & 255)
        return linkHeader + ip + tcp
    }

    private func pseudoHeader(length: Int) -> [UInt8] {
        big(source.bits) + big(destination.bits) + [0, proto] + big(UInt16(length))
    }

    /// Reads an untagged or tagged packet back. Nil where a checksum is wrong.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 54 else { return nil }
        self.init(from: "0.0.0.0", 0, to: "0.0.0.0", 0)
        destinationMAC = MACAddress(bytes: bytes[0..<6])
        sourceMAC = MACAddress(bytes: bytes[6..<12])
        var at = 12
        if bytes[12] == 0x81 {
            vlan = UInt16(bytes[14]) << 8 | UInt16(bytes[15])
            at = 16
        }
        let ip = Array(bytes[(at + 2)...])
        let header = Int(ip[0] & 15) * 4
        options = Array(ip[20..<header])
        proto = ip[9]
        source = IPv4Address(bits: word(ip, 12))
        destination = IPv4Address(bits: word(ip, 16))
        let tcp = Array(ip[header...])
        sourcePort = UInt16(tcp[0]) << 8 | UInt16(tcp[1])
        destinationPort = UInt16(tcp[2]) << 8 | UInt16(tcp[3])
        sequence = word(tcp, 4)
        acknowledged = word(tcp, 8)
        flags = tcp[13]
        payload = Array(tcp[20...])
        guard checksum(Array(ip[..<header])) == 0xffff,
            checksum(pseudoHeader(length: tcp.count) + tcp) == 0xffff
        else { return nil }
    }
}

func big<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

private func word(_ bytes: [UInt8], _ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }

/// The ones' complement sum (RFC 1071), not complemented.
private func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
        sum += UInt32(bytes[index]) << 8 | UInt32(index + 1 < bytes.count ? bytes[index + 1] : 0)
    }
    while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
    return UInt16(sum)
}
