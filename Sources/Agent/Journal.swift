import CZlib
import Fleet
import Foundation
import Glibc

/// What the fleet must know after a restart, on disk: one record a line, each with its checksum.
///
///     9d3f0c1a {"remora-journal":1}
///     5b7e2f90 {"vip":{"service":{...},"frontend":{...}}}
///
/// The checksum is zlib's CRC-32 of the JSON text, as eight hexadecimal digits. A record counts from the moment
/// `append` has returned: then it is on the disk.
struct Journal: ~Copyable, Sendable {
    /// Of the format. 0 was written before there was a header's number to check; its lines are the same.
    static let version = 1
    /// No fleet within its limits comes near this.
    static let longest = 1 << 30

    let path: String
    private var descriptor: Int32
    /// Bytes that are known to be whole lines.
    private var length: Int
    /// Lines in the file, the header left out.
    private(set) var count: Int
    /// Records could not be written: only compaction makes the file whole again.
    private var isBehind = false
    /// Half a batch may stand behind `length`.
    private var isTorn = false

    struct Opened: ~Copyable {
        var journal: Journal
        /// Oldest first: every line that could be read.
        let records: [Fleet.Record]
        /// What was found wrong and what was done about it, for the operator; empty: nothing.
        let notices: [String]
    }

    deinit {
        // by name: a child that was forked a moment ago has the descriptor until it runs its program
        _ = flock(descriptor, LOCK_UN)
        _ = Glibc.close(descriptor)
    }

    /// Opens the journal, or begins one. What is damaged is never thrown away: the file is kept beside under another
    /// name, and a new one holds all that could be read.
    static func open(at path: String) throws(JournalError) -> Opened {
        let descriptor = try opened(path, O_RDWR | O_CREAT | O_APPEND, "open")
        var journal = Journal(path: path, descriptor: descriptor, length: 0, count: 0)
        let bytes = try journal.contents()
        guard !bytes.isEmpty else {
            try journal.write(Self.header, "open")
            return Opened(journal: journal, records: [], notices: [])
        }
        let reading = JournalReading(bytes)
        if let newer = reading.version, newer > version {
            throw JournalError(
                code: .newer, operation: "open", path: path,
                cause: "it has format \(newer), this remora reads up to \(version)")
        }
        journal.length = bytes.count
        journal.count = reading.records.count
        var notices = reading.notices(path: path)
        if reading.damaged > 0 {
            let aside = try journal.setAside()
            notices.append("the damaged file is kept as \(aside); \(reading.records.count) records were saved from it")
            try journal.compact(to: reading.records)
        } else if reading.version != version {
            try journal.compact(to: reading.records)
        } else if reading.whole < bytes.count {
            try journal.cut(to: reading.whole)
        }
        return Opened(journal: journal, records: reading.records, notices: notices)
    }

    /// Writes the records and waits until they are on the disk. On an error none of them is in the file.
    mutating func append(_ records: [Fleet.Record]) throws(JournalError) {
        guard !records.isEmpty else { return }
        do throws(JournalError) {
            try write(try lines(of: records, "append"), "append")
        } catch {
            isBehind = true
            throw error
        }
        count += records.count
    }

    /// Is most of the file out of date, or something missing in it? `live`: how many records say it all.
    func needsCompaction(live: Int) -> Bool { isBehind || count > max(1024, 4 * live) }

    /// Replaces the file by one that holds these records alone. Until the rename the old one stands whole.
    mutating func compact(to records: [Fleet.Record]) throws(JournalError) {
        let aside = path + ".new"
        guard unlink(aside) == 0 || errno == ENOENT else { throw failure("compact", aside) }
        var new = Journal(
            path: path, descriptor: try Self.opened(aside, O_RDWR | O_CREAT | O_EXCL | O_APPEND, "compact"), length: 0,
            count: records.count)
        do throws(JournalError) {
            try new.write(Self.header + lines(of: records, "compact"), "compact")
            guard rename(aside, path) == 0 else { throw failure("compact", path) }
        } catch {
            _ = unlink(aside)
            throw error
        }
        // From the rename on the old descriptor is that of a file without a name.
        self = new
        try syncDirectory()
    }

    // MARK: - Bytes

    private static let header = JournalLine.text(of: Data("{\"remora-journal\":\(version)}".utf8))

    private func lines(of records: [Fleet.Record], _ operation: String) throws(JournalError) -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var bytes = Data()
        do {
            for record in records { bytes += JournalLine.text(of: try encoder.encode(record)) }
        } catch {
            throw JournalError(code: .unwritable, operation: operation, path: path, cause: "\(error)")
        }
        return bytes
    }

    private mutating func write(_ bytes: Data, _ operation: String) throws(JournalError) {
        if isTorn { try cut(to: length) }
        var done = 0
        while done < bytes.count {
            let written = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done)
            }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { return try undo(operation) }
            done += written
        }
        guard fdatasync(descriptor) == 0 else { return try undo(operation) }
        length += bytes.count
    }

    /// Half a batch must not stay: the next one would be glued to it.
    private mutating func undo(_ operation: String) throws(JournalError) {
        let cause = failure(operation, path)
        isTorn = true
        try? cut(to: length)
        throw cause
    }

    private mutating func cut(to whole: Int) throws(JournalError) {
        guard ftruncate(descriptor, off_t(whole)) == 0, fdatasync(descriptor) == 0 else { throw failure("open", path) }
        length = whole
        isTorn = false
    }

    private func contents() throws(JournalError) -> Data {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("open", path) }
        guard status.st_size <= Self.longest else {
            throw JournalError(
                code: .tooLarge, operation: "open", path: path, cause: "it is \(status.st_size) bytes long")
        }
        var bytes = Data(count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let room = bytes.count - done
            let read = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress?.advanced(by: done), room, off_t(done))
            }
            if read < 0, errno == EINTR { continue }
            guard read >= 0 else { throw failure("open", path) }
            guard read > 0 else { break }
            done += read
        }
        return bytes.prefix(done)
    }

    /// A second name for the damaged file, before a whole one takes its place.
    private func setAside() throws(JournalError) -> String {
        for number in 1...9999 {
            let aside = "\(path).damaged-\(number)"
            if link(path, aside) == 0 { return aside }
            guard errno == EEXIST else { throw failure("open", aside) }
        }
        throw JournalError(
            code: .unwritable, operation: "open", path: path, cause: "9999 damaged journals are kept beside it already")
    }

    private func syncDirectory() throws(JournalError) {
        let directory = Glibc.open(URL(fileURLWithPath: path).deletingLastPathComponent().path, O_RDONLY | O_CLOEXEC)
        guard directory >= 0 else { throw failure("compact", path) }
        defer { _ = Glibc.close(directory) }
        guard fsync(directory) == 0 else { throw failure("compact", path) }
    }

    /// Opens and locks: two agents must not write one journal.
    private static func opened(_ path: String, _ flags: Int32, _ operation: String) throws(JournalError) -> Int32 {
        let descriptor = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw JournalError(
                code: .unreadable, operation: operation, path: path, cause: String(cString: strerror(errno)))
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            _ = Glibc.close(descriptor)
            throw JournalError(code: .inUse, operation: operation, path: path, cause: "another process writes it")
        }
        return descriptor
    }

    /// Reads errno: call it right after what failed.
    private func failure(_ operation: String, _ path: String) -> JournalError {
        JournalError(code: .unwritable, operation: operation, path: path, cause: String(cString: strerror(errno)))
    }
}
