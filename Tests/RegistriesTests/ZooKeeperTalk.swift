import Testing

@testable import Registries

/// A guest's conversation with a ZooKeeper.
enum ZooKeeperTalk {
    static let session: Int64 = 0x0100_0012_c3f7_0000
    static let sessionID = "0x1000012c3f70000"

    static func talk(_ dialect: ZooKeeper = ZooKeeper(), guest: UInt32 = 0x0a4d_000b) -> StreamTalk {
        StreamTalk(dialect, StreamTalk.connection(port: 2181, guest: guest))
    }

    /// In a session of its own.
    static func opened(
        _ dialect: ZooKeeper = ZooKeeper(), session: Int64 = session, guest: UInt32 = 0x0a4d_000b
    ) -> StreamTalk {
        var talk = talk(dialect, guest: guest)
        #expect(talk.ask(Jute.connect()) == [])
        #expect(talk.answer(Jute.connected(session: session)) == [])
        return talk
    }
}
