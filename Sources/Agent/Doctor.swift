internal import Glibc
internal import Model

/// What would keep the agent from working on this machine, and what it sees of the devices.
public struct DoctorReport: Codable, Sendable, Hashable {
    public enum Status: String, Codable, Sendable, CaseIterable { case ok, warning, failed }

    /// What was looked at. Those of the machine come first: when one of them has failed, no agent can run.
    public enum Check: String, Codable, Sendable, CaseIterable {
        case kernel, btf, privileges, bpf, functions, programs, tcx, losses, jit, bpffs
        case config, port, device, offload, xdp, chain, forwarding
    }

    public struct Finding: Codable, Sendable, Hashable {
        public var name: Check
        /// The device or the pattern that it is about; nil: the machine.
        public var subject: String?
        public var status: Status
        public var sentence: String
        /// What to do about it.
        public var remedy: String?

        init(_ name: Check, of subject: String? = nil, _ status: Status, _ sentence: String, remedy: String? = nil) {
            self.name = name
            self.subject = subject
            self.status = status
            self.sentence = sentence
            self.remedy = remedy
        }
    }

    public var findings: [Finding]

    public var failures: Int { findings.count { $0.status == .failed } }
}

/// Looks at the machine and, with a configuration, at the devices that it names; without, at every device. Programs are
/// really loaded, and one that passes everything is attached to the loopback device for a moment; nothing stays.
public func examine(config: Config?) -> DoctorReport {
    DoctorReport(findings: Machine(bpffs: config?.bpffs ?? Config(node: "").bpffs).findings() + devices(config))
}

/// Why no agent can run here, found out in milliseconds: what an agent asks before it starts. Nil: it can, as far as
/// that tells.
public func refusal(toRun config: Config) -> OperationError? {
    refusal(DoctorReport(findings: Machine(bpffs: config.bpffs).findings(loading: false)))
}

/// Why no agent can run here, and what to do: the first failure. Nil: it can.
public func refusal(_ report: DoctorReport) -> OperationError? {
    report.findings.first { $0.status == .failed }.map { OperationError(.failed, $0.sentence, remedy: $0.remedy) }
}

private func devices(_ config: Config?) -> [DoctorReport.Finding] {
    do {
        let survey = try DeviceSurvey()
        guard let config else {
            let missing = DoctorReport.Finding(
                .config, .warning, "no configuration was given: every device is looked at, and none has a role",
                remedy: "name one with --config, or write \(Config.defaultPath)")
            return [missing] + survey.findings(of: nil)
        }
        return survey.findings(of: config)
    } catch {
        return [.init(.device, .warning, "the devices cannot be read: \(error)")]
    }
}

/// A small file of the kernel's, without its last line feed; nil where it is not there or cannot be read.
func kernelFile(_ path: String) -> String? {
    guard let file = fopen(path, "rb") else { return nil }
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var text: [UInt8] = []
    while text.count < 1 << 22 {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { break }
        text += buffer.prefix(count)
    }
    if ferror(file) != 0 { return nil }
    if text.last == UInt8(ascii: "\n") { text.removeLast() }
    return String(decoding: text, as: UTF8.self)
}
