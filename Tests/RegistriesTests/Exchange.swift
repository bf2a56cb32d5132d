import Model

@testable import Registries

/// A request and its answer, put to a dialect without the wire around it.
struct Exchange {
    var request: HTTPRequest
    /// Nil: no answer was in view.
    var answer: HTTPAnswer?

    /// - Parameters:
    ///   - status: of the answer; nil: none was in view.
    ///   - answer: nil: its body was not in view.
    init(
        _ method: String, _ target: String, _ body: String = "", type: String? = nil, headers: [String: String] = [:],
        status: Int? = 200, answer: String? = ""
    ) {
        var headers = headers
        if let type { headers["content-type"] = type }
        request = HTTPRequest(method: method, target: target, headers: headers, body: Array(body.utf8))
        self.answer = status.map { HTTPAnswer(status: $0, body: answer.map { Array($0.utf8) }) }
    }
}

extension HTTPDialect {
    /// One exchange after the other.
    func hear(_ exchanges: [Exchange], at place: RegistryPlace = .lab) -> [Advertisement] {
        exchanges.flatMap { one in
            asked(one.request, of: place).map { settled($0, by: one.answer, of: place) } ?? []
        }
    }
}

extension RegistryPlace {
    static let lab = RegistryPlace(network: NetworkID(0), address: .v4(IPv4Address(bits: 0x0a4d_0002)), port: 80)
    static let other = RegistryPlace(network: NetworkID(0), address: .v4(IPv4Address(bits: 0x0a4d_0003)), port: 80)
}
