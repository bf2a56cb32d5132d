import CZlib
import Fleet
import Foundation

/// One line of the journal: checksum, space, JSON, newline.
enum JournalLine {
    static func text(of json: Data) -> Data {
        let sum = String(checksum(json), radix: 16)
        return Data((String(repeating: "0", count: 8 - sum.count) + sum + " ").utf8) + json + Data([0x0a])
    }

    /// The JSON of a line without its newline; nil: it is damaged.
    static func json(of line: Data) -> Data? {
        let digits = line.prefix(8)
        guard line.count > 9, line[line.startIndex + 8] == UInt8(ascii: " "),
            let sum = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        else { return nil }
        let json = Data(line.dropFirst(9))
        return checksum(json) == sum ? json : nil
    }

    private static func checksum(_ bytes: Data) -> UInt32 {
        bytes.withUnsafeBytes { buffer in
            guard let base = buffer.bindMemory(to: UInt8.self).baseAddress else { return 0 }
            return UInt32(truncatingIfNeeded: crc32_z(0, base, buffer.count))
        }
    }
}

/// What can be made of a journal's bytes.
struct JournalReading {
    /// Nil: the first line is no header that can be read.
    private(set) var version: Int?
    private(set) var records: [Fleet.Record] = []
    /// Lines that do not match their checksum, or hold nothing known.
    private(set) var damaged = 0
    /// The first of them, from 1.
    private(set) var firstDamaged = 0
    /// Bytes up to the last newline: what follows was being written when the power went.
    private(set) var whole = 0
    private var torn = false

    private struct Header: Decodable {
        let version: Int
        enum CodingKeys: String, CodingKey { case version = "remora-journal" }
    }

    init(_ bytes: Data) {
        let decoder = JSONDecoder()
        var number = 0
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: 0x0a) {
            number += 1
            read(bytes[start..<end], number, decoder)
            start = end + 1
        }
        whole = start - bytes.startIndex
        torn = start < bytes.endIndex
        // Nothing whole at all: no header either.
        if number == 0 { mark(1) }
    }

    private mutating func read(_ line: Data, _ number: Int, _ decoder: JSONDecoder) {
        guard let json = JournalLine.json(of: line) else { return mark(number) }
        if number == 1, let header = try? decoder.decode(Header.self, from: json) {
            version = header.version
        } else if let record = try? decoder.decode(Fleet.Record.self, from: json) {
            records.append(record)
        } else if (version ?? Journal.version) <= Journal.version {
            mark(number)
        }
    }

    private mutating func mark(_ number: Int) {
        if damaged == 0 { firstDamaged = number }
        damaged += 1
    }

    func notices(path: String) -> [String] {
        var notices: [String] = []
        if let version, version < Journal.version {
            notices.append(
                "journal \(path) has the older format \(version): it is written anew in format \(Journal.version)")
        }
        if version == nil, damaged == 0 { notices.append("journal \(path) has no header: it is written anew") }
        if damaged > 0 {
            notices.append("journal \(path): \(damaged) lines are damaged, the first of them line \(firstDamaged)")
        } else if torn {
            notices.append("journal \(path): its last line was cut short while it was written, and is left out")
        }
        return notices
    }
}
