/// A stranger's text as one that does nothing to a terminal: control characters, and those that turn the direction of
/// writing or take no room, are written as `\u{1b}`; a backslash twice.
func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { isHidden($0) || $0 == "\\" }) else { return text }
    var shown = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\\": shown += "\\\\"
        case "\n": shown += "\\n"
        case "\t": shown += "\\t"
        case _ where isHidden(scalar): shown += "\\u{\(String(scalar.value, radix: 16))}"
        default: shown.unicodeScalars.append(scalar)
        }
    }
    return shown
}

private func isHidden(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: true
    default: false
    }
}

/// Columns that a terminal gives this text: two for East Asian wide characters and emoji, none for combining marks.
func displayWidth(_ text: String) -> Int {
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
    return text.unicodeScalars.reduce(0) { $0 + width($1) }
}

private func width(_ scalar: Unicode.Scalar) -> Int {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark: return 0
    default: break
    }
    switch scalar.value {
    case 0x1100...0x115f, 0x2e80...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f, 0xff00...0xff60,
        0xffe0...0xffe6, 0x1f300...0x1faff, 0x20000...0x3fffd:
        return 2
    default: return 1
    }
}

/// The text in at most `width` columns, an ellipsis where something was cut off.
func fitted(_ text: String, to width: Int) -> String {
    guard displayWidth(text) > width else { return text }
    var kept = ""
    var used = 1
    for character in text {
        let more = displayWidth(String(character))
        if used + more > width { break }
        kept.append(character)
        used += more
    }
    return width > 0 ? kept + "…" : ""
}
