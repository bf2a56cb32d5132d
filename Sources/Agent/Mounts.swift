/// What is mounted where, from the text of /proc/self/mounts.
struct Mounts {
    private let types: [(path: String, type: String)]

    init(_ text: String) {
        types = text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count > 2 ? (Self.unescaped(words[1]), String(words[2])) : nil
        }
    }

    /// The file system that a path lies in; a later mount covers an earlier one.
    func type(at path: String) -> String? {
        var best: (path: String, type: String)?
        for mount in types where Self.contains(mount.path, path) && mount.path.utf8.count >= best?.path.utf8.count ?? 0
        {
            best = mount
        }
        return best?.type
    }

    private static func contains(_ mount: String, _ path: String) -> Bool {
        mount == "/" || path == mount || path.hasPrefix(mount + "/")
    }

    /// Blanks and backslashes are written as \040 and the like.
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(3), as: UTF8.self)
            if byte == UInt8(ascii: "\\"), digits.utf8.count == 3, let value = UInt8(digits, radix: 8) {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
