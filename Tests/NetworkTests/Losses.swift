import Foundation
import Lab
import Testing

/// What the kernel drops after a redirect.
extension Networks {
    @Test("packets to a machine that was cut off while the agent is away are counted as lost, and no others")
    func lostMeanwhile() throws {
        let bed = try Bed(machines: 1, forwarding: "redirect")
        let vip = try bed.meshWeb()
        #expect(try bed.remora.ask("status")["uncounted"] == .null)
        try bed.remora.kill()
        // another namespace: the way there is bpf_redirect_peer
        try bed.machines[0].namespace.ip("link set eth0 down")
        #expect(bed.isSilent(vip, to: bed.alice) && bed.isSilent(vip, to: bed.bob))
        try bed.remora.start()
        let counts = try bed.counts(of: Site.uplink)
        let lost = counts["redirect-lost"] ?? 0
        #expect(lost >= 2 && lost == (counts["opened"] ?? 0) + (counts["forwarded"] ?? 0), "\(counts)")
        #expect(try bed.remora.drops("redirect-lost") == lost)
        let port = try bed.remora.ask("get", "ports").array.first { $0["name"].string == Site.uplink }
        let packets = Int(port?["packets"].number ?? 0)
        let later = try bed.counts(of: Site.uplink)
        #expect(port?["drops"].number == Double(lost))
        #expect(packets >= counts.handedOn && packets <= later.handedOn, "\(packets): \(counts), then \(later)")
        let flows = try bed.remora.fetch("/v1/flows?limit=1000")["flows"].array
        let told = flows.filter { $0["reason"].string == "redirect-lost" }
        #expect(told.count == lost && told.contains { $0["destination"].string == "\(vip)" }, "\(told)")
        try bed.remora.tell("detach", "--all")
        #expect(!FileManager.default.fileExists(atPath: bed.remora.pins))
    }

    @Test("where they cannot be counted the agent says so, once, and carries packets all the same")
    func uncounted() throws {
        var settings = Remora.Settings()
        settings.forwarding = "redirect"
        let bed = try Bed(machines: 1, settings: settings, start: false)
        // more than a retired program's pins ever are, so that none is removed and none is made
        try FileManager.default.createDirectory(
            atPath: "\(bed.remora.pins)/losses/in/the/way/for/ever", withIntermediateDirectories: true)
        try bed.remora.start()
        let vip = try bed.meshWeb()
        #expect(try bed.pages(5, from: bed.alice, at: vip) == ["web-1": 5])
        let said = try #require(try bed.remora.ask("status")["uncounted"].string)
        #expect(said.contains("after a redirect is not counted"))
        #expect(try bed.remora.tell("status").contains(said))
        #expect(try String(contentsOfFile: bed.remora.log, encoding: .utf8).ranges(of: said).count == 1)
        try bed.remora.tell("detach", "--all")
        #expect(!FileManager.default.fileExists(atPath: bed.remora.pins))
    }
}

extension [String: Int] {
    /// All packets that came in, of a bed where nothing else is dropped.
    fileprivate var handedOn: Int { values.reduce(0, +) - self["redirect-lost", default: 0] }
}

extension Bed {
    /// Packets that came in by a port, by reason.
    fileprivate func counts(of port: String) throws -> [String: Int] {
        let ports = try remora.fetch("/v1/counters")["ports"].array
        let ingress = ports.first { $0["name"].string == port && $0["hook"].string == "ingress" } ?? .null
        return ingress["reasons"].members.compactMapValues { $0["packets"].number.map { Int($0) } }
    }
}
