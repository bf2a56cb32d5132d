import Foundation

#if canImport(FoundationXML)
    import FoundationXML
#endif

/// An element of a stranger's XML, with what is in it. Names are without their prefix.
struct Markup: Equatable {
    var name: String
    var attributes: [String: String] = [:]
    /// Character data of the element itself, in one piece.
    var text = ""
    var children: [Markup] = []

    static let longestBody = 1 << 18
    static let deepest = 32
    static let mostElements = 8192
    /// Finding one attribute twice takes libxml2 the square of their number.
    static let longestTag = 4096

    /// Nil where the bytes are not well-formed XML in UTF-8, have a document type (and so entities of their own), or
    /// are out of bounds.
    init?(_ bytes: [UInt8]) {
        guard Self.admit(bytes), let document = String(exactly: bytes).map(Self.withoutDeclaration) else { return nil }
        let reader = MarkupReader()
        let parser = XMLParser(data: Data(document.utf8))
        parser.shouldProcessNamespaces = true
        parser.shouldResolveExternalEntities = false
        parser.delegate = reader
        guard parser.parse(), parser.parserError == nil, !reader.isRefused, let root = reader.root else { return nil }
        self = root
    }

    fileprivate init(name: String, attributes: [String: String]) {
        self.name = name
        self.attributes = attributes
    }

    /// Could these bytes be XML at all?
    static func looksLike(_ bytes: [UInt8]) -> Bool {
        let start = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? 3 : 0
        return bytes.dropFirst(start).first { !$0.isSpace } == UInt8(ascii: "<")
    }

    subscript(name: String) -> Markup? { children.first { $0.name == name } }

    func all(_ name: String) -> [Markup] { children.filter { $0.name == name } }

    /// The text without the spaces around it.
    var trimmed: String { text.trimmingCharacters(in: .whitespacesAndNewlines) }

    /// That of the first such element; nil where there is none.
    func text(_ name: String) -> String? { self[name]?.trimmed }

    // MARK: - Bounds

    /// One pass before a parser sees it.
    private static func admit(_ bytes: [UInt8]) -> Bool {
        guard bytes.count <= longestBody, looksLike(bytes) else { return false }
        var tagStart: Int?
        for (index, byte) in bytes.enumerated() {
            if byte == UInt8(ascii: "<") {
                tagStart = index
                // Comments and character data are all that may begin so: no document type, no entities.
                if index + 2 < bytes.count, bytes[index + 1] == UInt8(ascii: "!"),
                    bytes[index + 2] != UInt8(ascii: "-"),
                    bytes[index + 2] != UInt8(ascii: "[")
                {
                    return false
                }
            } else if byte == UInt8(ascii: ">") {
                tagStart = nil
            } else if let tagStart, index - tagStart > longestTag {
                return false
            }
        }
        return true
    }

    /// It could name another encoding, in which the bytes read differently.
    private static func withoutDeclaration(_ text: String) -> Substring {
        let body = text.drop { $0 == "\u{feff}" || $0.isWhitespace }
        guard body.hasPrefix("<?xml"), let end = body.firstRange(of: "?>") else { return body }
        return body[end.upperBound...]
    }
}

extension UInt8 {
    fileprivate var isSpace: Bool { self == 0x20 || (0x09...0x0d).contains(self) }
}

private final class MarkupReader: NSObject, XMLParserDelegate {
    private(set) var root: Markup?
    private(set) var isRefused = false
    private var open: [Markup] = []
    private var elements = 0

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        elements += 1
        guard !isRefused, root == nil, open.count < Markup.deepest, elements <= Markup.mostElements else {
            isRefused = true
            parser.abortParsing()
            return
        }
        open.append(Markup(name: name, attributes: attributes))
    }

    func parser(_ parser: XMLParser, foundCharacters text: String) {
        guard !isRefused, !open.isEmpty else { return }
        open[open.count - 1].text += text
    }

    func parser(_ parser: XMLParser, foundCDATA block: Data) {
        self.parser(parser, foundCharacters: String(decoding: block, as: UTF8.self))
    }

    func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
        guard !isRefused, let done = open.popLast() else { return }
        if open.isEmpty {
            root = done
        } else {
            open[open.count - 1].children.append(done)
        }
    }
}
