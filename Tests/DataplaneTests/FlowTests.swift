import CRemoraABI
import Model
import Testing

@testable import Dataplane

@Suite("Flows, packet by packet", .enabled(if: mayLoadBPF, Comment(rawValue: needsRoot)), .serialized)
struct FlowTests {
    let client = "10.0.9.9"
    let guest = InstanceID(network: NetworkID(0), address: .v4(Rig.vm1.address), port: 8080)

    /// Both sides of one connection, with numbers that fit.
    private struct Talk {
        let rig: Rig
        var client: Packet
        var server = Packet(from: "10.0.0.1", 8080, to: "10.0.9.9", 5000, flags: 0x12)

        init(_ rig: Rig, to address: String = Rig.vip, _ port: UInt16 = 80, from source: UInt16 = 5000) throws {
            self.rig = rig
            client = Packet(from: "10.0.9.9", source, to: address, port)
            let sent = try rig.run(client)
            try #require(sent.reasons == ["opened": 1])
            server.destinationPort = sent.packet!.sourcePort
            client.sequence = 1000
            server.sequence = 900_000
            try say(fromServer: true, 0x12)
            try say(fromServer: false, Packet.ack)
        }

        /// A packet of either side that acknowledges all but the last `missing` bytes of what the other said.
        mutating func say(fromServer: Bool, _ flags: UInt8, payload: [UInt8] = [], missing: UInt32 = 0) throws {
            var packet = fromServer ? server : client
            packet.flags = flags
            packet.payload = payload
            packet.acknowledged = (fromServer ? client : server).sequence - missing
            #expect(try rig.run(packet).reasons == ["forwarded": 1])
            let said = UInt32(payload.count) + (flags & 1 == 1 ? 1 : 0)
            if fromServer { server.sequence += said } else { client.sequence += said }
        }

        /// `first` says its FIN, and so on to the last word.
        mutating func end(first: Bool) throws {
            try say(fromServer: first, Packet.fin)
            try say(fromServer: !first, Packet.fin)
            try say(fromServer: first, Packet.ack)
        }
    }

