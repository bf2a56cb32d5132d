public import Model

/// Where an instance runs, and why. Evidence of one mind settles it; evidence that disagrees makes `unknown`, which
/// is not proxied.
public enum Classifier {
    /// What each piece of evidence is worth: above 0 for a VM, below 0 for a container.
    enum Weight {
        static let declared = 100
        static let probe = 60
        static let socketListed = -60
        static let rangeListed = -50
        /// An answer that came from no container port, by an address on no container list.
        static let probeElsewhere = 50
        static let role = 40
    }

    /// - Parameters:
    ///   - services: the names under which the instance is registered.
    ///   - heard: where its own frames were seen, source address and MAC agreeing; nil: nobody heard it speak.
    ///   - probe: nil: an answer is awaited.
    ///   - declared: the operator's word; it settles the verdict.
    ///   - at: goes into the evidence, nothing else.
    public static func judge(
        _ instance: InstanceID, services: [String] = [], heard: Place?, containers: ContainerList,
        probe: ProbeResult?, declared: Verdict? = nil, at time: Instant
    ) -> Judgement {
        let match = containers.match(instance, services: services)
        var evidence: [Evidence] = []
        func add(_ kind: Evidence.Kind, _ weight: Int, _ sentence: String) {
            evidence.append(Evidence(kind: kind, weight: weight, sentence: sentence, time: time))
        }
        switch declared {
        case .vm: add(.declared, Weight.declared, "the operator declared it a VM")
        case .container: add(.declared, -Weight.declared, "the operator declared it a container")
        case .unknown, nil: break
        }
        if let heard { add(.portRole, weight(of: heard.role), sentence(for: heard)) }
        if let match {
            let kind: Evidence.Kind = if case .range = match { .containerRange } else { .containerList }
            add(kind, kind == .containerRange ? Weight.rangeListed : Weight.socketListed, sentence(for: match))
        }
        if let probe { add(.probe, weight(of: probe, listed: match != nil), sentence(for: probe)) }
        let stranger = isStranger(heard: heard, probe: probe)
        if stranger {
            add(.sourceBinding, 0, "another machine than the one that registered it answers for its address")
        }
        evidence.sort { abs($0.weight) > abs($1.weight) }

        let (verdict, missing) = settle(evidence, heard: heard, probe: probe, declared: declared, stranger: stranger)
        return Judgement(
            verdict: verdict, score: max(-100, min(100, evidence.reduce(0) { $0 + $1.weight })), evidence: evidence,
            place: answer(of: probe) ?? heard, missing: missing)
    }

    /// The verdict, and what would settle it where nothing does.
    private static func settle(
        _ evidence: [Evidence], heard: Place?, probe: ProbeResult?, declared: Verdict?, stranger: Bool
    ) -> (Verdict, String?) {
        if let declared, declared != .unknown { return (declared, nil) }
        if stranger {
            return (.unknown, "a new registration from where it answers now, or a declaration by the operator")
        }
        let forVM = evidence.filter { $0.weight > 0 }
        let forContainer = evidence.filter { $0.weight < 0 }
        switch (forVM.isEmpty, forContainer.isEmpty) {
        case (false, false):
            return (.unknown, "the evidence disagrees: correct the container list or the ports' roles, or declare it")
        case (true, false): return (.container, nil)
        case (true, true): return (.unknown, missing(heard: heard, probe: probe))
        case (false, true): break
        }
        if forVM.contains(where: { $0.kind == .probe }) { return (.vm, nil) }
        // The port's role alone. Where probing is off that is all there will be; where a probe was sent, its answer
        // is waited for, since a guest can send frames with an address that it does not answer for.
        switch probe {
        case .notSent: return (.vm, nil)
        case .silent: return (.unknown, "an answer to a probe: it was silent; or a declaration by the operator")
        case .answered, nil: return (.unknown, "the answer to a probe")
        }
    }

    private static func missing(heard: Place?, probe: ProbeResult?) -> String {
        switch probe {
        case nil: "the answer to a probe"
        case .silent: "an answer to a probe: it was silent; or a declaration by the operator"
        case .notSent(let why): "a probe (not sent: \(why)), a port with role vm, or a declaration by the operator"
        case .answered(let place, _, _) where place.role == .uplink:
            "it lives behind uplink \(place.port): the NIC it is attached to carries it"
        case .answered: "an entry in the container list, a port with a role, or a declaration by the operator"
        }
    }

    /// Frames and answers come from two machines. A router stands between on an uplink, so its MAC tells nothing;
    /// the same MAC on another port is a machine that was moved.
    private static func isStranger(heard: Place?, probe: ProbeResult?) -> Bool {
        guard let heard, let place = answer(of: probe), heard.role != .uplink, place.role != .uplink else {
            return false
        }
        return heard.mac != place.mac
    }

    private static func answer(of probe: ProbeResult?) -> Place? {
        if case .answered(let place, _, _) = probe { place } else { nil }
    }

    private static func weight(of role: PortRole) -> Int {
        switch role {
        case .vm: Weight.role
        case .container: -Weight.role
        case .mixed, .uplink: 0
        }
    }

    private static func weight(of probe: ProbeResult, listed: Bool) -> Int {
        guard case .answered(let place, _, _) = probe else { return 0 }
        return switch place.role {
        case .vm: Weight.probe
        case .container: -Weight.probe
        case .mixed: listed ? 0 : Weight.probeElsewhere
        case .uplink: 0
        }
    }
}
