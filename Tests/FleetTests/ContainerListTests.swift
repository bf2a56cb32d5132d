import Classifier
import Foundation
import Model
import Testing

@Suite struct ContainerListTests {
    @Test("addresses, sockets, ranges and services are read, comments left out") func reads() throws {
        let list = try ContainerList(
            parsing: """
                # what the platform holds
                10.244.1.7            # an address
                10.0.0.9:8080
                [fd00::9]:53
                fd00::7\r
                10.245.0.0/16
                service checkout

                """)
        #expect(list.count == 6)
        #expect(list.match(id("10.244.1.7", 1)) == .address(try ip("10.244.1.7")))
        #expect(list.match(id("10.0.0.9", 8080)) == .socket(try ip("10.0.0.9"), 8080))
        #expect(list.match(id("10.0.0.9", 8081)) == nil)
        #expect(list.match(id("fd00::9", 53)) == .socket(try ip("fd00::9"), 53))
        #expect(list.match(id("fd00::7", 53)) == .address(try ip("fd00::7")))
        #expect(list.match(id("10.245.3.4", 1)) == .range(try #require(IPv4Prefix("10.245.0.0/16"))))
        #expect(list.match(id("1.2.3.4", 1), services: ["checkout"]) == .service("checkout"))
    }

    @Test("the longest of several ranges is named") func longest() throws {
        let list = try ContainerList(parsing: "0.0.0.0/0\n10.0.0.0/8\n10.1.0.0/16")
        #expect(list.match(id("10.1.2.3", 1)) == .range(try #require(IPv4Prefix("10.1.0.0/16"))))
        #expect(list.match(id("9.1.2.3", 1)) == .range(.any))
        let six = try ContainerList(parsing: "fd00::/8\nfd00:10:244::/56")
        #expect(six.match(id("fd00:10:244:1::7", 1)) == .range6(try #require(IPv6Prefix("fd00:10:244::/56"))))
        #expect(six.match(id("fd01::7", 1)) == .range6(try #require(IPv6Prefix("fd00::/8"))))
        #expect(six.match(id("2001:db8::7", 1)) == nil)
    }

    /// In a process of its own: what other tests allocate meanwhile is none of the list's.
    @Test("100,000 addresses of both families take less than 32 MiB, the reading included") func size() async {
        await #expect(processExitsWith: .success) {
            let lines = (0..<100_000).map { number in
                number % 4 == 0
                    ? "fd00::\(number >> 16):\(String(number & 0xffff, radix: 16))"
                    : "10.\(number >> 16).\(number >> 8 & 255).\(number & 255)"
            }
            let text = lines.joined(separator: "\n")
            let before = try resident()
            let list = try ContainerList(parsing: text)
            let grown = try resident() - before
            #expect(list.count == 100_000 && grown < 32 << 20, "\(grown) bytes")
            for line in lines.prefix(1000) { #expect(list.match(id(line, 80)) == .address(try ip(line))) }
            #expect(list.match(id("11.0.0.1", 80)) == nil)
        }
    }

    @Test("an empty list holds nothing") func empty() throws {
        #expect(try ContainerList(parsing: "").isEmpty)
        #expect(ContainerList().match(id("10.0.0.1", 80)) == nil)
    }

    @Test(
        "what cannot be read is refused with its line",
        arguments: [
            ("10.0.0.1\nnonsense", 2, "neither"), ("10.0.0.1/8", 1, "host bits"), ("10.0.0.1:0", 1, "neither"),
            ("10.0.0.1:65536", 1, "neither"), ("10.0.0.1 10.0.0.2", 1, "one entry a line"),
            ("\n\nservice", 3, "service NAME"), ("service a b", 1, "service NAME"), ("fd00::1/8", 1, "host bits"),
            ("#ok\n10.0.0.1/33", 2, "no range"), ("[10.0.0.1]:80", 1, "neither"), ("::1:x", 1, "neither"),
        ])
    func refuses(text: String, line: Int, cause: String) {
        let error = #expect(throws: ContainerListError.self) { try ContainerList(parsing: text) }
        #expect(error?.line == line)
        #expect(error?.description.contains(cause) == true)
    }
}

private func ip(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
private func id(_ text: String, _ port: UInt16) -> InstanceID {
    InstanceID(network: blue, address: IPAddress(text) ?? .v4(IPv4Address(bits: 0)), port: port)
}

/// Bytes of this process that are in memory.
private func resident() throws -> Int {
    let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
    return try #require(Int(fields[1])) * 4096
}
