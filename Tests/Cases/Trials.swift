import Foundation
public import Lab

/// One run of the agent on a stage: cases are registered, watched, and judged in the end.
public final class Trials {
    public let stage: Stage
    public let remora: Remora
    private let observer: Observer
    private let tender: ListTender
    private var trials: [Trial] = []
    /// What the container platform lists now.
    private var listed: [String]

    struct Trial {
        let about: Case
        /// When its registry said yes.
        let start: ContinuousClock.Instant
        /// When what it is about came to an end; nil: not yet.
        var end: ContinuousClock.Instant?
        var problems: [String] = []
        /// As it was at the end.
        var evidence: String?
    }

    /// For a first verdict, or a better one.
    static let patience: Duration = .seconds(5)

    /// Starts the agent.
    public init(on stage: Stage, remora binary: String, mixedRoles: Bool) throws {
        self.stage = stage
        listed = stage.containers.addresses
        var settings = Remora.Settings()
        settings.mixedRoles = mixedRoles
        settings.vlan = Stage.vlan
        settings.containers = listed
        settings.containerKeys = "overlays: [{kind: vxlan, vnis: [\(Stage.overlay)]}]"
        settings.registrars = [Stage.platformAddress]
        remora = try Remora(settings, on: stage.site.nic, binary: binary)
        try remora.start()
        observer = Observer(of: remora)
        tender = ListTender(of: remora, listed)
    }

    deinit {
        tender.stop()
        observer.halt()
    }

    /// Leaves the NIC as it was.
    public func end() throws {
        try unmute()
        tender.stop()
        try observer.stop()
        try remora.tell("detach", "--all")
        try remora.stop()
    }

    // MARK: registering

    /// What a Consul client says.
    static func body(_ service: String, id: String, address: String?, port: UInt16) -> String {
        let address = address.map { ",\"Address\":\"\($0)\"" } ?? ""
        return "{\"ID\":\"\(id)\",\"Name\":\"\(service)\"\(address),\"Port\":\(port)}"
    }

    /// Who registers.
    enum Registrant {
        case guest(VirtualMachine, via: [String] = [], registry: String = "10.88.0.2")
        case namespace(Namespace)
    }

    /// Registers an instance and begins to watch it.
    /// - Parameters:
    ///   - address: what the registration says; nil: nothing.
    ///   - consul: nil: the stage's.
    /// - Returns: which trial it is.
    @discardableResult
    func register(
        _ service: String, _ about: Case, by registrant: Registrant, address: String?, port: UInt16,
        with consul: ConsulStandIn? = nil
    ) throws -> Int {
        let consul = consul ?? stage.consul
        let id = "\(service)-\(trials.count)"
        let body = Self.body(service, id: id, address: address, port: port)
        switch registrant {
        case .guest(let machine, let via, let registry):
            try machine.run(via + ["put", registry, "8500", "/v1/agent/service/register", body])
        case .namespace(let namespace): try consul.put("service/register", body, from: namespace)
        }
        return try watch(about, id: id, with: consul)
    }

    /// From the yes that was given already.
    func watch(_ about: Case, id: String, with consul: ConsulStandIn) throws -> Int {
        guard let yes = consul.answered("\"ID\":\"\(id)\"") else { throw Failure("Consul never heard of \(id)") }
        trials.append(Trial(about: about, start: yes))
        return trials.count - 1
    }

    /// The platform starts or stops a container, and says so.
    func list(_ address: String, isThere: Bool) throws {
        listed.removeAll { $0 == address }
        if isThere { listed.append(address) }
        try tender.write(listed, to: remora)
    }

    /// Nobody has written the list for so long.
    func neglectList(for age: Duration) throws { try tender.neglect(listed, of: remora, for: age) }

    // MARK: waiting

    /// Waits until these have the verdicts that are true, as long as that may take and no longer.
    /// - Parameter those: none: all.
    func settle(_ those: Int..., limit: Duration = Trials.patience) {
        let about = those.isEmpty ? trials.map(\.about) : those.map { trials[$0].about }
        try? wait(for: "true verdicts", limit: limit) {
            about.allSatisfy { observer.verdict(on: $0.instance).rawValue == $0.truth.rawValue }
        }
    }

    /// What it is about is over: later verdicts say nothing of it.
    func close(_ trial: Int) throws {
        trials[trial].end = .now
        trials[trial].evidence = try evidence(on: trials[trial].about.instance)
    }

    func problem(_ trial: Int, _ words: String) { trials[trial].problems.append(words) }

    // MARK: judging

    /// What came of every case.
    public func findings() throws -> [Finding] {
        let now = ContinuousClock.now
        return try trials.map { trial in
            let end = trial.end ?? now
            let seen = observer.verdicts(on: trial.about.instance, from: trial.start + trial.about.delay, to: end)
            let wrong = seen.first { $0.verdict != .unknown && $0.verdict.rawValue != trial.about.truth.rawValue }
            let first = observer.verdicts(on: trial.about.instance, from: trial.start, to: end).dropFirst()
                .first { $0.verdict != .unknown }
            return Finding(
                name: trial.about.name, truth: trial.about.truth, isPlain: trial.about.isPlain,
                verdict: wrong?.verdict ?? seen.last?.verdict ?? .unknown,
                milliseconds: first.map { ($0.time - trial.start) / .milliseconds(1) },
                evidence: try trial.evidence ?? evidence(on: trial.about.instance), problems: trial.problems)
        }
    }

    /// The heaviest piece, and what is missing.
    private func evidence(on instance: String) throws -> String {
        let outcome = try remora.cli("explain", instance, "-o", "json")
        guard outcome.code == 0 else { return "nothing is known of it" }
        let explanations = try JSON(parsing: outcome.output).array
        let own = explanations.first { $0["subject"].string?.hasPrefix("instance") ?? false } ?? explanations.first
        guard let own else { return "nothing is known of it" }
        let heaviest = own["evidence"].array.first.map { piece in
            "\(Int(piece["weight"].number ?? 0)): \(piece["sentence"].string ?? "")"
        }
        let missing = own["missing"].string.map { "would settle it: \($0)" }
        let words = [heaviest, missing].compactMap(\.self)
        return words.isEmpty ? own["summary"].string ?? "" : words.joined(separator: "; ")
    }
}
