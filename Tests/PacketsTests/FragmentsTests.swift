import Model
import Testing

@testable import Packets

@Suite("Fragments") struct FragmentsTests {
    private let now = Instant(milliseconds: 0)

    /// A TCP frame with this payload, cut into pieces of so many bytes.
    private static func cut(
        _ payload: [UInt8], at size: Int, isV6: Bool, id: UInt8 = 7, options: Bool = false
    ) -> [[UInt8]] {
        var segment = TCPSegment.sample(isV6: isV6)
        segment.payload = payload
        guard let frame = segment.frame() else { return [] }
        let header = isV6 ? 54 : 34
        let link = Array(frame[..<header])
        // Destination options of eight bytes stand before the transport, within what is cut.
        let body = (isV6 && options ? [6, 0, 1, 4, 0, 0, 0, 0] : []) + frame[header...]
        return stride(from: 0, to: body.count, by: size).map { start in
            let piece = Array(body[start..<min(body.count, start + size)])
            let more = start + size < body.count
            var bytes = link
            if isV6 {
                let length = piece.count + 8
                bytes[18] = UInt8(length >> 8)
                bytes[19] = UInt8(length & 0xff)
                bytes[20] = 44
                let field = UInt16(start) | (more ? 1 : 0)
                bytes += [options ? 60 : 6, 0, UInt8(field >> 8), UInt8(field & 0xff), 0, 0, 0, id]
            } else {
                let length = piece.count + 20
                bytes[16] = UInt8(length >> 8)
                bytes[17] = UInt8(length & 0xff)
                bytes[19] = id
                let field = UInt16(start / 8) | (more ? 0x2000 : 0)
                bytes[20] = UInt8(field >> 8)
                bytes[21] = UInt8(field & 0xff)
            }
            return bytes + piece
        }
    }

    private func take(
        _ frame: [UInt8], _ fragments: inout Fragments, network: UInt16 = 0, at time: Instant? = nil
    ) -> [UInt8]? {
        frame.withUnsafeBytes { bytes in
            guard let header = Frame(bytes)?.ip,
                let packet = fragments.take(header, of: bytes, network: NetworkID(network), at: time ?? now),
                case .tcp(let ip, let tcp) = packet.content
            else { return nil }
            #expect(!ip.isFragment && tcp.destinationPort == 8500)
            return Array(packet.bytes[tcp.payload])
        }
    }

    private static let text = (0..<3000).map { UInt8(truncatingIfNeeded: $0 &* 31) }

    @Test("fragments in any order, some of them twice, are the packet", arguments: [false, true], [false, true])
    func anyOrder(isV6: Bool, options: Bool) {
        let frames = Self.cut(Self.text, at: 480, isV6: isV6, options: options)
        for seed in 0..<50 {
            var fragments = Fragments()
            let order = frames.indices.sorted { ($0 * 7 + 1) * (seed + 3) % 31 < ($1 * 7 + 1) * (seed + 3) % 31 }
            var whole: [[UInt8]] = []
            for (count, index) in order.enumerated() {
                if count + 1 < order.count { _ = take(frames[index], &fragments) }
                if let packet = take(frames[index], &fragments) { whole.append(packet) }
            }
            #expect(whole == [Self.text] && fragments.waitingBytes == 0 && fragments.lost == 0)
        }
    }

    @Test("of other networks, identifications and addresses are other packets") func keys() {
        var fragments = Fragments()
        let frames = Self.cut(Self.text, at: 1480, isV6: false)
        let others = Self.cut(Self.text, at: 1480, isV6: false, id: 8)
        #expect(take(frames[0], &fragments) == nil && take(frames[1], &fragments, network: 2) == nil)
        #expect(take(others[1], &fragments) == nil && take(others[2], &fragments) == nil)
        #expect(take(frames[1], &fragments) == nil && take(frames[2], &fragments) == Self.text)
    }

    @Test("an overlap makes the packet void, and stays so", arguments: [false, true]) func overlaps(isV6: Bool) {
        var fragments = Fragments()
        let frames = Self.cut(Self.text, at: 800, isV6: isV6)
        let others = Self.cut(Self.text, at: 480, isV6: isV6)
        #expect(take(frames[0], &fragments) == nil && take(others[1], &fragments) == nil)
        for frame in frames + frames { #expect(take(frame, &fragments) == nil) }
        #expect(fragments.lost == 1 && fragments.waitingBytes == 0)
        // After the time that any of it could still be under way, the same numbers are another packet.
        let later = now + .seconds(20)
        let heard = frames.compactMap { take($0, &fragments, at: later) }
        #expect(heard == [Self.text])
    }

    @Test("ends that contradict, odd sizes and what is cut short give no packet") func contradictions() {
        var fragments = Fragments()
        let frames = Self.cut(Self.text, at: 800, isV6: false)
        let short = Self.cut(Array(Self.text.prefix(900)), at: 800, isV6: false)
        // Another last fragment, before what was seen already.
        #expect(take(frames[2], &fragments) == nil && take(short[1], &fragments) == nil && fragments.lost == 1)
        var odd = Self.cut(Self.text, at: 800, isV6: false, id: 9)
        odd[1].removeLast(3)
        for frame in odd { #expect(take(frame, &fragments) == nil) }
        var beyond = frames[0]
        beyond[20] = 0x3f
        beyond[21] = 0xff
        #expect(take(beyond, &fragments) == nil)
        // A whole packet is nobody's fragment.
        #expect(Self.cut(Self.text, at: 9000, isV6: false).compactMap { take($0, &fragments) } == [])
    }

    @Test("packets, their fragments, bytes and time are bounded") func bounds() {
        var limits = Fragments.Limits()
        limits.packets = 4
        limits.bytes = 3000
        limits.fragments = 5
        var fragments = Fragments(limits: limits)
        for id in UInt8(0)..<40 {
            for frame in Self.cut(Self.text, at: 1480, isV6: false, id: id).dropLast() { _ = take(frame, &fragments) }
            #expect(fragments.waitingBytes <= 3000)
        }
        #expect(fragments.lost >= 36)
        var many = Fragments(limits: limits)
        for frame in Self.cut(Array(Self.text.prefix(400)), at: 8, isV6: false) { _ = take(frame, &many) }
        #expect(many.lost == 1 && many.waitingBytes == 0)
        var slow = Fragments()
        let frames = Self.cut(Self.text, at: 1480, isV6: true)
        #expect(take(frames[0], &slow) == nil && take(frames[1], &slow) == nil)
        #expect(take(frames[2], &slow, at: now + .seconds(16)) == nil && slow.lost == 1)
    }

    @Test("mutated fragments never crash, and cost no more than is allowed", arguments: 0..<40) func hostile(seed: Int)
    {
        var fragments = Fragments()
        var state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 | 1
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % max(1, bound)
        }
        for round in 0..<20 {
            var frames = Self.cut(Self.text, at: 8 * (1 + random(100)), isV6: round % 2 == 0, options: random(2) == 0)
            for _ in 0..<frames.count {
                let index = random(frames.count)
                guard !frames[index].isEmpty else { continue }
                frames[index][random(min(70, frames[index].count))] ^= UInt8(1 << random(8))
                if random(4) == 0 { frames[index] = Array(frames[index].prefix(random(frames[index].count))) }
            }
            for frame in frames {
                frame.withUnsafeBytes { bytes in
                    guard let header = Frame(bytes)?.ip else { return }
                    _ = fragments.take(header, of: bytes, network: NetworkID(0), at: now)
                }
            }
            #expect(fragments.waitingBytes <= 1 << 20)
        }
    }
}
