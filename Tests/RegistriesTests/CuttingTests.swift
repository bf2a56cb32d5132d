import Model
import Packets
import Testing

@testable import Registries

@Suite("Talks cut, swapped, fragmented and damaged") struct CuttingTests {
    /// What is heard in the end, in order.
    private func heard(_ frames: [[UInt8]]) -> [String] {
        var listening = Listening()
        let all = listening.hear(frames) + listening.wait(.seconds(10)) + listening.wait(.seconds(10))
        #expect(listening.ear.bytes < 1 << 20)
        return all.map(\.summary)
    }

    @Test("the same is heard whatever the segments' size", arguments: Talk.all) func sizes(talk: Talk) {
        let whole = heard(talk.frames(segment: 60_000))
        #expect(whole.count > 1 && !whole.contains { $0.hasSuffix("unseen") })
        for size in 1...40 { #expect(heard(talk.frames(segment: size)) == whole) }
        #expect(heard(talk.frames(segment: 9, isV6: true, vlan: 5)) == whole)
    }

    @Test("the same is heard with segments swapped and repeated", arguments: Talk.all) func swapped(talk: Talk) {
        let whole = heard(talk.frames())
        var random = SplitMix(seed: 11)
        for _ in 0..<40 {
            var frames = talk.frames(segment: Int.random(in: 5...80, using: &random))
            for index in stride(from: 3, to: frames.count - 3, by: 3) where Bool.random(using: &random) {
                frames[index..<index + 3].shuffle(using: &random)
            }
            for _ in 0..<frames.count / 4 {
                let index = Int.random(in: 3..<frames.count, using: &random)
                frames.insert(frames[index], at: min(frames.count, index + Int.random(in: 1...4, using: &random)))
            }
            #expect(heard(frames) == whole)
        }
    }

    @Test("the same is heard where another sender's cuts repeat what was sent", arguments: Talk.all)
    func retransmitted(talk: Talk) {
        let whole = heard(talk.frames())
        // Two copies of one connection, cut differently, take turns by what they have sent.
        for (one, other) in [(13, 60), (60, 13), (1, 7), (200, 31)] {
            let (first, second) = (talk.frames(segment: one), talk.frames(segment: other))
            var mixed: [[UInt8]] = []
            var next = 0
            for (index, frame) in first.enumerated() {
                mixed.append(frame)
                while next * first.count < index * second.count {
                    mixed.append(second[next])
                    next += 1
                }
            }
            #expect(heard(mixed) == whole, "\(one) and \(other)")
        }
    }

    @Test("the same is heard from fragments in any order", arguments: Talk.all, [false, true])
    func fragmented(talk: Talk, isV6: Bool) {
        let frames = talk.frames(isV6: isV6)
        var random = SplitMix(seed: 5)
        let pieces = frames.enumerated().flatMap { index, frame in
            Fragmenting.cut(frame, at: 48, id: UInt8(truncatingIfNeeded: index)).shuffled(using: &random)
        }
        #expect(pieces.count > frames.count && heard(pieces) == heard(frames))
        // A lost one costs its segment, and what is told stays true.
        var some = pieces
        some.remove(at: pieces.count / 2)
        #expect(Set(heard(some)).subtracting(unsure(heard(frames))).isEmpty)
    }

    @Test("a frame cut short at any byte adds no registration and no end of one", arguments: Talk.all) func cut(
        talk: Talk
    ) {
        let frames = talk.frames(segment: 90)
        let known = unsure(heard(frames))
        var random = SplitMix(seed: 2)
        for index in frames.indices {
            for length in Set(
                (0..<6).map { _ in Int.random(in: 0..<frames[index].count, using: &random) } + [53, 54, 55])
            {
                var some = frames
                some[index] = Array(some[index].prefix(length))
                let invented = Set(heard(some)).subtracting(known).filter { $0.contains("register ") }
                #expect(invented.isEmpty, "frame \(index) cut at \(length)")
            }
        }
    }

    @Test("mutations of every kind end in events or none, never in a crash", arguments: Talk.all) func mutated(
        talk: Talk
    ) {
        var random = SplitMix(seed: 77)
        for round in 0..<60 {
            var frames = talk.frames(segment: [7, 60, 1460][round % 3], isV6: round % 2 == 0)
            for _ in 0..<max(1, frames.count / 3) {
                let index = Int.random(in: frames.indices, using: &random)
                guard !frames[index].isEmpty else { continue }
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let byte = Int.random(in: frames[index].indices, using: &random)
                    frames[index][byte] = UInt8.random(in: 0...255, using: &random)
                }
            }
            _ = heard(frames)
        }
    }

    /// The same, and each with the answer not seen.
    private func unsure(_ heard: [String]) -> Set<String> {
        Set(heard + heard.map { line in line.split(separator: " ").dropLast().joined(separator: " ") + " unseen" })
    }
}

/// Cuts untagged IP packets into fragments.
enum Fragmenting {
    static func cut(_ frame: [UInt8], at size: Int, id: UInt8) -> [[UInt8]] {
        let isV6 = frame[12] == 0x86
        let header = isV6 ? 54 : 34
        let body = frame[header...]
        guard body.count > size else { return [frame] }
        return stride(from: 0, to: body.count, by: size).map { start in
            let piece = Array(body.dropFirst(start).prefix(size))
            let more = start + size < body.count
            var bytes = Array(frame[..<header])
            if isV6 {
                (bytes[18], bytes[19]) = octets(UInt16(piece.count + 8))
                let field = octets(UInt16(start) | (more ? 1 : 0))
                bytes += [bytes[20], 0, field.0, field.1, 0, 0, 0, id]
                bytes[20] = 44
            } else {
                (bytes[16], bytes[17]) = octets(UInt16(piece.count + 20))
                bytes[19] = id
                (bytes[20], bytes[21]) = octets(UInt16(start / 8) | (more ? 0x2000 : 0))
            }
            return bytes + piece
        }
    }

    private static func octets(_ value: UInt16) -> (UInt8, UInt8) { (UInt8(value >> 8), UInt8(value & 0xff)) }
}
