import Glibc
import Testing

@testable import Agent

@Suite("Sniffing a port", .serialized) struct SniffPortTests {
    @Test("a device that is not there is named, with what to do") func absent() {
        let error = #expect(throws: OperationError.self) { try sniff(port: "no-such-dev") { _ in } }
        #expect(error?.code == .notFound && error?.message.contains("no-such-dev") == true && error?.remedy != nil)
    }

    @Test("an interrupt ends waiting, and does afterwards what it did before") func signals() throws {
        var before = sigaction()
        sigaction(SIGTERM, nil, &before)
        do {
            let stop = try StopSignals()
            var wait = pollfd(fd: stop.fd, events: Int16(POLLIN), revents: 0)
            #expect(poll(&wait, 1, 0) == 0)
            // to the process: workers of a thread pool take no signals
            kill(getpid(), SIGTERM)
            #expect(poll(&wait, 1, 10_000) == 1 && wait.fd == stop.fd)
        }
        var after = sigaction()
        sigaction(SIGTERM, nil, &after)
        #expect(
            unsafeBitCast(after.__sigaction_handler.sa_handler, to: UInt.self)
                == unsafeBitCast(before.__sigaction_handler.sa_handler, to: UInt.self))
    }
}
