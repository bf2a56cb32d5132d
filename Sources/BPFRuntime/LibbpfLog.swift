internal import CLibBPF
internal import Synchronization

/// Keeps what libbpf prints during a call, so that an error can carry it.
final class LibbpfLog: Sendable {
    static let shared = LibbpfLog()
    private static let limit = 64 * 1024
    private let kept = Mutex("")

    private init() {
        remora_set_log { level, text in
            guard let text, level <= LIBBPF_INFO.rawValue else { return }
            LibbpfLog.shared.append(String(cString: text))
        }
    }

    var text: String { kept.withLock { $0 } }
    func clear() { kept.withLock { if !$0.isEmpty { $0 = "" } } }
    private func append(_ line: String) {
        kept.withLock { if $0.utf8.count < Self.limit { $0 += line } }
    }
}
