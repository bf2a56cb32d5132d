import Foundation
import Synchronization

/// How soon a registered service is reachable through its mesh VIP, seen from outside of the agent.
public enum Readiness {
    /// Registers a service whose VIP is known from earlier, while a client tries the VIP again and again.
    /// - Returns: the time from etcd's watch event, which comes before its answer to the registration, to the first
    ///   connection: an upper bound, with the client's pause between two tries in it.
    public static func measure(
        _ service: String, at vip: Endpoint, client: Namespace, registry: EtcdServer, register: () throws -> Void
    ) throws -> Duration {
        try keepNeighbour(vip.address, of: client)
        let watch = try registry.watch(under: "/services/\(service)/", from: client)
        let event = Moment()
        let answer = Moment()
        Thread.detachNewThread {
            if (try? watch.next()) != nil { event.strike() }
        }
        Thread.detachNewThread {
            let end = ContinuousClock.now + .seconds(20)
            while ContinuousClock.now < end {
                if (try? Connection(from: client, to: vip, timeout: .milliseconds(3))) != nil { return answer.strike() }
                usleep(200)
            }
        }
        try register()
        let (from, to) = try (event.met("etcd's event"), answer.met("a connection to \(vip)"))
        return to - from
    }

    /// A second between two ARP requests would be all that is measured: what the client knows of the VIP's MAC address
    /// stays, and if it knows nothing, it asks a hundred times a second.
    private static func keepNeighbour(_ address: String, of client: Namespace) throws {
        try client.sysctl("net.ipv4.neigh.eth0.retrans_time_ms=10")
        let words = try call(["ip", "neigh", "show", "to", address, "dev", "eth0"], in: client).split(separator: " ")
        guard let label = words.firstIndex(of: "lladdr"), label + 1 < words.count else { return }
        try client.ip("neigh replace \(address) lladdr \(words[label + 1]) dev eth0 nud permanent")
    }

    /// A moment that one thread meets and another waits for.
    private final class Moment: Sendable {
        private let time = Mutex<ContinuousClock.Instant?>(nil)
        func strike() { time.withLock { $0 = .now } }
        func met(_ what: String) throws -> ContinuousClock.Instant {
            try wait(for: what, limit: .seconds(20)) { time.withLock { $0 } }
        }
    }
}

extension EtcdServer {
    /// A watch on all keys under a directory.
    public func watch(under directory: String, from client: Namespace) throws -> Watch {
        let body = "{\"create_request\":{\(Self.range(directory))}}"
        let watch = Watch(try Connection(from: client, to: endpoint, timeout: .seconds(20)))
        try watch.start(body, at: endpoint)
        return watch
    }

    public final class Watch: Sendable {
        private let connection: Connection

        init(_ connection: consuming Connection) { self.connection = connection }

        /// Returns when etcd has confirmed it.
        func start(_ body: String, at endpoint: Endpoint) throws {
            try connection.send(
                "POST /v3/watch HTTP/1.1\r\nHost: \(endpoint)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            var answer = ""
            while !answer.contains("\"created\":true") {
                let more = try connection.receive()
                guard !more.isEmpty else { throw Failure("etcd closed the watch: \(answer)") }
                answer += String(decoding: more, as: UTF8.self)
            }
        }

        /// Waits for the next event.
        public func next() throws {
            guard try !connection.receive().isEmpty else { throw Failure("etcd closed the watch") }
        }
    }
}
