import Fleet
import Foundation
import Model
import Testing

@testable import Agent

@Suite struct JournalTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "remora-\(UUID().uuidString)")

    private func withPath(_ body: (String) throws -> Void) throws {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        try body(directory.appending(path: "journal").path)
    }

    private func record(_ number: Int) -> Fleet.Record {
        let service = ServiceID(network: NetworkID(0), name: "s\(number)\n\u{1f40b}")
        return .vip(service: service, frontend: .init(address: IPv4Address(bits: UInt32(number)), port: 80))
    }
    private func records(_ range: Range<Int>) -> [Fleet.Record] { range.map(record) }

    private func write(_ records: [Fleet.Record], to path: String) throws {
        var opened = try Journal.open(at: path)
        try opened.journal.append(records)
    }
    private func read(_ path: String) throws -> (records: [Fleet.Record], notices: [String]) {
        let opened = try Journal.open(at: path)
        return (opened.records, opened.notices)
    }
    private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }
    private func put(_ bytes: Data, _ path: String) throws { try bytes.write(to: URL(fileURLWithPath: path)) }
    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    }

    @Test("what was appended is read back, in order, over several runs") func roundTrip() throws {
        try withPath { path in
            try write(records(0..<3), to: path)
            try write(records(3..<5), to: path)
            let found = try read(path)
            #expect(found.records == records(0..<5))
            #expect(found.notices.isEmpty)
        }
    }

    @Test("a new journal is a header with the format's version, readable by its owner alone") func header() throws {
        try withPath { path in
            #expect(try read(path).records.isEmpty)
            let text = String(decoding: try bytes(path), as: UTF8.self)
            #expect(text.hasSuffix(" {\"remora-journal\":1}\n"))
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber
            #expect(mode?.intValue == 0o600)
        }
    }

    @Test("every line's checksum is zlib's CRC-32 of its JSON") func checksum() {
        // The check value of CRC-32/ISO-HDLC.
        let line = JournalLine.text(of: Data("123456789".utf8))
        #expect(String(decoding: line, as: UTF8.self) == "cbf43926 123456789\n")
        #expect(JournalLine.json(of: line.dropLast()) == Data("123456789".utf8))
    }

    @Test("a last line without its newline is cut and said, wherever the power went") func torn() throws {
        try withPath { path in
            try write(records(0..<3), to: path)
            let whole = try bytes(path)
            let lastLine = try #require(whole.dropLast().lastIndex(of: 0x0a)) + 1
            for length in [lastLine + 1, lastLine + 9, whole.count - 1] {
                try put(whole.prefix(length), path)
                let found = try read(path)
                #expect(found.records == records(0..<2))
                #expect(found.notices.count == 1)
                #expect(found.notices.first?.contains("cut short") == true)
                try write(records(9..<10), to: path)
                let after = try read(path)
                #expect(after.records == records(0..<2) + records(9..<10))
                #expect(after.notices.isEmpty)
            }
            #expect(try names() == ["journal"])
        }
    }

    @Test("a damaged line in the middle: the file is set aside, the other records are kept, and it is said")
    func damaged() throws {
        try withPath { path in
            try write(records(0..<5), to: path)
            var broken = try bytes(path)
            let third = try #require(broken.indices.filter { broken[$0] == 0x0a }.dropFirst(2).first)
            broken[third - 5] ^= 1
            try put(broken, path)
            let found = try read(path)
            #expect(
                found.records == records(0..<2) + records(3..<5) || found.records == records(0..<1) + records(2..<5))
            #expect(found.records.count == 4)
            #expect(found.notices.first?.contains("1 lines are damaged") == true)
            #expect(try names() == ["journal", "journal.damaged-1"])
            #expect(try bytes(path + ".damaged-1") == broken)
            #expect(try read(path).notices.isEmpty, "the new file is whole")
        }
    }

    @Test("a second damaged file takes a name of its own") func damagedTwice() throws {
        try withPath { path in
            for _ in 0..<2 {
                try write(records(0..<2), to: path)
                try put(try bytes(path).prefix(30) + Data("garbage\n".utf8), path)
                _ = try read(path)
            }
            #expect(try names() == ["journal", "journal.damaged-1", "journal.damaged-2"])
        }
    }

    @Test("every single flipped bit is noticed, and costs no other record") func bits() throws {
        try withPath { path in
            try write(records(0..<3), to: path)
            let whole = try bytes(path)
            for index in stride(from: 0, to: whole.count, by: 7) {
                var broken = whole
                broken[index] ^= 0x10
                let reading = JournalReading(broken)
                #expect(reading.damaged > 0 || reading.whole < broken.count, "byte \(index)")
                #expect(reading.records.allSatisfy(records(0..<3).contains))
                #expect(reading.records.count >= 1)
            }
        }
    }

    @Test("bytes that are no journal at all are kept aside, and a new one begins") func garbage() throws {
        try withPath { path in
            try put(Data((0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 31) }), path)
            let found = try read(path)
            #expect(found.records.isEmpty)
            #expect(!found.notices.isEmpty)
            try write(records(0..<1), to: path)
            #expect(try read(path).records == records(0..<1))
        }
    }

    @Test("a newer format is refused with what to do, and the file is not touched") func newer() throws {
        try withPath { path in
            let future = JournalLine.text(of: Data("{\"remora-journal\":2}".utf8)) + Data("whatever it is\n".utf8)
            try put(future, path)
            let error = #expect(throws: JournalError.self) { _ = try Journal.open(at: path) }
            #expect(error?.code == .newer)
            #expect(error?.description.contains("format 2") == true)
            #expect(error?.description.contains("run the newer remora") == true)
            #expect(try bytes(path) == future)
        }
    }

    @Test("an older format is read, said, and written anew") func older() throws {
        try withPath { path in
            try write(records(0..<2), to: path)
            let lines = try bytes(path)
            let body = lines.suffix(from: try #require(lines.firstIndex(of: 0x0a)) + 1)
            try put(JournalLine.text(of: Data("{\"remora-journal\":0}".utf8)) + body, path)
            let found = try read(path)
            #expect(found.records == records(0..<2))
            #expect(found.notices.first?.contains("older format 0") == true)
            #expect(try read(path).notices.isEmpty)
        }
    }

    @Test("answers that were written down before they were timed are read") func untimed() throws {
        let place = Place(port: PortName("tap0"), role: .vm, mac: MACAddress(bits: 2))
        let text = #"{"_0":{"mac":"00:00:00:00:00:02","port":"tap0","role":"vm"},"hopLimit":63,"open":true}"#
        let old = Data("{\"answered\":\(text)}".utf8)
        #expect(
            try JSONDecoder().decode(ProbeResult.self, from: old) == .answered(place, open: true, hopLimit: 63))
        let seen = try JSONDecoder().decode(Sighting.self, from: Data(#"{"hopLimit":63}"#.utf8))
        #expect(seen == Sighting(hopLimit: 63))
        let timed = ProbeResult.answered(place, open: true, hopLimit: 63, microseconds: 312)
        #expect(try JSONDecoder().decode(ProbeResult.self, from: JSONEncoder().encode(timed)) == timed)
    }

    @Test("compaction leaves what is given, and appending goes on behind it") func compaction() throws {
        try withPath { path in
            var opened = try Journal.open(at: path)
            try opened.journal.append(records(0..<1500))
            let (due, early) = (opened.journal.needsCompaction(live: 2), opened.journal.needsCompaction(live: 1000))
            #expect(due && !early)
            let before = try bytes(path).count
            try opened.journal.compact(to: records(0..<2))
            #expect(try bytes(path).count < before / 100)
            let (count, again) = (opened.journal.count, opened.journal.needsCompaction(live: 2))
            #expect(count == 2 && !again)
            try opened.journal.append(records(2..<3))
            _ = consume opened
            #expect(try read(path).records == records(0..<3))
            #expect(try names() == ["journal"])
        }
    }

    @Test("a leftover of a compaction that was cut off is no obstacle") func leftover() throws {
        try withPath { path in
            try write(records(0..<2), to: path)
            try put(Data("half".utf8), path + ".new")
            var opened = try Journal.open(at: path)
            try opened.journal.compact(to: records(0..<1))
            _ = consume opened
            #expect(try read(path).records == records(0..<1))
        }
    }

    @Test("a second agent on the same journal is kept out, also after a compaction") func locked() throws {
        try withPath { path in
            var opened = try Journal.open(at: path)
            #expect(#expect(throws: JournalError.self) { _ = try Journal.open(at: path) }?.code == .inUse)
            try opened.journal.compact(to: records(0..<1))
            #expect(#expect(throws: JournalError.self) { _ = try Journal.open(at: path) }?.code == .inUse)
            _ = consume opened
            #expect(try read(path).records == records(0..<1))
        }
    }

    @Test("a directory that is not there is an error that says so") func noDirectory() {
        let error = #expect(throws: JournalError.self) { _ = try Journal.open(at: "/nonexistent/remora/journal") }
        #expect(error?.code == .unreadable)
        #expect(error?.description.contains("open journal /nonexistent/remora/journal: No such file") == true)
    }

    @Test("a symbolic link is not followed") func symlink() throws {
        try withPath { path in
            try put(Data("precious".utf8), path + ".other")
            try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: path + ".other")
            #expect(throws: JournalError.self) { _ = try Journal.open(at: path) }
            #expect(try bytes(path + ".other") == Data("precious".utf8))
        }
    }

    @Test("a full disk refuses the whole batch, and what was there stays whole") func full() async {
        // In a process of its own: the limit on file sizes that stands for the full disk is a process's.
        await #expect(processExitsWith: .success) {
            let tests = JournalTests()
            try tests.withPath { path in
                try tests.write(tests.records(0..<2), to: path)
                var opened = try Journal.open(at: path)
                var limit = rlimit()
                let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
                getrlimit(resource, &limit)
                signal(SIGXFSZ, SIG_IGN)
                var small = limit
                small.rlim_cur = rlim_t(try tests.bytes(path).count + 50)
                setrlimit(resource, &small)
                let error = #expect(throws: JournalError.self) { try opened.journal.append(tests.records(2..<9)) }
                setrlimit(resource, &limit)
                #expect(error?.code == .unwritable)
                try opened.journal.append(tests.records(9..<10))
                let behind = opened.journal.needsCompaction(live: 1000)
                #expect(behind, "what was refused is missing until all is written anew")
                _ = consume opened
                let found = try tests.read(path)
                #expect(found.records == tests.records(0..<2) + tests.records(9..<10))
                #expect(found.notices.isEmpty)
                var again = try Journal.open(at: path)
                try again.journal.compact(to: tests.records(0..<10))
                let done = again.journal.needsCompaction(live: 1000)
                #expect(!done)
            }
        }
    }
}
