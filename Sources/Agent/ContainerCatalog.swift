internal import Classifier
internal import Model

/// Where the agent learns what a container platform holds. A client of a platform keeps its own view of it, and hands it
/// out here; the node's thread asks once a second and must not be kept waiting.
protocol ContainerCatalog {
    /// For people: a file's path, a platform's address.
    var name: String { get }

    /// What it holds now, with the time at which that was so; nil: as it was when last asked.
    mutating func changed(at now: Instant) throws -> ContainerList?
}
