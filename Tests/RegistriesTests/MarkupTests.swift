import Testing

@testable import Registries

@Suite("XML from strangers") struct MarkupTests {
    @Test("elements, attributes, text and character data, prefixes aside") func whole() throws {
        let text = """
            \u{feff}<?xml version="1.0" encoding="UTF-8"?>
            <!-- a <note> -->
            <s:a xmlns:s="urn:x" n="1"><b> t&amp;<![CDATA[<c>]]>&#x41; </b><b/><s:d xml:lang="en">ü</s:d></s:a>
            """
        let root = try #require(Markup(Array(text.utf8)))
        #expect(root.name == "a" && root.attributes["n"] == "1" && root.all("b").count == 2)
        #expect(root.text("b") == "t&<c>A" && root["d"]?.text == "ü" && root["e"] == nil && root.text("e") == nil)
    }

    @Test(
        "what is no XML, or more than that, is refused",
        arguments: [
            "", "<", "<a>", "<a></b>", "<a></a><b/>", "a<b/>", "{}", "<a b='1' b='2'/>", "<a>&unknown;</a>",
            "<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>",
            "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", "<a><!ENTITY e 'x'></a>",
            "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY e SYSTEM 'http://10.0.0.1/'>]><a>&e;</a>",
        ])
    func refused(text: String) { #expect(Markup(Array(text.utf8)) == nil) }

    @Test("no other encoding hides anything") func encodings() {
        let hidden = "<?xml version='1.0' encoding='UTF-16LE'?><a>x</a>"
        #expect(Markup(Array(hidden.utf8))?.text == "x")
        let wide = Array("<!DOCTYPE a><a/>".utf16).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        #expect(Markup([0xff, 0xfe] + wide) == nil && Markup(wide) == nil)
        #expect(Markup([0x3c, 0x61, 0x3e, 0xe9, 0x3c, 0x2f, 0x61, 0x3e]) == nil)
    }

    @Test("depth, elements, tags and length are bounded") func bounded() {
        func nested(_ depth: Int) -> [UInt8] {
            Array((String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)).utf8)
        }
        #expect(Markup(nested(Markup.deepest)) != nil)
        #expect(Markup(nested(Markup.deepest + 1)) == nil && Markup(nested(20_000)) == nil)
        let unclosed = String(repeating: "<a>", count: 60_000)
        #expect(Markup(Array(unclosed.utf8)) == nil)
        let wide = "<a>" + String(repeating: "<b/>", count: Markup.mostElements) + "</a>"
        #expect(Markup(Array(wide.utf8)) == nil)
        let tag = "<a " + (0..<2000).map { "x\($0)=''" }.joined(separator: " ") + "/>"
        #expect(Markup(Array(tag.utf8)) == nil)
        let long = "<a>" + String(repeating: "x", count: Markup.longestBody) + "</a>"
        #expect(Markup(Array(long.utf8)) == nil)
        #expect(Markup(Array("<a>\(String(repeating: "x", count: 200_000))</a>".utf8))?.text.count == 200_000)
    }
}
