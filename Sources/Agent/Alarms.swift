internal import Model

/// What needs an operator, by subject: one each, until it is mended.
struct Alarms {
    private var bySubject: [String: AlarmView] = [:]
    private static let most = 256

    var list: [AlarmView] { bySubject.values.sorted { $0.subject < $1.subject } }
    var count: Int { bySubject.count }

    /// True where it is new or says something else than before.
    mutating func raise(_ subject: String, _ message: String, remedy: String? = nil) -> Bool {
        let alarm = AlarmView(subject: subject, message: message, remedy: remedy)
        guard bySubject[subject] != alarm else { return false }
        guard bySubject[subject] != nil || bySubject.count < Self.most else { return false }
        bySubject[subject] = alarm
        return true
    }

    mutating func clear(_ subject: String) { bySubject[subject] = nil }
}
