/// Rows under headings, aligned, and cut to the terminal where it is narrow.
struct Table {
    struct Column {
        enum Alignment { case left, right }
        let title: String
        let alignment: Alignment
        /// Never narrower than this, whatever stands in it: for tables that grow.
        let least: Int

        init(_ title: String, _ alignment: Alignment = .left, least: Int = 0) {
            self.title = title
            self.alignment = alignment
            self.least = least
        }
    }

    private let columns: [Column]
    private let rows: [[String]]
    private static let gap = 2
    /// A column is not cut below this.
    private static let narrowest = 8

    /// Cells are shown as they are safe to show.
    init(_ columns: [Column], _ rows: [[String]]) {
        self.columns = columns
        self.rows = rows.map { $0.map(printable) }
    }

    /// Each line ends with a line feed. `width` nil: nothing is cut.
    func rendered(width: Int?, heading: Bool = true) -> String {
        var widths = columns.enumerated().map { index, column in
            rows.map { index < $0.count ? displayWidth($0[index]) : 0 }
                .reduce(max(column.title.count, column.least), max)
        }
        if let width { shrink(&widths, to: width) }
        let lines = (heading ? [columns.map(\.title)] : []) + rows
        return lines.map { line($0, widths, width) + "\n" }.joined()
    }

    /// Takes from the widest column, one by one, until it fits or nothing is left to take.
    private func shrink(_ widths: inout [Int], to width: Int) {
        var excess = widths.reduce(Self.gap * (widths.count - 1), +) - width
        while excess > 0, let widest = widths.indices.max(by: { widths[$0] < widths[$1] }),
            widths[widest] > max(Self.narrowest, columns[widest].title.count)
        {
            widths[widest] -= 1
            excess -= 1
        }
    }

    private func line(_ cells: [String], _ widths: [Int], _ width: Int?) -> String {
        var line = ""
        for (index, column) in columns.enumerated() {
            let cell = fitted(index < cells.count ? cells[index] : "", to: widths[index])
            let padding = String(repeating: " ", count: max(0, widths[index] - displayWidth(cell)))
            line += column.alignment == .left ? cell + padding : padding + cell
            if index < columns.count - 1 { line += String(repeating: " ", count: Self.gap) }
        }
        while line.hasSuffix(" ") { line.removeLast() }
        return width.map { fitted(line, to: $0) } ?? line
    }
}

/// Something that is a row of a table.
protocol Tabular {
    static var columns: [Table.Column] { get }
    var cells: [String] { get }
}
