public import Model
internal import Packets

/// Requests on connections that were opened by a SYN.
extension Prober {
    /// Asks in place of the reset. Nil: nothing is to be asked, or not now.
    mutating func ask(_ target: ProbeTarget, _ key: ProbeKey, _ answer: ProbeAnswer, at now: Instant) -> [ProbeStep]? {
        let earlier = sessionOf[target.instance]
        guard let request = target.request, earlier.map({ sessions[$0]?.asked != answer.place }) ?? true,
            sessions.count < settings.outstanding, frames.take(for: target.port, at: now)
        else { return nil }
        let ended = earlier.map { abandon($0) } ?? []
        let number = answer.number
        sessions[number] = HTTPSession(
            target, at: answer.place, key: key, request: request, sequence: answer.acknowledged,
            expected: answer.sequence &+ 1, tries: settings.tries)
        sessionOf[target.instance] = number
        byKey[key] = number
        return ended + sendRequest(number, at: now)
    }

    /// Ends every connection that is open, for nobody will after this.
    public mutating func abandonAll() -> [ProbeStep] { Array(sessions.keys).flatMap { abandon($0) } }

    /// Whoever it was opened to is not asked any more: a reset, and nothing is told.
    private mutating func abandon(_ number: UInt32) -> [ProbeStep] {
        let resets = sessions[number].map { $0.isOver ? [] : $0.resetFrames } ?? []
        return resets.map(ProbeStep.send) + removeSession(number)
    }

    private mutating func sendRequest(_ number: UInt32, at now: Instant) -> [ProbeStep] {
        sessions[number]?.triesLeft -= 1
        scheduleSession(number, at: now + settings.timeout)
        guard var frame = sessions[number]?.requestFrame else { return [] }
        frame.number = number
        counters.sent += 1
        return [.send(frame)]
    }

    /// A segment of a connection of ours.
    public mutating func heard(_ segment: ProbeSegment, at now: Instant) -> [ProbeStep] {
        guard let number = byKey[segment.key], var session = sessions[number] else {
            counters.strays += 1
            return []
        }
        if session.isOver { return resetAgain(number, segment.acknowledged) }
        guard session.hear(segment, microseconds: microseconds(number, until: segment.time)) else {
            counters.strays += 1
            return []
        }
        sessions[number] = session
        return session.isAnswered ? end(number, at: now, isReset: false) : []
    }

    /// A reset, or the answer to the SYN once more.
    mutating func heardAgain(_ answer: ProbeAnswer, at now: Instant) -> [ProbeStep] {
        guard var session = sessions[answer.number] else { return [] }
        if session.isOver { return answer.flags.contains(.rst) ? [] : resetAgain(answer.number, answer.acknowledged) }
        guard session.hear(reset: answer, microseconds: microseconds(answer.number, until: answer.time)) else {
            return []
        }
        sessions[answer.number] = session
        return end(answer.number, at: now, isReset: true)
    }

    private mutating func resetAgain(_ number: UInt32, _ acknowledged: UInt32) -> [ProbeStep] {
        sessions[number]?.resetFrame(for: acknowledged).map { [.send($0)] } ?? []
    }

    private mutating func end(_ number: UInt32, at now: Instant, isReset: Bool) -> [ProbeStep] {
        guard let session = sessions[number] else { return [] }
        sessions[number]?.isOver = true
        scheduleSession(number, at: now + settings.linger)
        if session.response.place != nil { counters.answered += 1 }
        return (isReset ? [] : session.resetFrames.map(ProbeStep.send))
            + [.response(session.target.instance, session.response, asked: session.asked)]
    }

    /// Its time is over.
    mutating func advanceSession(_ number: UInt32, generation: UInt64, at now: Instant) -> [ProbeStep] {
        guard let session = sessions[number], session.generation == generation else { return [] }
        if session.isOver { return removeSession(number) }
        guard session.triesLeft > 0 else { return end(number, at: now, isReset: false) }
        guard frames.take(for: session.target.port, at: now) else {
            scheduleSession(number, at: now + settings.timeout)  // a try that was not made is none
            return []
        }
        return sendRequest(number, at: now)
    }

    mutating func removeSessions(of port: PortName) -> [ProbeStep] {
        sessions.filter { $0.value.target.port == port }.keys.flatMap { removeSession($0) }
    }

    private mutating func removeSession(_ number: UInt32) -> [ProbeStep] {
        guard let session = sessions.removeValue(forKey: number) else { return [] }
        sessionOf[session.target.instance] = nil
        byKey[session.key] = nil
        sentAt[number] = nil
        return [.forget(session.key)]
    }

    private mutating func scheduleSession(_ number: UInt32, at deadline: Instant) {
        let generation = push(number, at: deadline)
        sessions[number]?.generation = generation
    }
}
