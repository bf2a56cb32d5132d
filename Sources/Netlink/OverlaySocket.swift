internal import CLibMNL
internal import Glibc

/// Copies of the frames, on any device of this network namespace, that go to one of a few UDP ports. The kernel filters:
/// nothing else wakes anybody. Needs CAP_NET_RAW.
public struct OverlaySocket: ~Copyable {
    /// To wait on for reading. Closed with this value.
    public let fd: Int32
    /// Outer and inner headers, with room for Geneve's options.
    private static let longest = 512
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: longest, alignment: 8)

    public init(ports: [UInt16]) throws(NetlinkError) {
        let operation = "listen for overlays"
        // Protocol 0 until the filter is in place.
        fd = socket(
            AF_PACKET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard fd >= 0 else { throw NetlinkError(errno, operation) }
        var program = Self.filter(ports)
        let attached = program.withUnsafeMutableBufferPointer { instructions in
            var filter = sock_fprog(len: UInt16(instructions.count), filter: instructions.baseAddress)
            return setsockopt(
                fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, socklen_t(MemoryLayout<sock_fprog>.size))
        }
        var address = sockaddr_ll()
        address.sll_family = UInt16(AF_PACKET)
        address.sll_protocol = UInt16(ETH_P_ALL).bigEndian
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(fd, $0, socklen_t(MemoryLayout<sockaddr_ll>.size))
            }
        }
        guard attached == 0, bound == 0 else {
            let code = errno
            close(fd)
            buffer.deallocate()
            throw NetlinkError(code, operation)
        }
    }

    deinit {
        close(fd)
        buffer.deallocate()
    }

    /// A frame that came in, cut short, in a buffer that the next read writes over.
    public struct Received {
        public let ifindex: UInt32
        public let bytes: UnsafeRawBufferPointer
    }

    /// The next frame that came in; nil: none waits.
    public func read() throws(NetlinkError) -> Received? {
        while true {
            var from = sockaddr_ll()
            var size = socklen_t(MemoryLayout<sockaddr_ll>.size)
            let count = try netlinkCall("listen for overlays") {
                withUnsafeMutablePointer(to: &from) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        recvfrom(fd, buffer.baseAddress, buffer.count, 0, $0, &size)
                    }
                }
            }
            guard let count else { return nil }
            if from.sll_pkttype == UInt8(PACKET_OUTGOING) { continue }
            return Received(
                ifindex: UInt32(bitPattern: from.sll_ifindex),
                bytes: UnsafeRawBufferPointer(rebasing: buffer[..<min(count, buffer.count)]))
        }
    }

    /// Classic BPF: UDP over IPv4, not a later fragment, or over IPv6 without extension headers, to one of the ports.
    private static func filter(_ ports: [UInt16]) -> [sock_filter] {
        let ports = ports.prefix(16)
        func load(_ code: Int32, _ offset: UInt32) -> sock_filter {
            sock_filter(code: UInt16(code), jt: 0, jf: 0, k: offset)
        }
        func jump(_ code: Int32, _ value: UInt32, _ yes: Int, _ no: Int) -> sock_filter {
            sock_filter(code: UInt16(BPF_JMP | code | BPF_K), jt: UInt8(yes), jf: UInt8(no), k: value)
        }
        let (half, byte) = (BPF_LD | BPF_H | BPF_ABS, BPF_LD | BPF_B | BPF_ABS)
        // Offsets of jumps count from the next instruction; `compare` comes last, then reject, then accept.
        let compare = ports.count
        var program = [
            load(half, 12), jump(BPF_JEQ, 0x0800, 0, 7),
            load(byte, 23), jump(BPF_JEQ, 17, 0, 9 + compare),
            load(half, 20), jump(BPF_JSET, 0x1fff, 7 + compare, 0),
            load(BPF_LDX | BPF_B | BPF_MSH, 14), load(BPF_LD | BPF_H | BPF_IND, 16),
            jump(BPF_JA, 4, 0, 0),
            jump(BPF_JEQ, 0x86dd, 0, 3 + compare), load(byte, 20), jump(BPF_JEQ, 17, 0, 1 + compare), load(half, 56),
        ]
        for (index, port) in ports.enumerated() {
            program.append(jump(BPF_JEQ, UInt32(port), compare - index, 0))
        }
        return program + [load(BPF_RET | BPF_K, 0), load(BPF_RET | BPF_K, UInt32(longest))]
    }
}
