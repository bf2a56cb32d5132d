import Testing

@testable import remora

@Suite("Tables") struct TableTests {
    let columns: [Table.Column] = [.init("NAME"), .init("N", .right), .init("WHY")]

    @Test("columns stand under their headings, numbers to the right, nothing trails") func aligned() {
        let table = Table(columns, [["a", "1", "yes"], ["long-name", "1000", ""]])
        #expect(
            table.rendered(width: nil) == """
                NAME          N  WHY
                a             1  yes
                long-name  1000

                """)
    }

    @Test("a narrow terminal cuts the widest column, and no line is wider than it", arguments: [10, 20, 30, 44])
    func narrow(width: Int) {
        let rows = [
            ["web", "1", String(repeating: "because ", count: 10)], [String(repeating: "x", count: 60), "2", "-"],
        ]
        let lines = Table(columns, rows).rendered(width: width).split(separator: "\n").map(String.init)
        #expect(lines.count == 3 && lines.allSatisfy { displayWidth($0) <= width })
        #expect(lines[1].hasSuffix("…"))
    }

    @Test("wide and combining characters keep the columns straight") func wide() {
        let table = Table(columns, [["服务", "1", "a"], ["e\u{301}", "2", "b"], ["plain", "3", "c"]])
        let lines = table.rendered(width: nil).split(separator: "\n").dropFirst().map(String.init)
        #expect(Set(lines.map(displayWidth)).count == 1)
    }

    @Test(
        "what a stranger put into a name does nothing to the terminal",
        arguments: [
            ("\u{1b}[2J", "\\u{1b}[2J"), ("a\nb", "a\\nb"), ("a\tb", "a\\tb"), ("\u{9b}0m", "\\u{9b}0m"),
            ("\u{202e}evil", "\\u{202e}evil"), ("\u{200b}", "\\u{200b}"), ("\u{7f}", "\\u{7f}"),
            ("a\\u{1b}", "a\\\\u{1b}"),
            ("größe-1/ü.x", "größe-1/ü.x"), ("\r\n", "\\u{d}\\n"),
        ]) func hostile(text: String, shown: String)
    {
        #expect(printable(text) == shown)
        let rendered = Table([.init("X")], [[text]]).rendered(width: 5)
        #expect(rendered.unicodeScalars.filter { $0 != "\n" }.allSatisfy { $0.properties.generalCategory != .control })
        #expect(rendered.split(separator: "\n").count == 2)
    }

    @Test("rows that are short or missing are no harm") func ragged() {
        #expect(Table(columns, [["a"]]).rendered(width: 3).split(separator: "\n").count == 2)
        #expect(Table(columns, []).rendered(width: nil) == "NAME  N  WHY\n")
        #expect(Table(columns, [["a", "1", "b"]]).rendered(width: nil, heading: false) == "a     1  b\n")
    }
}
