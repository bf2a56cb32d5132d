public import Model

/// Where an instance runs, and why. Strong evidence of one mind settles it; strong evidence that disagrees makes
/// `unknown`, which is not proxied. Weak evidence is shown, counted into the score, and settles nothing.
public enum Classifier {
    /// What each piece of evidence is worth: above 0 for a VM, below 0 for a container.
    enum Weight {
        static let declared = 100
        /// An answer by a port whose role is known.
        static let probe = 60
        static let listed = -60
        static let overlay = -60
        static let range = -50
        /// It comes from behind a router on this very port: a node with containers, or a machine that hides another.
        static let routed = -50
        /// An answer that came from no container port, by an address on no container list.
        static let probeElsewhere = 50
        static let role = 40
        /// ARP or neighbour discovery, where the instance itself was silent.
        static let neighbour = 40
        static let neighbourElsewhere = 30
        /// The service is listed, its address is not, though other addresses are.
        static let serviceElsewhere = -30
        static let stale = -20
        /// No container list that is recent enough says otherwise.
        static let probeUnchecked = 20
        static let sharedMAC = -15
        /// Its answers go through a mesh's proxy: most such have one in their pod.
        static let meshHeader = -15
        static let neighbourAgrees = 10
        static let macPrefix = 10
        static let localMAC = -5
    }
    /// A machine that answers for so many addresses may be a node.
    public static let manyAddresses = 3
    /// What systems begin with (Linux and macOS 64, Windows 128, network equipment 255).
    static let firstHopLimits: Set<UInt8> = [32, 64, 128, 255]

    static func isRouted(_ hopLimit: UInt8?) -> Bool { hopLimit.map { !firstHopLimits.contains($0) } ?? false }

    /// - Parameter time: goes into the evidence, nothing else.
    public static func judge(_ facts: Facts, against world: ContainerKnowledge, at time: Instant) -> Judgement {
        var evidence = EvidenceCollection(facts: facts, world: world, time: time)
        evidence.collect()
        let all = evidence.pieces.enumerated().sorted {
            (abs($0.element.weight), $1.offset) > (abs($1.element.weight), $0.offset)
        }.map(\.element)
        let score = max(-100, min(100, all.reduce(0) { $0 + $1.weight }))
        let (verdict, missing) = settle(all, score: score, facts: facts, world: world)
        return Judgement(
            verdict: verdict, score: score, evidence: all, place: facts.probe?.place ?? facts.heard, missing: missing)
    }

    /// The verdict, and what would settle it where nothing does.
    private static func settle(
        _ evidence: [Evidence], score: Int, facts: Facts, world: ContainerKnowledge
    ) -> (Verdict, String?) {
        if let declared = facts.declared, declared != .unknown { return (declared, nil) }
        if isStranger(facts) {
            return (.unknown, "a new registration from where it answers now, or a declaration by the operator")
        }
        if facts.contested { return (.unknown, "the answer of who had its address before another machine claimed it") }
        // Nobody was heard with this address: whose it is cannot be told.
        if facts.heard == nil, !facts.carried, !rivals(of: facts).isEmpty {
            return (.unknown, "one machine alone that answers for its address, or a declaration by the operator")
        }
        let strong = evidence.filter(\.isStrong)
        let forVM = strong.filter { $0.weight > 0 }
        switch (forVM.isEmpty, strong.count == forVM.count) {
        case (false, false):
            return (.unknown, "the evidence disagrees: correct the container list or the ports' roles, or declare it")
        case (true, false) where score < 0 && (facts.probe != nil || strong.contains { $0.kind != .portRole }):
            return (.container, nil)
        case (false, true) where score > 0 && isAnswered(forVM, facts.probe): return (.vm, nil)
        default: return (.unknown, missing(facts, world))
        }
    }

    /// Where probing is off the port's role is all there will be. Where a probe was sent its answer is waited for: a
    /// guest can send frames with an address that it does not answer for.
    private static func isAnswered(_ forVM: [Evidence], _ probe: ProbeResult?) -> Bool {
        if case .notSent = probe { return true }
        return forVM.contains { $0.kind == .probe || $0.kind == .neighbour }
    }

    private static func missing(_ facts: Facts, _ world: ContainerKnowledge) -> String {
        switch facts.probe {
        case nil: "the answer to a probe"
        case .silent: "an answer to a probe: it was silent; or a declaration by the operator"
        case .notSent(let why): "a probe (not sent: \(why)), a port with role vm, or a declaration by the operator"
        case .answered(let place, _, _, _) where place.role == .uplink,
            .present(let place, _, _) where place.role == .uplink:
            "it lives behind uplink \(place.port): the NIC it is attached to carries it"
        case .answered where world.isSilenceIdle(for: facts):
            "a container list made after it came (touch or rewrite the file), a port with a role, or a declaration"
        case .answered where !world.isKnown:
            "a container list to compare its address with, a port with a role, or a declaration by the operator"
        case .answered, .present:
            "an entry in the container list, a port with a role, or a declaration by the operator"
        }
    }

    /// Frames and answers come from two machines. A router stands between on an uplink, so its MAC tells nothing;
    /// the same MAC on another port is a machine that was moved.
    static func isStranger(_ facts: Facts) -> Bool {
        guard let heard = facts.heard, let place = facts.probe?.place, heard.role != .uplink, place.role != .uplink
        else { return false }
        return heard.mac != place.mac
    }

    /// Other machines than this one that answer for its address, too. A guest with two cards on one network is one such
    /// (Linux answers for each of its addresses on every card), a guest that wants another's connections is one, too.
    /// Where the address itself was heard and answers, they say something only from behind a port of another kind.
    static func rivals(of facts: Facts) -> [Place] {
        let attached = facts.neighbours.filter { $0.role != .uplink }
        guard let machine = facts.machine ?? attached.first, machine.role != .uplink else { return [] }
        return attached.filter { $0.mac != machine.mac }
    }
}
