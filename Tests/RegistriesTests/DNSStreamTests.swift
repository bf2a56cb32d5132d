import Model
import Testing

@testable import Packets
@testable import Registries

@Suite("DNS over TCP") struct DNSStreamTests {
    private let talk = DNSTalk()

    private func reader() -> any StreamReader {
        talk.dns.reader(
            of: FiveTuple(
                network: NetworkID(0), source: talk.address, sourcePort: 40_000, destination: talk.server.address,
                destinationPort: 53))
    }

    private func chunk(_ bytes: some Collection<UInt8>, startsSegment: Bool = true) -> TCPStream<Origin>.Chunk {
        TCPStream<Origin>.Chunk(
            bytes: ArraySlice(Array(bytes)), sequence: 0, acknowledged: nil, startsSegment: startsSegment,
            startsStream: false, origin: talk.origin)
    }

    private func ask(_ name: String, id: UInt16) -> DNSWire { DNSWire(DNSWire.query, id: id).asking(name, .a) }

    private func answer(_ name: String, id: UInt16) -> DNSWire { DNSWire(DNSWire.answer, id: id).asking(name, .a) }

    @Test("messages split anywhere, or several in one segment, are the same messages") func splits() {
        let asked = ask("a.example", id: 1).framed + ask("b.example", id: 2).framed
        let answered = answer("b.example", id: 2).framed + answer("a.example", id: 1).framed
        for split in 0...asked.count {
            let reader = reader()
            var told = reader.hear(request: chunk(asked.prefix(split)))
            told += reader.hear(request: chunk(asked.dropFirst(split)))
            #expect(told.isEmpty)
            told += reader.hear(answer: chunk(answered.prefix(split)))
            told += reader.hear(answer: chunk(answered.dropFirst(split)))
            #expect(told.map(\.advertisement.service) == ["b.example", "a.example"], "split at \(split)")
            #expect(told.allSatisfy { $0.advertisement.accepted == true })
            #expect(reader.footprint == 0)
            #expect(reader.takeCounts().messages == 4)
        }
    }

    @Test("an update over TCP is a registration") func update() {
        let reader = reader()
        let update = DNSWire(DNSWire.update).asking("svc.example", DNSType(rawValue: 6))
            .with(.authority, "node-a.svc.example", .a, [10, 77, 0, 221])
        #expect(reader.hear(request: chunk(update.framed)).isEmpty)
        let told = reader.hear(answer: chunk(DNSWire(DNSWire.updated).framed))
        #expect(told.map(\.advertisement.summary) == ["register node-a.svc.example 10.77.0.221:- true"])
        #expect(told.first?.guest == talk.address && told.first?.registry == talk.server)
    }

    @Test("after a hole the next segment that begins a message is read on") func holes() {
        let reader = reader()
        _ = reader.hear(request: chunk(ask("a.example", id: 1).framed.dropLast(3)))
        _ = reader.missed(requestBytes: 3, at: talk.time)
        #expect(reader.footprint == 0)
        #expect(reader.hear(request: chunk([UInt8](repeating: 0xee, count: 40))).isEmpty)
        #expect(reader.hear(request: chunk(ask("b.example", id: 2).framed, startsSegment: false)).isEmpty)
        _ = reader.hear(request: chunk(ask("c.example", id: 3).framed))
        _ = reader.missed(answerBytes: 100, at: talk.time)
        let told = reader.hear(answer: chunk(answer("c.example", id: 3).framed))
        #expect(told.map(\.advertisement.service) == ["c.example"])
        #expect(reader.takeCounts().skippedBytes > 40)
    }

    @Test("what waits when a connection ends is told without an answer, but not while one may still come")
    func ends() {
        let reader = reader()
        _ = reader.hear(request: chunk(ask("a.example", id: 1).framed))
        #expect(reader.ended(.guest, at: talk.time).isEmpty)
        #expect(reader.deadline == talk.time + DNSExchanges.patience)
        #expect(reader.ended(.reset, at: talk.time).isEmpty)
        let told = reader.ended(.forgotten, at: talk.time)
        #expect(told.map(\.advertisement.accepted) == [nil])
        #expect(reader.deadline == nil)
        let other = self.reader()
        _ = other.hear(request: chunk(ask("a.example", id: 1).framed))
        #expect(other.tick(at: talk.time + .seconds(5)).count == 1)
    }

    @Test("what is no DNS is given up") func garbage() {
        let reader = reader()
        for _ in 0..<20 {
            _ = reader.hear(request: chunk(ask("a.example", id: 1).framed + [0, 0]))
        }
        #expect(!reader.isListening)
        #expect(reader.takeCounts().parseErrors > 0)
    }

    @Test("a connection is known by its first message") func recognition() {
        let framed = ask("a.example", id: 1).framed
        #expect(DNS.recognizes(framed[...], isStart: true) == .yes)
        #expect(DNS.recognizes(framed.prefix(13), isStart: true) == .tooShort)
        #expect(DNS.recognizes(answer("a.example", id: 1).framed[...], isStart: false) == .no)
        #expect(DNS.recognizes(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)[...], isStart: true) == .no)
        #expect(DNS.recognizes([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5, 6, 7], isStart: true) == .no)
    }
}
