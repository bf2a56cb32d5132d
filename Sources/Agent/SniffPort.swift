internal import Glibc
internal import Model
internal import Netlink
public import Registries

/// What listening to a port came to.
public struct PortSniffing: Sendable, Equatable {
    public var counters: Ear.Counters
    /// Frames that passed while there was no room for them.
    public var lostFrames: Int
}

/// What the registry dialects make of a device's traffic, as it passes: one JSON object a line, with the field names of
/// `Advertisement`. Blocks the calling thread until SIGINT or SIGTERM; each VLAN counts as a network of its own.
///
/// - Parameters:
///   - port: a device of this network namespace that carries Ethernet frames.
///   - write: is given each line, without its line feed.
/// - Throws: `OperationError` where the device cannot be listened to, or goes away; what `write` throws.
@discardableResult
public func sniff(
    port: String, registries: [RegistryEndpoint] = RegistryEndpoint.defaults, limits: Ear.Limits = Ear.Limits(),
    write: (String) throws -> Void
) throws -> PortSniffing {
    do {
        try refuseOtherThanEthernet(port)
        var socket = try FrameSocket(device: PortName(port))
        let stop = try StopSignals()
        var capture = CaptureListener(ear: Ear(registries: registries, limits: limits))
        while !wait(for: socket.fd, or: stop.fd) {
            // A flood must not keep the ear from its timers, or from the signal.
            for _ in 0..<framesPerTurn {
                guard let frame = try socket.read() else { break }
                try capture.hear(frame.bytes, vlan: frame.vlan, at: now()).forEach(write)
            }
            try capture.tick(at: now()).forEach(write)
        }
        try capture.finish().forEach(write)
        return PortSniffing(counters: capture.counters, lostFrames: socket.takeLost())
    } catch let error as NetlinkError {
        throw explained(error, port)
    }
}

private let framesPerTurn = 256
/// Between two looks at what no answer came for.
private let turnMilliseconds: Int32 = 200

/// True when it is time to stop.
private func wait(for frames: Int32, or stop: Int32) -> Bool {
    var waits = [
        pollfd(fd: frames, events: Int16(POLLIN), revents: 0), pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
    ]
    // Interrupted is as good as late: both are looked at.
    _ = poll(&waits, nfds_t(waits.count), turnMilliseconds)
    return waits[1].revents != 0
}

private func now() -> Instant {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Instant(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
}

private func refuseOtherThanEthernet(_ port: String) throws {
    guard let link = try NetlinkSocket.links().first(where: { $0.name.description == port }) else {
        throw NetlinkError.noDevice("listen on \(port)")
    }
    guard link.mac != nil else {
        throw OperationError(
            .badInput, "listen on \(port): it carries no Ethernet frames",
            remedy: "name the device that its packets come in by, or the bridge that it leads to")
    }
}

private func explained(_ error: NetlinkError, _ port: String) -> OperationError {
    switch error.code {
    case ENODEV:
        OperationError(
            .notFound, "listen on \(port): there is no such device in this network namespace",
            remedy: "`ip -br link` lists those that are there")
    case EPERM, EACCES:
        OperationError(.failed, error.description, remedy: "run it as root, or with CAP_NET_RAW")
    default: OperationError(.failed, error.description)
    }
}
