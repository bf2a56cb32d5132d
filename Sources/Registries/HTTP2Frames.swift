/// One direction of an HTTP/2 connection (RFC 9113), cut into frames. Only what a bystander needs of them is told: header
/// blocks, data without padding, and ends. Settings and windows are between the peers.
struct HTTP2Frames {
    enum Event {
        /// The client's preface: a connection begins.
        case preface
        /// A header block with all its continuations; nil where it is too long or broken.
        case headers(stream: UInt32, block: [UInt8]?)
        /// A stretch of a DATA frame. `frameLength`: of all its data, where the stretch is the frame's first.
        case data(stream: UInt32, bytes: ArraySlice<UInt8>, frameLength: Int?)
        /// The sender has said all that it will say on this stream.
        case ended(stream: UInt32)
        case reset(stream: UInt32, code: UInt32)
        /// Streams above `last` were not looked at.
        case goAway(last: UInt32)
        /// What was under way is lost: frames begin somewhere further on.
        case lost
    }

    private enum State {
        case seeking
        case header
        /// The payload's first bytes, as many as wanted, are collected; the rest is skipped.
        case payload(HTTP2FrameHeader, wanted: Int)
        case data(HTTP2FrameHeader, left: Int, padding: Int, isFirst: Bool)
        case skipping(Int)
    }

    private struct Block {
        var start: HTTP2FrameHeader
        var bytes: [UInt8] = []
        var isBroken = false
    }

    /// Of a header block, all frames together.
    static let longestBlock = 65_536

    private var state = State.seeking
    /// The beginning of a header or payload.
    private var held: [UInt8] = []
    /// A header block whose continuations follow.
    private var block: Block?
    private(set) var skippedBytes = 0
    /// Times that what should have been a frame was none.
    private(set) var errors = 0

    var heldBytes: Int { held.count + (block?.bytes.count ?? 0) }

    /// The connection's first byte comes next.
    mutating func begin() { reset(to: .header) }

    /// Bytes are missing: what comes next may be anything.
    mutating func lose() { reset(to: .seeking) }

    private mutating func reset(to new: State) {
        state = new
        held = []
        block = nil
    }

    /// - Parameter startsSegment: the first byte is the first of its segment: frames mostly begin there.
    mutating func read(_ bytes: ArraySlice<UInt8>, startsSegment: Bool) -> [Event] {
        var rest = bytes
        var events: [Event] = []
        while !rest.isEmpty {
            switch state {
            case .seeking:
                let isFirst = startsSegment && rest.startIndex == bytes.startIndex
                let found = HTTP2FrameHeader.beginning(in: rest, startsSegment: isFirst)
                skippedBytes += (found ?? rest.endIndex) - rest.startIndex
                rest = rest[(found ?? rest.endIndex)...]
                if found != nil { state = .header }
            case .header:
                if let whole = hold(&rest, upTo: HTTP2FrameHeader.length) { begin(whole, into: &events) }
            case .payload(let header, let wanted):
                if let whole = hold(&rest, upTo: wanted) { take(header, payload: whole, into: &events) }
            case .data(let header, let left, let padding, let isFirst):
                let part = rest.prefix(left)
                rest = rest.dropFirst(part.count)
                events.append(
                    .data(stream: header.stream, bytes: part, frameLength: isFirst ? left : nil))
                go(on: header, left: left - part.count, padding: padding, isFirst: false, into: &events)
            case .skipping(let left):
                let count = min(left, rest.count)
                rest = rest.dropFirst(count)
                skip(left - count)
            }
        }
        return events
    }

    /// The first bytes of what is read as a whole; nil while there are too few.
    private mutating func hold(_ rest: inout ArraySlice<UInt8>, upTo length: Int) -> [UInt8]? {
        let part = rest.prefix(max(0, length - held.count))
        held += part
        rest = rest.dropFirst(part.count)
        guard held.count >= length else { return nil }
        defer { held = [] }
        return held
    }

