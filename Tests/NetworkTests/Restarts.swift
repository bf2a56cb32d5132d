import Foundation
import Lab
import Testing

/// What an agent that was away finds, and what it makes of it.
extension Networks {
    @Test("a damaged journal: the agent starts, says so, keeps the file aside, and goes on with what is whole")
    func damagedJournal() throws {
        let bed = try Bed()
        let vip = try bed.meshWeb()
        try bed.remora.stop()
        let file = URL(fileURLWithPath: bed.remora.journal)
        var bytes = try Data(contentsOf: file)
        let whole = bytes
        // the last record's
        bytes[bytes.count - 10] ^= 0x20
        try bytes.write(to: file)
        try bed.remora.start()
        #expect(bed.remora.log.isEmpty == false)
        let said = try String(contentsOfFile: bed.remora.log, encoding: .utf8)
        #expect(said.contains("damaged"), "\(said)")
        let kept = "\(bed.remora.journal).damaged-1"
        #expect(try Data(contentsOf: URL(fileURLWithPath: kept)) == bytes)
        #expect(whole != bytes)
        try wait(for: "the VIP that it had") { try bed.remora.service("web")["vip"].string == "\(vip)" }
        #expect(try bed.pages(10, from: bed.alice, at: vip).values.reduce(0, +) == 10)
    }

    @Test("a journal of a newer version is refused by name, and the data path runs on")
    func newerJournal() throws {
        let bed = try Bed(machines: 1)
        let vip = try bed.meshWeb()
        try bed.remora.stop()
        let file = URL(fileURLWithPath: bed.remora.journal)
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
        let header = "{\"remora-journal\":99}"
        // the CRC-32 of gzip's trailer, as on a little-endian machine
        let sum = try call(["sh", "-c", "gzip -c | tail -c 8 | od -An -tx4 -N4"], input: header).drop { $0 == " " }
        let text = ([Substring("\(sum.prefix(8)) \(header)")] + lines.dropFirst()).joined(separator: "\n") + "\n"
        try text.write(to: file, atomically: false, encoding: .utf8)
        let outcome = try bed.remora.startInVain()
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("format 99"), "\(outcome.errors)")
        #expect(try String(contentsOf: file, encoding: .utf8) == text)
        #expect(try bed.pages(5, from: bed.alice, at: vip) == ["web-1": 5])
    }

    @Test("a registration that is withdrawn while the agent is away is noticed, and the others stay")
    func withdrawnMeanwhile() throws {
        var settings = Remora.Settings()
        settings.restoreGrace = "2s"
        let bed = try Bed(machines: 1, settings: settings)
        let machine = bed.machines[0]
        _ = try machine.namespace.serve("spare", port: 8081)
        let spare = try bed.register("spare", on: machine, port: 8081, ttl: 3)
        let vip = try bed.meshWeb()
        try bed.remora.waitForProxy(of: "spare", live: 1)
        try bed.remora.kill()
        try spare.withdraw()
        try bed.remora.start()
        try bed.remora.waitForEnd(of: "spare", limit: .seconds(30))
        #expect(try bed.remora.waitForProxy(of: "web", live: 1) == vip)
    }

    @Test("a port that vanishes while the agent is away is noticed")
    func vanishedMeanwhile() throws {
        let bed = try Bed()
        let vip = try bed.meshWeb()
        try bed.remora.kill()
        try bed.site.nic.ip("link del vm2")
        try bed.remora.start()
        try bed.remora.waitForProxy(of: "web", live: 1)
        #expect(try bed.pages(10, from: bed.alice, at: vip) == ["web-1": 10])
        #expect(!FileManager.default.fileExists(atPath: "\(bed.remora.pins)/ports/vm2"))
    }

    @Test("what a policy denies stays denied while the agent is away, and after it has come back")
    func deniedMeanwhile() throws {
        let bed = try Bed(machines: 1)
        let registration = try bed.register(on: bed.machines[0])
        let vip = try bed.remora.waitForProxy(of: "web", live: 1)
        let own = bed.machines[0].web
        try bed.remora.apply(Remora.denial(of: "web", from: ["\(Bed.aliceAddress)/32"]))
        try wait(for: "the policy to hold") { bed.isSilent(own, to: bed.alice) }
        try bed.remora.kill()
        #expect(bed.isSilent(vip, to: bed.alice) && bed.isSilent(own, to: bed.alice))
        try bed.remora.start()
        try bed.remora.waitForProxy(of: "web", live: 1)
        #expect(bed.isSilent(vip, to: bed.alice) && bed.isSilent(own, to: bed.alice))
        try registration.withdraw()
        try wait(for: "the service to leave balancing") { try bed.remora.service("web")["live"].number ?? 0 == 0 }
        try bed.remora.kill()
        try bed.remora.start()
        #expect(bed.isSilent(own, to: bed.alice))
        #expect(try bed.pages(3, from: bed.bob, at: own) == ["web-1": 3])
    }

    @Test("a download that runs while the agent is killed and comes back arrives whole", arguments: forwardings)
    func download(forwarding: String) throws {
        let bed = try Bed(machines: 1, forwarding: forwarding)
        let vip = try bed.meshWeb()
        let file = try bed.lab.file("pages-web-1/bulk", String(repeating: "0123456789abcde\n", count: 1 << 20))
        let back = "\(bed.lab.directory)/back"
        let curl = try bed.alice.start(
            ["curl", "-sS", "--fail", "--limit-rate", "8M", "-o", back, "http://\(vip)/bulk"], as: "curl")
        try wait(for: "its beginning") { FileManager.default.fileExists(atPath: back) }
        try bed.remora.kill()
        try bed.remora.start()
        try bed.remora.waitForProxy(of: "web", live: 1)
        #expect(curl.isRunning, "it was over too soon to tell")
        try curl.waitForEnd(limit: .seconds(30))
        #expect(curl.exitStatus == 0, "\(curl.lastWords)")
        #expect(FileManager.default.contentsEqual(atPath: file, andPath: back))
    }

    @Test("a machine is added and taken away under traffic: not one request fails", arguments: forwardings)
    func scales(forwarding: String) throws {
        let bed = try Bed(machines: 1, forwarding: forwarding)
        let vip = try bed.meshWeb()
        let traffic = Traffic(from: bed.alice, to: vip, pause: .milliseconds(1))
        for number in 2...4 {
            let machine = try bed.addMachine(number)
            try bed.remora.waitForPort(machine.port)
            let registration = try bed.register(on: machine)
            try bed.remora.waitForProxy(of: "web", live: 2)
            try traffic.waitForAnswers(50)
            try registration.withdraw()
            try bed.remora.waitForProxy(of: "web", live: 1)
            try traffic.waitForAnswers(50)
        }
        let tally = try traffic.stop()
        #expect(tally.failed == 0, "\(tally.summary)")
        #expect(tally.bodies.count == 4, "\(tally.bodies)")
    }
}
