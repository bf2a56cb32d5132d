internal import CRemoraABI
internal import Model

/// The bytes of a C value, for constants and comparison: structs of the ABI have no hidden padding.
func bytes<T: BitwiseCopyable>(of value: T) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

func same<T: BitwiseCopyable>(_ a: T, _ b: T) -> Bool {
    withUnsafeBytes(of: a) { left in withUnsafeBytes(of: b) { left.elementsEqual($0) } }
}

/// FNV-1a, 64 bits: for build marks and Maglev's two hashes, never against an adversary.
func fnv1a(_ bytes: some Sequence<UInt8>, seed: UInt64 = 14_695_981_039_346_656_037) -> UInt64 {
    bytes.reduce(seed) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
}

typealias CMAC = (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8)

extension MACAddress {
    var octets: CMAC {
        let b = bytes
        return (b[0], b[1], b[2], b[3], b[4], b[5])
    }
    init(_ octets: CMAC) {
        let high = UInt64(octets.0) << 16 | UInt64(octets.1) << 8 | UInt64(octets.2)
        let low = UInt64(octets.3) << 16 | UInt64(octets.4) << 8 | UInt64(octets.5)
        self.init(bits: high << 24 | low)
    }
}

/// A frontend's key as a Swift value that hashes.
struct FrontendKey: Hashable {
    let network: NetworkID
    let address: IPv4Address
    let port: UInt16

    var raw: remora_frontend_key {
        var key = remora_frontend_key()
        key.address = address.networkOrder
        key.port = port.bigEndian
        key.network = network.number
        key.protocol = TransportProtocol.tcp.number
        return key
    }

    init(network: NetworkID, address: IPv4Address, port: UInt16) {
        self.network = network
        self.address = address
        self.port = port
    }

    init(_ raw: remora_frontend_key) {
        self.init(
            network: NetworkID(raw.network), address: IPv4Address(networkOrder: raw.address),
            port: UInt16(bigEndian: raw.port))
    }
}

struct AddressKey: Hashable {
    let network: NetworkID
    let address: IPv4Address

    var raw: remora_address {
        var key = remora_address()
        key.address = address.networkOrder
        key.network = network.number
        return key
    }

    init(network: NetworkID, address: IPv4Address) {
        self.network = network
        self.address = address
    }

    init(_ raw: remora_address) {
        self.init(network: NetworkID(raw.network), address: IPv4Address(networkOrder: raw.address))
    }
}

/// Fixed C text, cut where it does not fit, and back.
func setText<T>(_ field: inout T, _ text: String) {
    withUnsafeMutableBytes(of: &field) { buffer in
        let bytes = text.utf8.prefix(buffer.count - 1)
        for index in 0..<buffer.count { buffer[index] = 0 }
        for (index, byte) in bytes.enumerated() { buffer[index] = byte }
    }
}

func text<T>(_ field: T) -> String {
    withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}
