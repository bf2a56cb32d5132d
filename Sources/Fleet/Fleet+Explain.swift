public import Model

extension Fleet {
    /// Everything about a service (by name, or namespace/name), an address, an address:port or a VIP. Empty: nothing
    /// of that name was ever heard.
    public func explain(_ text: String, at now: Instant) -> [Explanation] {
        var explanations: [Explanation] = []
        let asked = Asked(text)
        let services = Set(byService.keys).union(policies.keys).filter { asked.means($0, vip: vips[$0]) }
        for service in services.sorted() { explanations.append(explain(service, at: now)) }
        let ids = Set(services.flatMap { byService[$0] ?? [] }).union(instances.keys.filter(asked.means))
        for id in ids.sorted() {
            if let instance = instances[id] { explanations.append(explain(instance, at: now)) }
        }
        for workload in workloads(at: now)
        where asked.address == workload.address
            || workload.calls.contains(where: { byService[$0.service] == nil && asked.means($0.service, vip: nil) })
        {
            explanations.append(
                Explanation(subject: .workload(workload), sentences: Self.sentences(workload, at: now)))
        }
        for refusal in refusals()
        where refusal.service == text
            || asked.address.map({ $0 == refusal.source || $0.description == refusal.address })
                ?? false
        {
            explanations.append(
                Explanation(
                    subject: .refusal(refusal),
                    sentences: [
                        "\(refusal.source) on \(refusal.port) said something about \(refusal.service.shown) at "
                            + "\(refusal.address.shown) that was not taken (\(refusal.count) times): \(refusal.reason)"
                    ]))
        }
        return explanations
    }

    private struct Asked {
        let text: String
        let address: IPAddress?
        let port: UInt16?

        init(_ text: String) {
            self.text = text
            var host = Substring(text)
            var port: UInt16?
            if IPAddress(text) == nil, let colon = text.lastIndex(of: ":") {
                host = text[..<colon]
                port = UInt16(text[text.index(after: colon)...])
                if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
            }
            address = IPAddress(String(host))
            self.port = port
        }

        func means(_ id: InstanceID) -> Bool { id.address == address && (port ?? id.port) == id.port }

        func means(_ service: ServiceID, vip: ServiceSpec.Frontend?) -> Bool {
            if text == service.name || text == service.description { return true }
            guard let vip, let address = address?.v4 else { return false }
            return vip.address == address && (port ?? vip.port) == vip.port
        }
    }

    private func explain(_ service: ServiceID, at now: Instant) -> Explanation {
        let view = view(of: service)
        var sentences = ["service \(service.description.shown): \(view.live) of \(view.instances) instances live"]
        if let vip = view.vip { sentences.append("its VIP is \(vip.address):\(vip.port)") }
        if let problem = vipProblems[service] { sentences.append("it has no VIP: \(problem)") }
        if view.policyRules > 0 { sentences.append("its policy has \(view.policyRules) rules") }
        switch (view.proxy, view.status) {
        case (let proxy?, .loaded): sentences.append("proxy \(proxy.description.shown) is loaded")
        case (let proxy?, .failed(_, let why)):
            sentences.append("proxy \(proxy.description.shown) could not be loaded: \(why)")
        case (let proxy?, _): sentences.append("proxy \(proxy.description.shown) is being loaded")
        case (nil, _): sentences.append("it has no proxy: \(view.reason ?? "nothing to carry")")
        }
        for caller in callers(of: service, at: now).prefix(Settings.callersTold) {
            for call in caller.calls where call.service == service {
                sentences.append(
                    "\(caller.address) on \(caller.port) is about to call it: " + Self.sentence(call, at: now))
            }
        }
        return Explanation(subject: .service(view), sentences: sentences)
    }

    private static func sentences(_ workload: Workload, at now: Instant) -> [String] {
        var sentences = ["\(workload.address) on \(workload.port) asked a registry: a candidate workload of this NIC"]
        sentences += workload.judgement.evidence.map { "\($0.weight > 0 ? "+" : "")\($0.weight) \($0.sentence)" }
        sentences += workload.calls.map { call in
            "it is about to call \(call.service.description.shown): " + sentence(call, at: now)
        }
        if let missing = workload.judgement.missing { sentences.append("what would settle it: \(missing)") }
        return sentences
    }

    private static func sentence(_ call: Workload.Call, at now: Instant) -> String {
        "it asked \(call.registry) \(call.count == 1 ? "once" : "\(call.count) times"), "
            + "last \(max(0, (now - call.time).milliseconds / 1000)) s ago"
    }

    private func explain(_ instance: Instance, at now: Instant) -> Explanation {
        let view = view(of: instance, at: now)
        var sentences = [
            "\(instance.id) of \(instance.service.description.shown): \(view.state.rawValue), "
                + "verdict \(view.verdict.rawValue) (score \(view.judgement.score))"
        ]
        sentences += view.judgement.evidence.map { "\($0.weight > 0 ? "+" : "")\($0.weight) \($0.sentence)" }
        if let asOf = containers.list.asOf {
            sentences.append("the container list is of \(max(0, (now - asOf).milliseconds / 1000)) s ago")
        }
        if let missing = view.judgement.missing { sentences.append("what would settle it: \(missing)") }
        sentences += view.holders.map(Self.sentence)
        if let reason = view.reason { sentences.append(reason) }
        return Explanation(subject: .instance(view), sentences: sentences)
    }

    private static func sentence(_ view: HolderView) -> String {
        let holder = view.holder
        guard let registrant = holder.registrant else { return "declared by the operator" }
        var text = "registered with \(holder.registry) as \(holder.registration.shown) by \(registrant)"
        if let port = holder.port { text += " on \(port)" }
        if holder.foreign { text += ", which may not" }
        if let host = holder.hostName {
            text += ", by the host name \(host.shown)"
        } else if holder.assumed {
            text += ", without an address"
        }
        if holder.isResting { text += ", not to be sent anything" }
        if !holder.confirmed { text += ", not confirmed" }
        if holder.lapsed { return text + ", its lease lapsed" }
        if let left = view.leaseLeftSeconds { text += ", lease has \(left) s left" }
        return text
    }
}
