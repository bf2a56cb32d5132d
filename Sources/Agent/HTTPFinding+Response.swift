internal import Classifier
internal import Model
internal import Prober
internal import Registries

extension HTTPFinding {
    /// What the bytes that came back say.
    init(_ response: ProbeResponse) {
        let outcome: Outcome =
            switch response.ending {
            case .silent: .silent
            case .closed: .closed
            case .bytes(let bytes): HTTPAnswerHead(answering: bytes).map(Self.outcome) ?? .notHTTP
            }
        self.init(
            outcome: outcome, place: response.place, hopLimit: response.hopLimit, microseconds: response.microseconds)
    }

    private static func outcome(_ head: HTTPAnswerHead) -> Outcome {
        .answered(
            status: head.status, server: head.headers.first { $0.name == "server" }.map { shown($0.value) },
            mesh: MeshHeader.first(among: head.headers).map(shown))
    }

    /// A stranger's text: visible ASCII of it, cut short.
    private static func shown(_ text: String) -> String {
        String(decoding: text.utf8.filter { (0x20..<0x7f).contains($0) }.prefix(80), as: UTF8.self)
    }
}
