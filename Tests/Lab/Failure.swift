/// What the lab could not do, or what did not hold in it.
public struct Failure: Error, CustomStringConvertible, Sendable {
    public let description: String
    public init(_ description: String) { self.description = description }

    static func system(_ operation: String, _ result: Int32) -> Failure {
        Failure("\(operation): \(ErrorNumber.text(result))")
    }
}