    @Test("a connection is over with the word that acknowledges its second FIN", arguments: [true, false])
    func lastWord(serverFirst: Bool) throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var talk = try Talk(rig)
        try talk.say(fromServer: serverFirst, Packet.fin, payload: [1, 2, 3])
        try talk.say(fromServer: !serverFirst, Packet.ack)
        try talk.say(fromServer: !serverFirst, Packet.ack, payload: [4, 5])  // half closed, it may still speak
        try talk.say(fromServer: serverFirst, Packet.ack)
        try talk.say(fromServer: !serverFirst, Packet.fin, payload: [6])
        try talk.say(fromServer: serverFirst, Packet.ack, missing: 2)  // was under way when the FIN came
        try talk.say(fromServer: serverFirst, Packet.ack, missing: 1)
        #expect(rig.liveFlows == 2)
        try talk.say(fromServer: serverFirst, Packet.ack)
        #expect(rig.liveFlows == 0)
    }

    @Test("FINs that cross, or are said again, close a connection once both are acknowledged")
    func crossing() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var talk = try Talk(rig)
        try talk.say(fromServer: true, Packet.fin)
        try talk.say(fromServer: false, Packet.fin, missing: 1)
        talk.client.sequence -= 1
        try talk.say(fromServer: false, Packet.fin, missing: 1)
        #expect(rig.liveFlows == 2)
        try talk.say(fromServer: true, Packet.ack)
        #expect(rig.liveFlows == 2, "the server's own is not acknowledged")
        try talk.say(fromServer: false, Packet.ack)
        #expect(rig.liveFlows == 0)
    }

    @Test(
        "a port whose connection has ended meets the guest's TIME_WAIT under no other frontend's flow",
        arguments: [true, false], [true, false])
    func timeWait(vipFirst: Bool, forgotten: Bool) throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        let ends = [(Rig.vip, UInt16(80)), ("10.0.0.1", 8080)]
        let (first, second) = vipFirst ? (ends[0], ends[1]) : (ends[1], ends[0])
        var talk = try Talk(rig, to: first.0, first.1)
        try talk.end(first: true)
        #expect(rig.liveFlows == 0)
        if forgotten { try rig.plane.purge(guest) }
        var other = try Talk(rig, to: second.0, second.1)
        #expect(other.server.destinationPort != 5000)
        try other.end(first: true)
        #expect(try Talk(rig, to: first.0, first.1).server.destinationPort == 5000, "its own")
        #expect(try Talk(rig, to: second.0, second.1, from: 5001).server.destinationPort == 5001)
        try rig.plane.maps.setLinger(0)
        try rig.plane.purge(guest)
        #expect(try Talk(rig, to: second.0, second.1).server.destinationPort == 5000, "TIME_WAIT is over")
    }

    @Test("what the table holds is told as the client knows it, with what both sides said")
    func told() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var talk = try Talk(rig)
        _ = try rig.run(Packet(from: client, 5001, to: Rig.vip, 80))
        _ = try rig.run(Packet(from: client, 5000, to: "10.0.0.1", 8080))
        try talk.say(fromServer: true, Packet.fin, payload: [1, 2, 3])
        let told = try rig.plane.connections(limit: 10)
        #expect(told.count == 3)
        let first = try #require(told.first { $0.state == .closing })
        #expect(first.flow.sourcePort == 5000 && first.flow.destination.description == Rig.vip)
        #expect(first.backend == guest && first.sourcePort == 5000)
        #expect(first.service?.name == "web" && first.port == rig.port)
        #expect(first.sent == 2)
        #expect(first.answered == 2)
        let others = told.filter { $0 != first }
        #expect(others.allSatisfy { $0.state == .halfOpen && $0.answered == 0 })
        #expect(others.filter { $0.sourcePort == $0.flow.sourcePort }.map(\.flow.sourcePort) == [5001])
        #expect(try rig.plane.connections(limit: 2).count == 2)
        try talk.say(fromServer: false, Packet.fin)
        try talk.say(fromServer: true, Packet.ack)
        let closed = try rig.plane.connections(limit: 10).filter { $0.state == .closed }
        #expect(closed.map(\.sent) == [3] && closed.map(\.answered) == [3])
    }

    @Test("what is late at a connection that is over passes, until a new one needs the slot")
    func late() throws {
        let rig = try Rig(flows: 8)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var talk = try Talk(rig)
        try talk.end(first: false)
        talk.server.sequence -= 1
        try talk.say(fromServer: true, Packet.fin)  // it did not hear the last word
        try talk.say(fromServer: false, Packet.ack)
        #expect(rig.plane.maps.flows.all.count == 2)
        #expect(rig.liveFlows == 0)
        for port in UInt16(6000)..<6100 {
            var other = try Talk(rig, from: port)
            try other.end(first: true)
        }
        #expect(rig.liveFlows == 0)
        #expect(rig.plane.maps.flows.spilled == 0, "the front had room for all of them")
        talk.client.flags = Packet.ack
        #expect(try rig.run(talk.client).reasons == ["no-flow": 1])
        let again = try Talk(rig)
        #expect(rig.liveFlows == 2)
        #expect(again.server.destinationPort == 5000)
    }

    @Test("the last word is not asked about once more on its way to the guest")
    func lastWordOut() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var talk = try Talk(rig)
        try talk.say(fromServer: false, Packet.fin)
        try talk.say(fromServer: true, Packet.fin)
        talk.client.flags = Packet.ack
        talk.client.acknowledged = talk.server.sequence
        let out = try #require(try rig.run(talk.client).packet)
        #expect(rig.liveFlows == 0)
        #expect(try rig.run(out, egress: true).reasons == ["checked": 1])
        #expect(rig.liveFlows == 0)
    }

    @Test("a service is counted by the batch, and whole when its connections are over")
    func counted() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        let web = ServiceID(network: NetworkID(0), name: "web")
        var talk = try Talk(rig)
        #expect(try rig.plane.counters(of: web).connections == 1)
        for _ in 0..<20 { try talk.say(fromServer: false, Packet.ack) }
        #expect(try rig.plane.counters(of: web).forward == .init(packets: 16, bytes: 16 * 54))
        try talk.end(first: true)
        let over = try rig.plane.counters(of: web)
        #expect(over.forward == .init(packets: 23, bytes: 23 * 54))
        #expect(over.reverse == .init(packets: 3, bytes: 3 * 54))
        _ = try Talk(rig, from: 5001)
        try rig.plane.purge(guest)
        #expect(try rig.plane.counters(of: web).forward.packets == 25)
    }

    @Test("where no other port is free a connection gets its own, whatever is remembered of that")
    func nothingFree() throws {
        let rig = try Rig(flows: 1 << 16, halfOpen: 1 << 20)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        var talk = try Talk(rig)
        try talk.end(first: true)
        try rig.plane.purge(guest)
        for port in UInt16(32768)..<61000 {
            _ = try rig.send(Packet(from: client, port, to: Rig.vip, 80))
        }
        #expect(rig.liveFlows == 2 * 28232)
        #expect(try Talk(rig, to: "10.0.0.1", 8080).server.destinationPort == 5000)
    }

    @Test("what ends at a VM's own address and is not known passes, and leaves nothing behind")
    func unknownEnd() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        for flags in [Packet.fin, Packet.reset] {
            let late = Packet(from: client, 5000, to: "10.0.0.1", 8080, flags: flags)
            let passed = try rig.run(late)
            #expect(passed.reasons == ["forwarded": 1])
            #expect(passed.packet == late)
            #expect(rig.flowCount == 0)
            #expect(try rig.run(Packet(from: client, 5000, to: Rig.vip, 80, flags: flags)).reasons == ["no-flow": 1])
        }
    }

    @Test("VIP and own address from one source port: both live", arguments: [true, false])
    func clash(vipFirst: Bool) throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        let toVIP = Packet(from: client, 5000, to: Rig.vip, 80)
        let toOwn = Packet(from: client, 5000, to: "10.0.0.1", 8080)
        let first = try rig.run(vipFirst ? toVIP : toOwn).packet!
        let second = try rig.run(vipFirst ? toOwn : toVIP).packet!
        #expect(first.sourcePort == 5000)
        #expect(second.sourcePort != 5000)
        #expect(second.destination == Rig.vm1.address)
        for (sent, asked) in [(first, vipFirst ? toVIP : toOwn), (second, vipFirst ? toOwn : toVIP)] {
            let answer = try rig.run(Packet(from: "10.0.0.1", 8080, to: client, sent.sourcePort, flags: 0x12)).packet!
            #expect(answer.source == asked.destination)
            #expect(answer.sourcePort == asked.destinationPort)
            #expect(answer.destinationPort == 5000)
        }
    }

    @Test("a source port reused after its connection closed opens again, and keeps its claim meanwhile")
    func reuse() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        let toVIP = Packet(from: client, 5000, to: Rig.vip, 80)
        _ = try rig.run(toVIP)
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80, flags: Packet.fin))
        let other = try rig.run(Packet(from: client, 5000, to: "10.0.0.1", 8080))
        #expect(other.packet?.sourcePort != 5000, "the guest's TIME_WAIT socket still has that five-tuple")
        let again = try rig.run(toVIP)
        #expect(again.reasons == ["opened": 1])
        #expect(again.packet?.sourcePort == 5000)
    }

    @Test("ended connections go early where the table is more than a quarter full, and stay where it is not")
    func pressed() throws {
        let rig = try Rig(flows: 64)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        rig.plane.setFlowLimits(.init(closed: .seconds(3600), closedUnderPressure: .zero))
        func end(_ ports: Range<UInt16>) throws {
            for port in ports {
                _ = try rig.run(Packet(from: client, port, to: Rig.vip, 80))
                _ = try rig.run(Packet(from: "10.0.0.1", 8080, to: client, port, flags: 0x12))
                for flags in [Packet.ack, Packet.reset] {
                    _ = try rig.run(Packet(from: client, port, to: Rig.vip, 80, flags: flags))
                }
            }
        }
        let start = ContinuousClock.now
        try end(5000..<5008)
        // Two passes with half a second between them: the tick rate is known then.
        for second in 0..<8 { _ = try rig.plane.sweepFlows(now: start + .seconds(second)) }
        #expect(rig.flowCount == 16)
        try end(5008..<5024)
        #expect(rig.flowCount == 48)
        // The kernel's clock must have ticked since.
        let deadline = start + .seconds(30)
        var second = 8
        while rig.flowCount > 16, ContinuousClock.now < deadline {
            _ = try rig.plane.sweepFlows(now: start + .seconds(second))
            second += 1
        }
        #expect(rig.flowCount <= 16)
        #expect(try rig.run(Packet(from: client, 6000, to: Rig.vip, 80)).reasons == ["opened": 1])
    }

    @Test("a flow that was judged over stays where a packet came meanwhile, and goes with its answers' where none did")
    func forgotten() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80))
        func forget(_ direction: remora_direction, seenEarlier: UInt32 = 0, looked: UInt32 = 1) throws -> Int {
            let flows = rig.plane.maps.flows
            let flow = try #require(flows.all.first { $0.direction == UInt8(direction.rawValue) })
            let seen = flow.seen &- seenEarlier
            return try flows.forget([remora_stale_flow(key: flow.key, seen: seen, looked: seen &+ looked)])
        }
        #expect(try forget(REMORA_FORWARD, seenEarlier: 1) == 0)
        #expect(try forget(REMORA_FORWARD, looked: 0) == 0, "an answer came since")
        #expect(try forget(REMORA_REVERSE) == 0, "an answer's entry waits for its request's")
        #expect(rig.flowCount == 2)
        #expect(try forget(REMORA_FORWARD) == 1)
        #expect(rig.flowCount == 0)
    }

    @Test("a reset after a FIN ends the connection in both directions' entries")
    func resetAfterFin() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80, flags: Packet.fin))
        #expect(try rig.openConnections == 1, "half closed: the server may still speak")
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80, flags: Packet.reset))
        #expect(try rig.openConnections == 0)
    }

    @Test("a client's port that is used again, for another backend, leaves no answers' entry behind")
    func orphan() throws {
        let rig = try Rig()
        rig.plane.setFlowLimits(.init(closed: .zero))
        try rig.plane.apply(Rig.web([Rig.vm1]))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80))
        _ = try rig.run(Packet(from: "10.0.0.1", 8080, to: client, 5000, flags: Packet.fin))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80, flags: Packet.fin))
        var leaving = Rig.vm1
        leaving.state = .draining
        try rig.plane.apply(Rig.web([leaving, Rig.vm2]))
        #expect(try rig.run(Packet(from: client, 5000, to: Rig.vip, 80)).reasons == ["opened": 1])
        #expect(rig.flowCount == 3)
        let start = ContinuousClock.now
        var second = 0
        while rig.flowCount > 2, ContinuousClock.now - start < .seconds(30) {
            _ = try rig.plane.sweepFlows(now: start + .seconds(second))
            second += 1
        }
        #expect(rig.flowCount == 2, "the living connection's two")
    }

    @Test("the last word of a connection counts, even if it is the first after a change of policy")
    func endAfterChange() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80))
        try rig.plane.apply(
            Rig.web([Rig.vm1], rules: [.init(action: .deny, source: IPv4Prefix("192.0.2.0/24")!)]))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80, flags: Packet.reset))
        #expect(try rig.openConnections == 0)
    }

    @Test("a connection older than its proxy is picked up on the VM's own address")
    func pickedUp() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web())
        let middle = Packet(from: client, 5000, to: "10.0.0.1", 8080, flags: Packet.ack)
        #expect(try rig.run(middle).reasons == ["opened": 1])
        #expect(try rig.run(middle).reasons == ["forwarded": 1])
        let stray = try rig.run(Packet(from: client, 5001, to: Rig.vip, 80, flags: Packet.ack))
        #expect(stray.reasons == ["no-flow": 1])
    }

    @Test("an answer that came in by its guest's port is not counted again on its way to another guest")
    func answerOnItsWay() throws {
        let rig = try Rig()
        try rig.plane.apply(Rig.web([Rig.vm1]))
        _ = try rig.run(Packet(from: client, 5000, to: "10.0.0.1", 8080))
        let answer = Packet(from: "10.0.0.1", 8080, to: client, 5000, flags: 0x12)
        #expect(try rig.run(answer).reasons == ["forwarded": 1])
        #expect(try rig.run(answer, egress: true).reasons == ["checked": 1])
        #expect(try rig.plane.connections(limit: 1).map(\.answered) == [1])
    }

    @Test("answers follow a client whose port was made anew, and requests get the guest's MAC where it is needed now")
    func portMadeAnew() throws {
        let rig = try Rig(forwarding: .switch)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        _ = try rig.run(Packet(from: client, 5000, to: Rig.vip, 80))
        let anew = PortAttachment(
            name: rig.port, ifindex: 4711, role: .vm, mode: .enforce, forwarding: .redirect, answerARP: true)
        try rig.plane.prepare(anew)
        let middle = Packet(from: client, 5000, to: Rig.vip, 80, flags: Packet.ack)
        #expect(try rig.run(middle).reasons == ["forwarded": 1])
        #expect(try rig.run(Packet(from: "10.0.0.1", 8080, to: client, 5000, flags: 0x12)).verdict == redirected)
        #expect(try #require(rig.plane.maps.flows.all.first { !$0.isForward }).ifindex == 4711)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        for _ in 0..<2 {
            let sent = try rig.run(middle)
            #expect(sent.verdict == redirected)
            #expect(sent.packet?.destinationMAC == Rig.vm1.mac)
        }
        var switched = anew
        switched.forwarding = .switch
        try rig.plane.prepare(switched)
        try rig.plane.apply(Rig.web([Rig.vm1]))
        for _ in 0..<2 {
            let sent = try rig.run(middle)
            #expect(sent.verdict == nextHop)
            #expect(sent.packet?.destinationMAC == middle.destinationMAC, "a router's frames are its business")
        }
    }
}
