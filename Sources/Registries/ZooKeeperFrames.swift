/// Where a message of ZooKeeper's plausibly begins, seen without what came before. Nothing in it says so: several
/// fields must fit together.
enum ZooKeeperFrames {
    /// Servers refuse more than jute.maxbuffer, one MiB if nobody set it higher.
    static let longest = 16 << 20

    /// Numbers of requests with a meaning of their own.
    enum XID {
        static let notification: Int32 = -1
        static let ping: Int32 = -2
        static let auth: Int32 = -4
        static let setWatches: Int32 = -8
    }

    static func connectBegins(_ bytes: ArraySlice<UInt8>) -> Recognition {
        var reader = JuteReader(bytes)
        guard let length = reader.int() else { return bytes.allSatisfy { $0 == 0 } ? .tooShort : .no }
        guard ZooKeeperConnect.lengths.contains(Int(length)) else { return .no }
        guard let version = reader.int() else { return reader.rest.allSatisfy { $0 == 0 } ? .tooShort : .no }
        guard version == 0 else { return .no }
        guard reader.rest.count >= Int(length) - 4 else { return .tooShort }
        return ZooKeeperConnect(bytes.dropFirst(4).prefix(Int(length))) == nil ? .no : .yes
    }

    static func requestBegins(_ bytes: ArraySlice<UInt8>) -> Recognition {
        var reader = JuteReader(bytes)
        guard let length = reader.int() else { return bytes.first ?? 0 == 0 ? .tooShort : .no }
        guard (8...longest).contains(Int(length)) else { return .no }
        guard let xid = reader.int() else { return .tooShort }
        if xid == 0 { return connectBegins(bytes) }
        guard let number = reader.int() else { return .tooShort }
        guard let opcode = ZooKeeperRequest.Opcode(rawValue: number) else { return .no }
        switch opcode {
        case .ping: return xid == XID.ping && length == 8 ? .yes : .no
        case .closeSession: return xid > 0 && length == 8 ? .yes : .no
        case .auth: return xid == XID.auth ? .yes : .no
        case .setWatches, .setWatches2: return xid == XID.setWatches ? .yes : .no
        case .multi, .multiRead: return xid > 0 ? operationBegins(&reader) : .no
        case .reconfig, .sasl, .getEphemerals, .whoAmI: return .no
        default: return xid > 0 ? pathBegins(&reader, within: Int(length) - 8) : .no
        }
    }

    private static func operationBegins(_ reader: inout JuteReader) -> Recognition {
        guard let number = reader.int(), let isDone = reader.flag(), let error = reader.int() else { return .tooShort }
        return ZooKeeperRequest.Opcode(rawValue: number) != nil && !isDone && error == -1 ? .yes : .no
    }

    private static func pathBegins(_ reader: inout JuteReader, within length: Int) -> Recognition {
        guard let count = reader.int() else { return .tooShort }
        guard count > 0, Int(count) <= min(length - 4, JuteReader.longestText) else { return .no }
        guard let first = reader.rest.first else { return .tooShort }
        return first == UInt8(ascii: "/") ? .yes : .no
    }

    /// - Parameters:
    ///   - latest: the last request's number; nil where none was seen.
    ///   - connecting: the first answer to come is a ConnectResponse.
    static func answerBegins(_ bytes: ArraySlice<UInt8>, latest: Int32?, connecting: Bool) -> Recognition {
        var reader = JuteReader(bytes)
        guard let length = reader.int() else { return bytes.first ?? 0 == 0 ? .tooShort : .no }
        guard (16...longest).contains(Int(length)) else { return .no }
        guard let xid = reader.int() else { return .tooShort }
        if connecting, xid == 0, ZooKeeperConnect.lengths.contains(Int(length) + 8) {
            guard reader.rest.count >= Int(length) - 4 else { return .tooShort }
            return ZooKeeperConnected(bytes.dropFirst(4).prefix(Int(length))) == nil ? .no : .yes
        }
        guard let change = reader.long(), let error = reader.int() else { return .tooShort }
        switch xid {
        case XID.notification: return change == -1 && error == 0 ? .yes : .no
        case XID.ping: return length == 16 && error == 0 ? .yes : .no
        case XID.auth, XID.setWatches: return length == 16 ? .yes : .no
        default:
            // In their order, so that not many are under way.
            guard let latest, xid > 0, xid <= latest, latest - xid < 65_536 else { return .no }
            return change >= 0 && (-200...0).contains(error) && (error == 0 || length == 16) ? .yes : .no
        }
    }
}

/// What a server says to one request.
struct ZooKeeperReply {
    let xid: Int32
    let error: Int32
    private let body: ArraySlice<UInt8>

    enum Code {
        static let noNode: Int32 = -101
        static let sessionExpired: Int32 = -112
    }

    /// What became of one operation.
    struct Outcome {
        var error: Int32
        /// Of a node that was created.
        var path: String?
        /// The session that the node ends with; 0: none. Nil where it is not said.
        var owner: Int64?

        static let done = Outcome(error: 0)
    }

    init?(_ bytes: ArraySlice<UInt8>) {
        var reader = JuteReader(bytes)
        guard let xid = reader.int(), reader.long() != nil, let error = reader.int() else { return nil }
        (self.xid, self.error) = (xid, error)
        body = reader.rest
    }

    /// - Parameter creates: it answers the creation of a node.
    func outcome(creates: Bool) -> Outcome {
        guard error == 0 else { return Outcome(error: error) }
        var reader = JuteReader(body)
        var outcome = Outcome.done
        if creates { outcome.path = reader.path() }
        outcome.owner = Self.owner(&reader)
        return outcome
    }

    /// One for each operation of a transaction; nil where they cannot be read. Done are all or none.
    func outcomes() -> [Outcome]? {
        guard error == 0 else { return nil }
        var reader = JuteReader(body)
        var all: [Outcome] = []
        while all.count <= 1024 {
            guard let number = reader.int(), let isDone = reader.flag(), reader.int() != nil else { return nil }
            if isDone { return all }
            var outcome = Outcome.done
            switch ZooKeeperRequest.Opcode(rawValue: number) {
            case .create: outcome.path = reader.path()
            case .create2, .createContainer, .createTTL:
                outcome.path = reader.path()
                outcome.owner = Self.owner(&reader)
            case .setData: outcome.owner = Self.owner(&reader)
            case .delete, .deleteContainer, .check: break
            default:
                guard number == -1, let error = reader.int() else { return nil }
                outcome.error = error
            }
            all.append(outcome)
        }
        return nil
    }

    /// Stat.ephemeralOwner. Containers and nodes with a time to live have a mark of their own in it.
    private static func owner(_ reader: inout JuteReader) -> Int64? {
        for _ in 0..<4 where reader.long() == nil { return nil }
        for _ in 0..<3 where reader.int() == nil { return nil }
        guard let owner = reader.long(), reader.int() != nil, reader.int() != nil, reader.long() != nil else {
            return nil
        }
        return owner == .min || UInt64(bitPattern: owner) >> 56 == 0xff ? 0 : owner
    }
}
