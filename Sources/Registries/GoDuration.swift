/// Durations as Go's time.ParseDuration reads them: "15s", "1m30s", "1.5h".
enum GoDuration {
    /// Whole seconds, rounded up; nil where it is none, not above 0, or above a hundred years.
    static func seconds(_ text: String) -> Int? {
        guard (1...64).contains(text.utf8.count) else { return nil }
        var rest = Substring(text)
        if rest.first == "+" { rest = rest.dropFirst() }
        var total = 0.0
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
            guard let number = Double(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter }
            guard let scale = units[String(unit)] else { return nil }
            rest = rest.dropFirst(unit.count)
            total += number * scale
        }
        guard total > 0, total < Double(Bounds.mostSeconds) else { return nil }
        return Int(total.rounded(.up))
    }

    private static let units = ["ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600]
}
