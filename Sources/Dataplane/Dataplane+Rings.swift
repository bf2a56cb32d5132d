internal import BPFRuntime
internal import CRemoraABI
public import Model

/// A frame to or from a registry as it passed a port, or one of a probe's own connection, which ended there.
public struct CopiedFrame {
    /// CLOCK_MONOTONIC, nanoseconds.
    public let time: UInt64
    public let port: PortName
    public let network: NetworkID
    /// Of a tag that the device took off the bytes; nil: none.
    public let vlan: UInt16?
    /// Of a connection that a probe opened: no registry's.
    public let isProbes: Bool
    /// The kernel's own memory: gone when the handler returns.
    public let bytes: UnsafeRawBufferPointer
}

/// What the programs tell.
public struct DataplaneEvent: Sendable {
    public enum Kind: Sendable { case opened, closed, dropped, probeAnswer, neighbourChanged }
    public let kind: Kind
    /// CLOCK_MONOTONIC, nanoseconds.
    public let time: UInt64
    /// enum remora_reason
    public let reason: UInt32
    /// As the packet came in.
    public let flow: FiveTuple
    public let backend: IPv4Address
    public let backendPort: UInt16
    /// nil: the port had gone when this came, or another has its slot since.
    public let port: PortName?
    public let service: ServiceID?
    /// Of a probe's answer: the number that `expect` was given.
    public let probe: UInt32
    /// The packet's source.
    public let mac: MACAddress
    public let hopLimit: UInt8
    /// Byte 13 of the TCP header.
    public let tcpFlags: UInt8
    public let sequence: UInt32
    /// Of another probe's answer than TCP's: what it was asked with.
    public let acknowledged: UInt32
}

/// A connection's beginning or end, or a drop, as the ring had it: two come with every connection, and few are ever
/// asked for. `Dataplane.described` looks up what it names.
public struct FlowEvent: Sendable {
    let raw: remora_event
    /// Of the slots that it names.
    let serviceTenure: UInt32
    let portTenure: UInt32
}

extension Dataplane {
    /// Opens both rings. Returns what to poll; each readable descriptor wants its `consume`.
    public func openRings(
        frame: @escaping (CopiedFrame) -> Void, flow: @escaping (FlowEvent) -> Void,
        event: @escaping (DataplaneEvent) -> Void
    ) throws(DataplaneError) -> (adverts: Int32, events: Int32) {
        try during("read the rings") { () throws(BPFError) in
            let adverts = try Ring(maps.adverts, name: "adverts") { [unowned self] record in
                if let copied = copiedFrame(record) { frame(copied) }
            }
            let events = try Ring(maps.events, name: "events") { [unowned self] record in
                guard record.count >= MemoryLayout<remora_event>.size else { return }
                let raw = record.loadUnaligned(as: remora_event.self)
                let told = flowEvent(raw)
                switch remora_event_kind(rawValue: raw.kind) {
                case REMORA_EVENT_FLOW_OPENED, REMORA_EVENT_FLOW_CLOSED, REMORA_EVENT_DROP: flow(told)
                default: if let told = described(told) { event(told) }
                }
            }
            rings = [adverts, events]
            return (adverts.pollDescriptor, events.pollDescriptor)
        }
    }

    @discardableResult
    public func consumeAdverts() -> Int { rings.first?.consume() ?? 0 }
    @discardableResult
    public func consumeEvents() -> Int { rings.last?.consume() ?? 0 }

    private func copiedFrame(_ record: UnsafeRawBufferPointer) -> CopiedFrame? {
        let headerSize = MemoryLayout<remora_advert>.size
        guard record.count >= headerSize else { return nil }
        let header = record.loadUnaligned(as: remora_advert.self)
        guard record.count >= headerSize + Int(header.length), let port = portName(slot: UInt32(header.port)) else {
            return nil
        }
        return CopiedFrame(
            time: header.time, port: port, network: NetworkID(header.network),
            vlan: header.vlan == 0 ? nil : header.vlan,
            isProbes: UInt32(header.kind) == REMORA_ADVERT_PROBE.rawValue,
            bytes: UnsafeRawBufferPointer(rebasing: record[headerSize..<headerSize + Int(header.length)]))
    }

