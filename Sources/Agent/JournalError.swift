/// What went wrong with the journal: at what, on which file, why, and what to do.
struct JournalError: Error, Equatable, CustomStringConvertible {
    enum Code: String, Sendable { case unreadable, unwritable, newer, inUse, tooLarge }

    let code: Code
    /// "open", "append" or "compact".
    let operation: String
    let path: String
    let cause: String

    var description: String {
        let advice =
            switch code {
            case .unreadable: "check the file's owner and mode"
            case .unwritable: "check free space, and the directory's owner and mode; nothing was lost"
            case .newer: "run the newer remora, or move the file away to start without what it holds"
            case .inUse: "stop the other agent, or give this one a state directory of its own"
            case .tooLarge: "move the file away to start without what it holds"
            }
        return "\(operation) journal \(path): \(cause): \(advice)"
    }
}
