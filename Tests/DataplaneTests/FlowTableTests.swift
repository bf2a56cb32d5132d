import BPFRuntime
import CRemoraABI
import Foundation
import Model
import Testing

@testable import Dataplane

@Suite("The flow table", .enabled(if: mayLoadBPF, Comment(rawValue: needsRoot)), .serialized)
struct FlowTableTests {
    let client = "10.0.9.9"
    let guest = InstanceID(network: NetworkID(0), address: .v4(Rig.vm1.address), port: 8080)

    @Test("a full flow table refuses new flows, writes neither direction, and keeps the living ones")
    func full() throws {
        let rig = try Rig(flows: 16)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var opened: [UInt16] = []
        var refused = 0
        for port in UInt16(5000)..<5060 {
            let outcome = try rig.run(Packet(from: client, port, to: Rig.vip, 80))
            if outcome.reasons == ["opened": 1] { opened.append(port) }
            if outcome.reasons == ["flows-full": 1] { refused += 1 }
        }
        #expect(opened.count + refused == 60)
        #expect(opened.count >= 8, "what was asked for")
        #expect(refused > 0)
        #expect(rig.flowCount == opened.count * 2)
        for port in opened {
            #expect(
                try rig.run(Packet(from: client, port, to: Rig.vip, 80, flags: Packet.ack)).reasons == ["forwarded": 1])
        }
    }

    @Test("what a table is made for fits in it, each flow is found, and nothing is left when all go")
    func capacity() throws {
        let rig = try Rig(flows: 4096, halfOpen: 1 << 20)
        let flows = rig.plane.maps.flows
        try rig.plane.apply(Rig.web([Rig.vm1]))
        for _ in 0..<2 {
            for port in UInt16(5000)..<7048 {
                #expect(try rig.run(Packet(from: client, port, to: Rig.vip, 80)).reasons == ["opened": 1])
            }
            #expect(flows.all.count == 4096)
            #expect(flows.spilled > 3000, "the front is small")
            for port in UInt16(5000)..<7048 {
                let middle = Packet(from: client, port, to: Rig.vip, 80, flags: Packet.ack)
                #expect(try rig.run(middle).reasons == ["forwarded": 1])
                let answer = try rig.run(Packet(from: "10.0.0.1", 8080, to: client, port, flags: Packet.ack))
                #expect(answer.packet?.source == IPv4Address(Rig.vip))
            }
            #expect(try rig.plane.purge(guest) == 2048)
            #expect(flows.all.isEmpty)
            #expect(flows.spilled == 0)
        }
    }

    @Test("packets on many processors at once take no flow's slot twice")
    func crowded() throws {
        let rig = try Rig(flows: 2048, halfOpen: 1 << 20)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        let program = rig.plane.attachments[rig.port]!.programs[.ingress]!
        let opening = (0..<240).map { Packet(from: client, 5000 + UInt16($0), to: Rig.vip, 80).bytes }
        for _ in 0..<20 {
            // each by two threads at a time: now and then both find no entry, and make one
            DispatchQueue.concurrentPerform(iterations: 480) { _ = try? program.testRun(opening[$0 / 2]) }
            let flows = rig.plane.maps.flows.all
            #expect(flows.count >= 480, "both directions of each")
            #expect(Set(flows.map { Data(bytes(of: $0.key)) }).count == 480)
            for port in UInt16(5000)..<5240 {
                let middle = Packet(from: client, port, to: Rig.vip, 80, flags: Packet.ack)
                #expect(try rig.run(middle).reasons == ["forwarded": 1])
            }
            // an entry that was made twice goes by its key twice
            for _ in 0..<3 { try rig.plane.purge(guest) }
            #expect(rig.plane.maps.flows.all.isEmpty)
            #expect(rig.plane.maps.flows.spilled == 0)
        }
    }

    @Test("connections that come and go on many processors, while others are purged, leave nothing behind")
    func churn() throws {
        let rig = try Rig(flows: 16, halfOpen: 1 << 20)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        let ingress = rig.plane.attachments[rig.port]!.programs[.ingress]!
        let flows = rig.plane.maps.flows
        let purging = flows.purging
        let talks = (0..<40).map { Self.talk(from: 5000 + UInt16($0)) }
        let keys = talks.flatMap { $0.prefix(2).map { key(of: $0) } }
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            for round in 0..<400 {
                if thread == 3 {
                    _ = try? purging.testRun(keys[round % keys.count])
                } else {
                    for frame in talks[(round * 7 + thread) % talks.count] { _ = try? ingress.testRun(frame.bytes) }
                }
            }
        }
        for _ in 0..<3 { try rig.plane.purge(guest) }
        #expect(flows.all.isEmpty)
        #expect(flows.spilled == 0)
        #expect(flows.taken == 0)
        for (index, frame) in talks[0].enumerated() {
            #expect(try rig.run(frame).reasons == [index == 0 ? "opened" : "forwarded": 1])
        }
    }

    /// A connection to the VIP from its SYN to its last word.
    private static func talk(from port: UInt16) -> [Packet] {
        func packet(fromServer: Bool, _ flags: UInt8, _ sequence: UInt32, _ acknowledged: UInt32) -> Packet {
            var packet =
                fromServer
                ? Packet(from: "10.0.0.1", 8080, to: "10.0.9.9", port, flags: flags)
                : Packet(from: "10.0.9.9", port, to: Rig.vip, 80, flags: flags)
            packet.sequence = sequence
            packet.acknowledged = acknowledged
            return packet
        }
        return [
            packet(fromServer: false, Packet.syn, 9, 0), packet(fromServer: true, 0x12, 99, 10),
            packet(fromServer: false, Packet.ack, 10, 100), packet(fromServer: true, Packet.fin, 100, 10),
            packet(fromServer: false, Packet.fin, 10, 101), packet(fromServer: true, Packet.ack, 101, 11),
        ]
    }

    /// As `purge` takes it.
    private func key(of packet: Packet) -> [UInt8] {
        var key = remora_flow_key()
        key.source = packet.source.networkOrder
        key.destination = packet.destination.networkOrder
        key.source_port = packet.sourcePort.bigEndian
        key.destination_port = packet.destinationPort.bigEndian
        key.protocol = packet.proto
        return bytes(of: key)
    }
}
