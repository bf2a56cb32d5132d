extension String {
    /// A stranger's bytes in a sentence for people: quoted, cut short, control characters escaped.
    var shown: String {
        let limit = 80
        var text = "\""
        for scalar in unicodeScalars.prefix(limit) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
                text += "\\u{\(String(scalar.value, radix: 16))}"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + (unicodeScalars.count > limit ? "...\"" : "\"")
    }

    /// As one segment of a path: it holds no slash, and no two texts become the same.
    var asSegment: String {
        var text = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            switch scalar {
            case "/": text += "%2F".unicodeScalars
            case "%": text += "%25".unicodeScalars
            default: text.append(scalar)
            }
        }
        return String(text)
    }

    /// May a machine be called so (RFC 1123, 2.1; with the underscores that people use)?
    var isHostName: Bool {
        (1...253).contains(utf8.count)
            && utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                    true
                default: false
                }
            } && utf8.contains { !(UInt8(ascii: ".")...UInt8(ascii: "9")).contains($0) }
    }

    /// At most so many scalars: a Character may be any number of them.
    func cut(to limit: Int) -> String {
        unicodeScalars.count <= limit ? self : String(UnicodeScalarView(unicodeScalars.prefix(limit)))
    }
}

/// FNV-1a, 64 bits: the same on every machine and after every start, which Swift's own hash is not.
func stableHash(_ parts: String...) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for part in parts {
        for byte in part.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        // 0xff is no byte of UTF-8: "a" + "bc" is not "ab" + "c".
        hash = (hash ^ 0xff) &* 0x100_0000_01b3
    }
    return hash
}
