import Packets

/// What a guest's stream begins with, held until it is clear who reads it.
struct Opening {
    typealias Chunk = TCPStream<Origin>.Chunk

    private(set) var held: [Chunk] = []
    private(set) var heldBytes = 0
    private var skippedBytes = 0
    private var seenBytes = 0

    /// What was thrown away, since this was last taken, because nothing that is understood begins there.
    mutating func takeSkipped() -> Int {
        defer { skippedBytes = 0 }
        return skippedBytes
    }

    /// - Parameter choose: is shown bytes that stand together, and whether they begin the connection.
    /// - Returns: `.tooShort` while it is not clear; who reads it is then to be given what is `held`.
    mutating func take(
        _ chunk: Chunk, limits: Ear.Limits, choose: (ArraySlice<UInt8>, Bool) -> AllowedDialects.Choice
    ) -> AllowedDialects.Choice {
        held.append(chunk)
        heldBytes += chunk.bytes.count
        seenBytes += chunk.bytes.count
        while let first = held.first {
            if first.startsSegment || first.startsStream {
                switch choose(together(atLeast: limits.earlyBytes), first.startsStream) {
                case .tooShort where heldBytes < limits.earlyBytes && held.count < limits.stream.waitingSegments:
                    return .tooShort
                case .tooShort, .nobody: if first.startsStream { return .nobody }
                case let choice: return choice
                }
            }
            skipFirst()
        }
        return seenBytes > limits.joinedBytes ? .nobody : .tooShort
    }

    /// What follows does not stand together with what is held.
    mutating func breakOff() {
        while !held.isEmpty { skipFirst() }
    }

    private mutating func skipFirst() {
        let count = held.removeFirst().bytes.count
        heldBytes -= count
        skippedBytes += count
    }

    private func together(atLeast enough: Int) -> ArraySlice<UInt8> {
        guard held.count > 1 else { return held.first?.bytes ?? [] }
        var bytes: [UInt8] = []
        for chunk in held where bytes.count < enough { bytes += chunk.bytes }
        return bytes[...]
    }
}
