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
}
