internal import Model

/// What the node does at intervals, and when it is due next.
struct Schedule {
    enum Task: CaseIterable {
        /// The ear's and the prober's time-outs.
        case listen
        /// Flow events wait in the ring: they wake nobody.
        case events
        case flows
        case containers
        /// Begins to compare what is wanted with what is loaded, and a slice of that.
        case reconcile, compare

        var interval: Duration {
            switch self {
            case .listen: .milliseconds(200)
            case .events: .milliseconds(250)
            case .flows: .milliseconds(250)
            case .containers: .seconds(1)
            case .reconcile: .seconds(10)
            case .compare: .milliseconds(250)
            }
        }
    }
    private var due: [Task: Instant] = [:]

    init(at now: Instant) {
        for task in Task.allCases { due[task] = now + task.interval }
    }

    var next: Instant? { due.values.min() }

    mutating func take(at now: Instant) -> [Task] {
        let tasks = Task.allCases.filter { due[$0].map { $0 <= now } ?? false }
        for task in tasks { due[task] = now + task.interval }
        return tasks
    }
}
