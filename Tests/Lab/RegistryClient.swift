import Foundation

/// A script of `clients` that registers a service as its programming language's users do it: it says what it has done,
/// and goes on when it is told to.
public final class RegistryClient: Sendable {
    private let process: Child

    /// Returns when the script has registered.
    /// - Parameters:
    ///   - more: what the script takes beside the service, the registry's address, its own and the port.
    public init(
        _ script: String, _ service: String, at port: UInt16 = 80, of address: String, with registry: String,
        more: [String] = [], tool: Tool = .clients, in guest: Namespace
    ) throws {
        let file = "\(Lab.sourceRoot)/Tests/Lab/clients/\(script)"
        process = try guest.lab.start(
            [tool.python, file, service, registry, address, "\(port)"] + more, as: script, in: guest,
            environment: ["PYTHONDONTWRITEBYTECODE": "1"], hasInput: true)
        try process.waitForOutput("registered\n", limit: .seconds(30))
    }

    /// Tells it what is next; returns when it says that it is done.
    public func tell(_ line: String, until done: String) throws {
        try process.tell(line)
        try process.waitForOutput("\(done)\n", limit: .seconds(30))
    }

    /// It ends without a word to its registry.
    public func vanish() throws { try process.destroy() }
}
