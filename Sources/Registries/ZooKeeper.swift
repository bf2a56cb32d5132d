internal import Model
internal import Packets

/// ZooKeeper's binary protocol (https://zookeeper.apache.org/doc/current/zookeeperInternals.html, zookeeper.jute):
/// nodes that are services, the sessions that some of them end with, and look-ups.
final class ZooKeeper: StreamDialect {
    static let name = "zookeeper"
    static let usualPorts: [UInt16] = [2181]

    var unreadable = 0
    private var nodes = LeasedKeys()
    private var sessions = SharedMemory<SessionKey, RegistryPlace.Holder, Session>(capacity: Bounds.remembered)
    /// Below which nodes instances of a service were registered.
    private var services = SharedMemory<PlacedName, RegistryPlace.Holder, String>(capacity: Bounds.remembered)
    /// Nodes that were seen to be created and are no services.
    private var others = SharedMemory<PlacedName, RegistryPlace.Holder, Bool>(capacity: 4096)

    /// A session may move between the servers of an ensemble: what hangs on it is kept where it was first seen.
    struct Session {
        let number: Int64
        let place: RegistryPlace
        var guest: IPAddress
        var timeoutMilliseconds: Int?
        /// All that it did was seen.
        let isWhole: Bool

        var id: String { Self.id(number) }
        /// As ZooKeeper's own tools write it.
        static func id(_ number: Int64) -> String { "0x" + String(UInt64(bitPattern: number), radix: 16) }
        /// Rounded up.
        var ttlSeconds: Int? { timeoutMilliseconds.map { ($0 + 999) / 1000 } }
    }

    private struct SessionKey: Hashable {
        var network: NetworkID
        var number: Int64
    }

    static func recognizes(_ bytes: ArraySlice<UInt8>, isStart: Bool) -> Recognition {
        isStart ? ZooKeeperFrames.connectBegins(bytes) : ZooKeeperFrames.requestBegins(bytes)
    }

    func reader(of connection: FiveTuple) -> any StreamReader { ZooKeeperReader(connection, self) }

    // MARK: - Sessions

    /// A guest is in this session.
    ///
    /// - Parameters:
    ///   - timeout: in milliseconds; nil where it was not said.
    ///   - isNew: it has just begun.
    func joined(_ number: Int64, timeout: Int?, guest: IPAddress, at place: RegistryPlace, isNew: Bool) -> Session {
        let key = SessionKey(network: place.network, number: number)
        var session =
            (isNew ? nil : sessions.find(key))
            ?? Session(number: number, place: place, guest: guest, isWhole: isNew)
        session.guest = guest
        session.timeoutMilliseconds = timeout ?? session.timeoutMilliseconds
        _ = sessions.set(key, session, of: place.holder)
        return session
    }

    /// A session that this guest is known to have.
    func session(_ number: Int64, of guest: IPAddress, network: NetworkID) -> Session? {
        sessions.find(SessionKey(network: network, number: number)).flatMap { $0.guest == guest ? $0 : nil }
    }

    /// What ended with the session. Only its own guest can have seen it end.
    func ended(_ number: Int64, guest: IPAddress, network: NetworkID) -> [Advertisement] {
        let key = SessionKey(network: network, number: number)
        guard let session = sessions.peek(key), session.guest == guest else { return [] }
        sessions.remove(key)
        let known = nodes.revoked(session.id, in: session.place).map(\.withdrawn)
        guard known.isEmpty, !session.isWhole else { return known }
        // What it registered was perhaps heard by whoever listened before.
        var told = Advertisement(registry: Self.name, op: .deregister)
        told.leaseId = session.id
        return [told]
    }

    func holdsNodes(_ session: Session) -> Bool { nodes.holds(lease: session.id, in: session.place) }

    // MARK: - Nodes

    func created(_ told: Advertisement, at path: String, in place: RegistryPlace) {
        nodes.put(told, at: path, in: place)
        guard let service = told.service, let parent = Self.parent(of: path) else { return }
        _ = services.set(PlacedName(place: place, name: parent), service, of: place.holder)
    }

    func createdOther(_ path: String, in place: RegistryPlace) {
        _ = others.set(PlacedName(place: place, name: path), true, of: place.holder)
    }

    func deleted(_ path: String, in place: RegistryPlace) {
        nodes.deleted(path, in: place)
        others.remove(PlacedName(place: place, name: path))
    }

    func known(_ path: String, in place: RegistryPlace) -> Advertisement? {
        nodes.keys(from: path, to: [], in: place).first
    }

    /// What the deletion of a node withdraws; nil where it was none, or nobody knows.
    func withdrawn(_ path: String, in place: RegistryPlace) -> Advertisement? {
        if let known = known(path, in: place) { return known.withdrawn }
        guard others.peek(PlacedName(place: place, name: path)) == nil else { return nil }
        return ZooKeeperNodes.withdrawn(path: path)
    }

    /// - Returns: nil where the look is about no service.
    func look(_ look: ZooKeeperRequest.Look, in place: RegistryPlace) -> Advertisement? {
        var told = Advertisement(registry: Self.name, op: .discover)
        told.path = look.path
        let around = look.isParent ? look.path : Self.parent(of: look.path)
        if let known = known(look.path, in: place) {
            told.service = known.service
        } else if let service = around.flatMap({ services.peek(PlacedName(place: place, name: $0)) }) {
            told.service = service
        } else if let name = ZooKeeperNodes.looked(path: look.path, isParent: look.isParent) {
            told.service = name.service
        } else {
            return nil
        }
        return told
    }

    private static func parent(of path: String) -> String? {
        path.lastIndex(of: "/").flatMap { $0 == path.startIndex ? nil : String(path[..<$0]) }
    }
}
