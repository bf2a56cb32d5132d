internal import CLibMNL
internal import Glibc
public import Model

/// What a device's driver says of itself (ethtool's ioctl).
public struct DeviceFeatures: Hashable, Sendable {
    /// Nil where there is none to name, as for the loopback device.
    public var driver: String?
    /// Features that are on, by the kernel's names: `hw-tc-offload`, `rx-gro-hw`, ...
    public var active: Set<String>

    public init(driver: String?, active: Set<String>) {
        self.driver = driver
        self.active = active
    }

    /// Asks the device, in the calling thread's network namespace.
    public init(of device: PortName) throws(NetlinkError) {
        let ethtool = try Ethtool(device: device)
        driver = try ethtool.driver()
        active = try ethtool.activeFeatures()
    }
}

/// One device's end of SIOCETHTOOL. Requests are structs with an array behind them, so they are laid out as bytes.
private struct Ethtool: ~Copyable {
    private let fd: Int32
    private let device: PortName
    /// The kernel of 2025 has some 70 features: a bound, not a guess.
    private static let mostFeatures = 4096

    init(device: PortName) throws(NetlinkError) {
        self.device = device
        let opened = try netlinkCall("open a socket") {
            Int(socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
        }
        guard let opened else { throw NetlinkError(EAGAIN, "open a socket") }
        fd = Int32(opened)
    }

    deinit { close(fd) }

    func driver() throws(NetlinkError) -> String? {
        var info = ethtool_drvinfo()
        info.cmd = UInt32(ETHTOOL_GDRVINFO)
        do throws(NetlinkError) {
            try withUnsafeMutableBytes(of: &info) { bytes throws(NetlinkError) in
                try ask("which driver it has", bytes)
            }
        } catch {
            guard error.code == EOPNOTSUPP else { throw error }
            return nil
        }
        return withUnsafeBytes(of: info.driver) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    func activeFeatures() throws(NetlinkError) -> Set<String> {
        let names = try featureNames()
        let blocks = (names.count + 31) / 32
        let header = MemoryLayout<ethtool_gfeatures>.size
        let block = MemoryLayout<ethtool_get_features_block>.size
        let bytes = try ask(
            "which features are on", command: UInt32(ETHTOOL_GFEATURES), second: UInt32(blocks),
            count: header + blocks * block)
        var active: Set<String> = []
        for (index, name) in names.enumerated() where !name.isEmpty {
            let start = header + index / 32 * block
            let words = bytes.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: start, as: ethtool_get_features_block.self)
            }
            if words.active >> UInt32(index % 32) & 1 == 1 { active.insert(name) }
        }
        return active
    }

    private func featureNames() throws(NetlinkError) -> [String] {
        let set = UInt32(ETH_SS_FEATURES.rawValue)
        let infoHeader = MemoryLayout<ethtool_sset_info>.size
        var request = [UInt8](repeating: 0, count: infoHeader + 4)
        request.withUnsafeMutableBytes {
            $0.storeBytes(of: UInt32(ETHTOOL_GSSET_INFO), as: UInt32.self)
            $0.storeBytes(of: 1 << UInt64(set), toByteOffset: 8, as: UInt64.self)
        }
        let info = try ask("how many features it has", request)
        let count = Int(info.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: infoHeader, as: UInt32.self) })
        guard count <= Self.mostFeatures else { throw NetlinkError(E2BIG, "read the features of \(device)") }
        let header = MemoryLayout<ethtool_gstrings>.size
        let length = Int(ETH_GSTRING_LEN)
        let bytes = try ask(
            "what its features are called", command: UInt32(ETHTOOL_GSTRINGS), second: set,
            count: header + count * length)
        return (0..<count).map { index in
            let start = header + index * length
            return String(decoding: bytes[start..<start + length].prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    private func ask(
        _ question: String, command: UInt32, second: UInt32, count: Int
    ) throws(NetlinkError) -> [UInt8] {
        var request = [UInt8](repeating: 0, count: count)
        request.withUnsafeMutableBytes {
            $0.storeBytes(of: command, as: UInt32.self)
            $0.storeBytes(of: second, toByteOffset: 4, as: UInt32.self)
        }
        return try ask(question, request)
    }

    private func ask(_ question: String, _ request: [UInt8]) throws(NetlinkError) -> [UInt8] {
        let answer = UnsafeMutableRawBufferPointer.allocate(byteCount: request.count, alignment: 8)
        defer { answer.deallocate() }
        answer.copyBytes(from: request)
        try ask(question, answer)
        return Array(answer)
    }

    private func ask(_ question: String, _ bytes: UnsafeMutableRawBufferPointer) throws(NetlinkError) {
        var request = ifreq()
        let name = Array(device.description.utf8)
        let operation = "ask device \(device) \(question)"
        guard name.count < Int(IFNAMSIZ) else { throw NetlinkError(ENODEV, operation) }
        withUnsafeMutableBytes(of: &request.ifr_ifrn) { $0.copyBytes(from: name) }
        request.ifr_ifru.ifru_data = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
        _ = try netlinkCall(operation) { Int(ioctl(fd, UInt(SIOCETHTOOL), &request)) }
    }
}
