import Foundation
import Lab
import Testing

/// Why the tests of the whole agent are left out here; nil where they can run. Each left out test is counted as skipped.
let missing: String? =
    if geteuid() != 0 {
        "needs root: it makes network namespaces and loads BPF programs"
    } else if access(Remora.defaultBinary, X_OK) != 0 {
        "needs the binary \(Remora.defaultBinary): swift build -c release --product remora, or set REMORA_BIN"
    } else {
        nil
    }

/// Tests with labs of their own, one after another: the machine has few cores, and emulated VMs are slow ones.
@Suite("the agent in a network", .serialized, .enabled(if: missing == nil, "\(missing ?? "")"))
struct Networks {}
