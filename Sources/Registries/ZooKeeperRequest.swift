/// What a client asks of ZooKeeper, as far as it matters to services (zookeeper.jute, and ZooDefs.OpCode of the Java
/// client).
enum ZooKeeperRequest {
    case create(Creation)
    case delete(path: String)
    case setData(path: String, data: [UInt8])
    case look([Look])
    /// In their order; nil for those that change no node's existence or data.
    case multi([ZooKeeperRequest?])
    case ping
    case closeSession
    case other

    struct Creation {
        var path: String
        var data: [UInt8]
        var mode: Mode
        var ttlMilliseconds: Int64?
    }

    /// CreateMode's flags.
    enum Mode: Int32 {
        case persistent, ephemeral, persistentSequential, ephemeralSequential, container, persistentTTL
        case persistentSequentialTTL

        var isEphemeral: Bool { self == .ephemeral || self == .ephemeralSequential }
        var isSequential: Bool {
            [.persistentSequential, .ephemeralSequential, .persistentSequentialTTL].contains(self)
        }
    }

    struct Look: Hashable {
        var path: String
        /// It is for what stands below the path.
        var isParent: Bool
    }

    enum Opcode: Int32 {
        case create = 1
        case delete, exists, getData, setData, getACL, setACL, getChildren, sync
        case ping = 11
        case getChildren2, check, multi, create2, reconfig, checkWatches, removeWatches, createContainer
        case deleteContainer, createTTL, multiRead
        case auth = 100
        case setWatches, sasl, getEphemerals, getAllChildrenNumber, setWatches2, addWatch, whoAmI
        case closeSession = -11
    }

    /// Operations of one request, or watches, that are read.
    private static let most = 1024
    /// Of the watches that a client sets again.
    private static let mostLooks = 64

    /// - Parameter bytes: what follows the request's header.
    /// - Returns: nil where it cannot be read.
    init?(_ opcode: Opcode?, _ bytes: ArraySlice<UInt8>) {
        var reader = JuteReader(bytes)
        switch opcode {
        case .ping: self = .ping
        case .closeSession: self = .closeSession
        case .multi, .multiRead:
            guard let all = Self.operations(&reader) else { return nil }
            self = opcode == .multi ? .multi(all) : .look(Self.looks(all))
        case .setWatches, .setWatches2:
            guard let looks = Self.watches(&reader, lists: opcode == .setWatches ? 3 : 5) else { return nil }
            self = .look(looks)
        case .addWatch:
            guard let path = reader.path() else { return nil }
            self = .look([Look(path: path, isParent: true)])
        case let opcode?:
            guard let one = Self.single(opcode, &reader) else { return nil }
            self = one
        case nil: self = .other
        }
    }

    /// One that may stand in a transaction.
    private static func single(_ opcode: Opcode, _ reader: inout JuteReader) -> ZooKeeperRequest? {
        switch opcode {
        case .create, .create2, .createContainer, .createTTL:
            return creation(&reader, hasTTL: opcode == .createTTL).map { .create($0) }
        case .delete, .deleteContainer, .check:
            guard let path = reader.path() else { return nil }
            if opcode != .deleteContainer, reader.int() == nil { return nil }
            return opcode == .check ? .other : .delete(path: path)
        case .setData:
            guard let path = reader.path(), let data = reader.buffer(), reader.int() != nil else { return nil }
            return .setData(path: path, data: Array(data))
        case .getChildren, .getChildren2, .getData, .exists:
            guard let path = reader.path(), let watches = reader.flag() else { return nil }
            // Whether a node stands is mostly asked to create it; with a watch, to wait for it.
            if opcode == .exists, !watches { return .other }
            return .look([Look(path: path, isParent: opcode == .getChildren || opcode == .getChildren2)])
        default: return .other
        }
    }

    private static func creation(_ reader: inout JuteReader, hasTTL: Bool) -> Creation? {
        guard let path = reader.path(), let data = reader.buffer(), let rights = reader.count() else { return nil }
        for _ in 0..<min(rights, most + 1) {
            guard reader.int() != nil, reader.buffer() != nil, reader.buffer() != nil else { return nil }
        }
        guard rights <= most, let mode = reader.int().flatMap(Mode.init) else { return nil }
        var creation = Creation(path: path, data: Array(data), mode: mode)
        if hasTTL {
            guard let ttl = reader.long() else { return nil }
            creation.ttlMilliseconds = ttl
        }
        return creation
    }

    private static func operations(_ reader: inout JuteReader) -> [ZooKeeperRequest?]? {
        var all: [ZooKeeperRequest?] = []
        while all.count <= most {
            guard let number = reader.int(), let isDone = reader.flag(), reader.int() != nil else { return nil }
            if isDone { return all }
            guard let opcode = Opcode(rawValue: number), let one = single(opcode, &reader) else { return nil }
            if case .other = one { all.append(nil) } else { all.append(one) }
        }
        return nil
    }

    private static func looks(_ all: [ZooKeeperRequest?]) -> [Look] {
        var looks: [Look] = []
        for case .look(let some)? in all where looks.count < mostLooks { looks += some }
        return looks
    }

    /// Watches are set again after a reconnection: on data, on existence, on children, and on both for good.
    private static func watches(_ reader: inout JuteReader, lists: Int) -> [Look]? {
        guard reader.long() != nil else { return nil }
        var looks: [Look] = []
        for list in 0..<lists {
            guard let count = reader.count(), count <= 65_536 else { return nil }
            for _ in 0..<count {
                guard let path = reader.path() else { return nil }
                if looks.count < mostLooks { looks.append(Look(path: path, isParent: list >= 2)) }
            }
        }
        return looks
    }
}

/// What opens a connection: it has no header.
struct ZooKeeperConnect {
    /// 0: a new session is asked for.
    var session: Int64

    /// ConnectRequest; clients before 3.4 leave out the last byte, which asks for read-only servers.
    init?(_ bytes: ArraySlice<UInt8>) {
        var reader = JuteReader(bytes)
        guard reader.int() == 0, reader.long() != nil, let timeout = reader.int(), timeout >= 0,
            let session = reader.long(), let password = reader.buffer(), password.count <= Self.longestPassword,
            reader.rest.count <= 1
        else { return nil }
        self.session = session
    }

    static let longestPassword = 64
    /// With its length in front: an empty password to the longest.
    static let lengths = 28...(28 + longestPassword + 1)
}

/// ConnectResponse. A session that is gone has neither number nor time.
struct ZooKeeperConnected {
    var session: Int64
    /// As the server decided.
    var timeoutMilliseconds: Int

    init?(_ bytes: ArraySlice<UInt8>) {
        var reader = JuteReader(bytes)
        guard reader.int() == 0, let timeout = reader.int(), let session = reader.long(),
            let password = reader.buffer(), password.count <= ZooKeeperConnect.longestPassword,
            reader.rest.count <= 1
        else { return nil }
        self.session = session
        timeoutMilliseconds = Int(timeout)
    }
}
