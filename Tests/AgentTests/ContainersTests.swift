import Classifier
import Foundation
import Model
import Testing

@testable import Agent

@Suite("The container network, as it is configured") struct ContainersTests {
    func parse(_ text: String) throws -> Config {
        try Config.parse("ports:\n  - {match: vm0, role: vm}\n" + text, file: "f", hostname: "n")
    }

    @Test("what the list says was so when the file was written or touched, and is read again then") func age() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/list"
        let now = Instant(milliseconds: 2_000_000_000_000)
        var file = ContainersFile(path)
        #expect(throws: FileError.self) { try file.changed(at: now) }
        try "10.0.0.1\n".write(toFile: path, atomically: true, encoding: .utf8)
        func touch(_ seconds: Int) throws {
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSince1970: Double(seconds))], ofItemAtPath: path)
        }
        try touch(1_900_000_000)
        let first = try file.changed(at: now)
        #expect(first?.count == 1 && first?.asOf == Instant(milliseconds: 1_900_000_000_000))
        let same = try file.changed(at: now)
        #expect(same == nil)
        try touch(1_900_000_100)
        let touched = try file.changed(at: now)
        #expect(touched?.asOf == Instant(milliseconds: 1_900_000_100_000))
        try "nonsense\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(throws: ContainerListError.self) { try file.changed(at: now) }
        let again = try file.changed(at: now)
        #expect(again == nil, "told once")
        try "10.0.0.1\n10.0.0.2\n".write(toFile: path, atomically: true, encoding: .utf8)
        try touch(2_100_000_000)
        let future = try file.changed(at: now)
        #expect(future?.asOf == now, "nothing was written after now")
    }

    @Test("ranges, overlays and probing are read, of both families") func reads() throws {
        let config = try parse(
            """
            containers:
              maxAge: 10m
              ranges: [10.244.0.0/16, "fd00:10:244::/56"]
              overlays: [{kind: vxlan, vnis: [42]}, {kind: geneve, port: 7000}]
            probe: {liveness: 0s, rate: 10, ratePerPort: 5, never: [10.0.0.1], only: [10.0.0.0/8]}

            """)
        #expect(config.containers.maxAge == .seconds(600) && config.containers.ranges.count == 2)
        #expect(
            config.containers.overlays == [
                .init(kind: .vxlan, port: 4789, vnis: [42]), .init(kind: .geneve, port: 7000, vnis: []),
            ])
        #expect(config.fleetSettings.liveness == nil && config.fleetSettings.containerNetworkKnown)
        #expect(config.proberSettings.rate == 10 && config.proberSettings.ratePerPort == 5)
        #expect(config.probe.never == [IPPrefix("10.0.0.1")] && config.probe.only == [IPPrefix("10.0.0.0/8")])
    }

    @Test(
        "what is wrong is told",
        arguments: [
            ("containers: {}", "containers: 'file' is missing"),
            ("containers: {ranges: [10.0.0.1/8]}", "host bits"),
            ("containers: {overlays: [{port: 1}]}", "'kind' is missing"),
            ("containers: {overlays: [{kind: vxlan, vnis: [16777216]}]}", "16777215"),
            ("probe: {never: [x]}", "probe.never"), ("probe: {rate: 0}", "probe.rate"),
        ])
    func refuses(text: String, cause: String) throws {
        let problems = try #require(throws: ProblemList.self) { try parse(text + "\n") }
        #expect("\(problems)".contains(cause), "\(problems)")
    }

    @Test("an overlay's frames count by kind, port and network") func overlays() {
        let overlay = Config.Overlay(kind: .vxlan, port: 4789, vnis: [42])
        #expect(overlay.holds(.init(encapsulation: .vxlan, port: 4789, vni: 42)))
        #expect(!overlay.holds(.init(encapsulation: .vxlan, port: 4789, vni: 43)))
        #expect(!overlay.holds(.init(encapsulation: .geneve, port: 4789, vni: 42)))
        #expect(
            Config.Overlay(kind: .vxlan, port: 4789, vnis: []).holds(.init(encapsulation: .vxlan, port: 4789, vni: 1)))
    }

    @Test("every port is asked for an address twice a minute at most") func asked() throws {
        var asked = AskedNeighbours()
        let host = Search.Host(network: NetworkID(0), address: try #require(IPAddress("fd00::1")))
        let start = Instant(milliseconds: 0)
        let due = [0, 29, 30].map { asked.isDue(host, at: start + .seconds($0)) }
        #expect(due == [true, false, true])
    }
}
