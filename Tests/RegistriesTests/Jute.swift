/// ZooKeeper's messages, written.
struct Jute {
    private(set) var bytes: [UInt8] = []

    func int(_ number: Int32) -> Jute { adding(UInt32(bitPattern: number).bytes) }
    func long(_ number: Int64) -> Jute { adding(UInt64(bitPattern: number).bytes) }
    func flag(_ flag: Bool) -> Jute { adding([flag ? 1 : 0]) }
    func buffer(_ bytes: [UInt8]) -> Jute { int(Int32(bytes.count)).adding(bytes) }
    func text(_ text: String) -> Jute { buffer(Array(text.utf8)) }
    func adding(_ more: [UInt8]) -> Jute {
        var all = self
        all.bytes += more
        return all
    }
    /// With its length in front.
    var frame: [UInt8] { Jute().buffer(bytes).bytes }

    static func connect(session: Int64 = 0, timeout: Int32 = 10_000, hasReadOnly: Bool = true) -> [UInt8] {
        let common = Jute().int(0).long(0).int(timeout).long(session).buffer([UInt8](repeating: 0, count: 16))
        return (hasReadOnly ? common.flag(false) : common).frame
    }

    static func connected(session: Int64, timeout: Int32 = 6000, hasReadOnly: Bool = true) -> [UInt8] {
        let common = Jute().int(0).int(timeout).long(session).buffer([UInt8](repeating: 7, count: 16))
        return (hasReadOnly ? common.flag(false) : common).frame
    }

    static func request(_ xid: Int32, _ opcode: Int32, _ body: Jute = Jute()) -> [UInt8] {
        Jute().int(xid).int(opcode).adding(body.bytes).frame
    }

    static func reply(_ xid: Int32, error: Int32 = 0, _ body: Jute = Jute()) -> [UInt8] {
        Jute().int(xid).long(5).int(error).adding(body.bytes).frame
    }

    static func creation(_ path: String, _ data: String, mode: Int32 = 0, ttl: Int64? = nil) -> Jute {
        let rights = Jute().int(1).int(31).text("world").text("anyone")
        let all = Jute().text(path).text(data).adding(rights.bytes).int(mode)
        return ttl.map { all.long($0) } ?? all
    }

    static func create(
        _ xid: Int32, _ path: String, _ data: String, mode: Int32 = 0, opcode: Int32 = 1, ttl: Int64? = nil
    ) -> [UInt8] { request(xid, opcode, creation(path, data, mode: mode, ttl: ttl)) }

    static func delete(_ xid: Int32, _ path: String) -> [UInt8] { request(xid, 2, Jute().text(path).int(-1)) }
    static func children(_ xid: Int32, _ path: String) -> [UInt8] { request(xid, 12, Jute().text(path).flag(true)) }
    static let ping = request(-2, 11)
    static let pong = reply(-2)

    static func stat(owner: Int64) -> Jute {
        Jute().long(1).long(2).long(3).long(4).int(0).int(0).int(0).long(owner).int(2).int(0).long(9)
    }

    static func operation(_ opcode: Int32, _ body: Jute) -> Jute {
        Jute().int(opcode).flag(false).int(opcode == -1 ? 0 : -1).adding(body.bytes)
    }
    static let end = Jute().int(-1).flag(true).int(-1)
    static func all(_ operations: [Jute]) -> Jute { Jute().adding((operations + [end]).flatMap(\.bytes)) }
}

extension FixedWidthInteger {
    fileprivate var bytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}