    private func flowEvent(_ raw: remora_event) -> FlowEvent {
        FlowEvent(
            raw: raw, serviceTenure: slots.tenure(of: raw.service), portTenure: portSlots.tenure(of: UInt32(raw.port)))
    }

    /// With names for its slots, as they were when it came: nil for one that has another holder since. Nil: no event that
    /// this version knows.
    public func described(_ event: FlowEvent) -> DataplaneEvent? {
        let raw = event.raw
        let kind: DataplaneEvent.Kind
        switch remora_event_kind(rawValue: raw.kind) {
        case REMORA_EVENT_FLOW_OPENED: kind = .opened
        case REMORA_EVENT_FLOW_CLOSED: kind = .closed
        case REMORA_EVENT_DROP: kind = .dropped
        case REMORA_EVENT_PROBE_ANSWER: kind = .probeAnswer
        case REMORA_EVENT_NEIGHBOUR_CHANGED: kind = .neighbourChanged
        default: return nil
        }
        return DataplaneEvent(
            kind: kind, time: raw.time, reason: raw.reason, flow: FiveTuple(raw.key),
            backend: IPv4Address(networkOrder: raw.backend_address), backendPort: UInt16(bigEndian: raw.backend_port),
            port: portSlots.holder(of: UInt32(raw.port), tenure: event.portTenure),
            service: kind == .probeAnswer ? nil : slots.holder(of: raw.service, tenure: event.serviceTenure),
            probe: raw.service, mac: MACAddress(raw.mac),
            hopLimit: raw.ttl, tcpFlags: raw.tcp_flags, sequence: raw.tcp_sequence,
            acknowledged: raw.tcp_acknowledged)
    }

    /// The answer to a probe: taken off the wire at whichever port it comes in by.
    public func expect(_ answer: ProbeKey, number: UInt32) throws(DataplaneError) {
        try during("expect the answer to a probe") { () throws(BPFError) in
            if let key = answer.raw4 {
                try maps.probes.set(key, number)
            } else if let key = answer.raw6 {
                try maps.probes6.set(key, number)
            }
        }
    }

    public func unexpect(_ answer: ProbeKey) {
        if let key = answer.raw4 {
            _ = try? maps.probes.remove(key)
        } else if let key = answer.raw6 {
            _ = try? maps.probes6.remove(key)
        }
    }

    /// This stream speaks no dialect: neither direction is copied any more. Those over IPv6 always are.
    public func ignore(_ stream: FiveTuple) {
        for direction in [stream, stream.reversed] {
            if let key = direction.raw { try? maps.ignored.set(key, 1) }
        }
    }
}

extension FiveTuple {
    init(_ raw: remora_flow_key) {
        self.init(
            network: NetworkID(raw.network), source: .v4(IPv4Address(networkOrder: raw.source)),
            sourcePort: UInt16(bigEndian: raw.source_port),
            destination: .v4(IPv4Address(networkOrder: raw.destination)),
            destinationPort: UInt16(bigEndian: raw.destination_port))
    }

    fileprivate var raw: remora_flow_key? {
        ProbeKey(
            network: network, protocolNumber: TransportProtocol.tcp.number, source: source, sourcePort: sourcePort,
            destination: destination, destinationPort: destinationPort
        ).raw4
    }
}

extension ProbeKey {
    fileprivate var raw4: remora_flow_key? {
        guard let from = source.v4, let to = destination.v4 else { return nil }
        var key = remora_flow_key()
        key.source = from.networkOrder
        key.destination = to.networkOrder
        key.source_port = sourcePort.bigEndian
        key.destination_port = destinationPort.bigEndian
        key.network = network.number
        key.protocol = protocolNumber
        return key
    }

    fileprivate var raw6: remora_flow6_key? {
        guard case .v6(let from) = source, case .v6(let to) = destination else { return nil }
        var key = remora_flow6_key()
        withUnsafeMutableBytes(of: &key.source) { $0.copyBytes(from: from.bytes) }
        withUnsafeMutableBytes(of: &key.destination) { $0.copyBytes(from: to.bytes) }
        key.source_port = sourcePort.bigEndian
        key.destination_port = destinationPort.bigEndian
        key.network = network.number
        key.protocol = protocolNumber
        return key
    }
}
