internal import CLibBPF
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

/// Keeps what libbpf prints during a call, so that an error can carry it.
final class LibbpfLog: Sendable {
    static let shared = LibbpfLog()
    private static let limit = 64 * 1024
    private let kept = Mutex("")

    private init() {
        libbpf_set_print { level, format, arguments in
            guard let format, let arguments, level.rawValue <= LIBBPF_INFO.rawValue else { return 0 }
            var text = [CChar](repeating: 0, count: 4096)
            vsnprintf(&text, text.count, format, arguments)
            LibbpfLog.shared.append(
                String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
            return 0
        }
    }

    var text: String { kept.withLock { $0 } }
    func clear() { kept.withLock { if !$0.isEmpty { $0 = "" } } }
    private func append(_ line: String) {
        kept.withLock { if $0.utf8.count < Self.limit { $0 += line } }
    }
}
