import Foundation
import Model
import Testing

@testable import Registries

@Suite("The dialect that docs/dialects.md shows") struct BeaconTests {
    @Test("it does what the page says") func works() {
        let heard = Beacon().hear([
            Exchange("PUT", "/beacon/web/10.0.0.1:80?ttl=30", status: 204), Exchange("GET", "/beacon/web"),
            Exchange("DELETE", "/beacon/web/10.0.0.1:80", status: nil), Exchange("PUT", "/beacon/web/nowhere"),
        ])
        #expect(
            heard.map(\.summary) == [
                "register web 10.0.0.1:80 10.0.0.1:80 true", "discover web true",
                "deregister web 10.0.0.1:80 10.0.0.1:80 unseen",
            ])
        #expect(heard.first?.ttlSeconds == 30)
        #expect(Beacon().knows(path: ["beacon", "web"]) && !Beacon().knows(path: ["other", "web"]))
    }

    @Test("the page shows the whole of it") func shown() throws {
        let here = URL(filePath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
        let file = try String(contentsOf: here.appending(path: "Beacon.swift"), encoding: .utf8)
        let root = here.deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(contentsOf: root.appending(path: "docs/dialects.md"), encoding: .utf8)
        let code = try #require(file.firstRange(of: "/// Beacon:")).lowerBound
        #expect(page.contains("```swift\n" + file[code...] + "```\n"))
    }
}