    private mutating func skip(_ count: Int) { state = count > 0 ? .skipping(count) : .header }

    private mutating func fail(into events: inout [Event]) {
        errors += 1
        lose()
        events.append(.lost)
    }

    // MARK: - Frames

    private mutating func begin(_ bytes: [UInt8], into events: inout [Event]) {
        guard bytes != HTTP2FrameHeader.prefaceStart else {
            events.append(.preface)
            return skip(HTTP2FrameHeader.preface.count - bytes.count)
        }
        let header = HTTP2FrameHeader(bytes)
        // Continuations follow their block at once (RFC 9113, 6.10).
        let isInOrder =
            (header.kind == .continuation) == (block != nil) && header.stream == block?.start.stream ?? header.stream
        guard header.isPlausible, isInOrder else { return fail(into: &events) }
        let wanted: Int
        switch header.kind {
        case .data where !header.isPadded:
            return go(on: header, left: header.payloadLength, padding: 0, isFirst: true, into: &events)
        case .data: wanted = 1
        case .rstStream: wanted = 4
        case .goAway: wanted = 8
        case .headers, .pushPromise, .continuation:
            let isTooLong = header.payloadLength + (block?.bytes.count ?? 0) > Self.longestBlock
            wanted = isTooLong ? 0 : header.payloadLength
            if header.kind != .continuation { block = Block(start: header) }
            if isTooLong { block?.isBroken = true }
        default: return skip(header.payloadLength)
        }
        if wanted > 0 { state = .payload(header, wanted: wanted) } else { take(header, payload: [], into: &events) }
    }

    private mutating func take(_ header: HTTP2FrameHeader, payload: [UInt8], into events: inout [Event]) {
        let left = header.payloadLength - payload.count
        switch header.kind {
        case .data:
            let padding = Int(payload.first ?? 0)
            guard padding <= left else { return fail(into: &events) }
            return go(on: header, left: left - padding, padding: padding, isFirst: true, into: &events)
        case .rstStream: events.append(.reset(stream: header.stream, code: Self.number(payload)))
        case .goAway: events.append(.goAway(last: Self.number(payload.prefix(4)) & 0x7fff_ffff))
        default:
            guard append(header, payload) else { return fail(into: &events) }
            if header.endsHeaders { finishBlock(into: &events) }
        }
        skip(left)
    }

    private mutating func go(
        on header: HTTP2FrameHeader, left: Int, padding: Int, isFirst: Bool, into events: inout [Event]
    ) {
        guard left == 0 else {
            state = .data(header, left: left, padding: padding, isFirst: isFirst)
            return
        }
        if header.endsStream { events.append(.ended(stream: header.stream)) }
        skip(padding)
    }

    // MARK: - Header blocks

    /// False: padding or priority are longer than the frame.
    private mutating func append(_ header: HTTP2FrameHeader, _ payload: [UInt8]) -> Bool {
        guard block?.isBroken == false else {
            block?.bytes = []
            return true
        }
        var fragment = payload[...]
        if header.kind != .continuation, header.isPadded {
            let padding = Int(fragment.popFirst() ?? 0)
            guard padding <= fragment.count else { return false }
            fragment = fragment.dropLast(padding)
        }
        let before = header.kind == .pushPromise ? 4 : header.kind == .headers && header.hasPriority ? 5 : 0
        guard before <= fragment.count else { return false }
        block?.bytes += fragment.dropFirst(before)
        return true
    }

    private mutating func finishBlock(into events: inout [Event]) {
        guard let done = block else { return }
        block = nil
        // What is pushed belongs to no call, but its fields go into the table as well.
        let stream = done.start.kind == .headers ? done.start.stream : 0
        events.append(.headers(stream: stream, block: done.isBroken ? nil : done.bytes))
        if stream != 0, done.start.endsStream { events.append(.ended(stream: stream)) }
    }

    private static func number(_ bytes: some Collection<UInt8>) -> UInt32 {
        bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }
}
