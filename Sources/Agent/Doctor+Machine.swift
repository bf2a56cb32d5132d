internal import Dataplane
internal import Glibc

/// The kernel, and what this process may do with it.
struct Machine {
    typealias Finding = DoctorReport.Finding
    let bpffs: String

    /// What would only fail for a reason that was found already is not tried: it would say it worse.
    ///
    /// - Parameter loading: load the data path's programs too, which takes a tenth of a second.
    func findings(loading: Bool = true) -> [Finding] {
        let capabilities = kernelFile("/proc/self/status").flatMap(Capabilities.init)
        let allowed = privileges(capabilities)
        var findings = [kernel(), types(), allowed]
        if allowed.status != .failed { findings += loading ? [bpf(), functions()] : [bpf()] }
        if !findings.contains(where: { $0.status == .failed }) { findings += loading ? programs() : [chains()] }
        findings.append(fileSystem(capabilities))
        return findings
    }

    private func kernel() -> Finding {
        Self.judge(release: kernelFile("/proc/sys/kernel/osrelease") ?? "")
    }

    static func judge(release text: String) -> Finding {
        guard let release = KernelRelease(text) else {
            return .init(.kernel, .warning, "the kernel's release is not known ('\(text)')")
        }
        guard release >= .needed else {
            return .init(
                .kernel, .failed,
                "kernel \(text) is too old: programs are attached by tcx, which came with \(KernelRelease.needed)",
                remedy: "boot a kernel of \(KernelRelease.needed) or later")
        }
        return .init(.kernel, .ok, "kernel \(text)")
    }

    private func types() -> Finding {
        let path = "/sys/kernel/btf/vmlinux"
        if access(path, R_OK) == 0 { return .init(.btf, .ok, "the kernel tells its types (\(path))") }
        return .init(
            .btf, .failed, "the kernel does not tell its types: \(path) cannot be read",
            remedy: "boot a kernel with CONFIG_DEBUG_INFO_BTF, and have /sys mounted")
    }

    private func privileges(_ capabilities: Capabilities?) -> Finding {
        guard let capabilities else {
            return .init(
                .privileges, .warning, "this process's capabilities are not known: /proc/self/status cannot be read")
        }
        return Self.judge(capabilities)
    }

    static func judge(_ capabilities: Capabilities) -> Finding {
        let missing = capabilities.missing.map(\.name)
        guard missing.isEmpty else {
            return .init(
                .privileges, .failed,
                "this process may not do what the data path needs: it lacks \(missing.joined(separator: ", "))",
                remedy: "run it as root, or from the systemd unit, which grants just these")
        }
        let admin = capabilities.holds(.sysAdmin) ? "" : "; without CAP_SYS_ADMIN bpffs must be mounted already"
        return .init(.privileges, .ok, "this process may load, attach and probe\(admin)")
    }

    private func bpf() -> Finding {
        do throws(DataplaneError) {
            try Trial.makeMap()
            return .init(.bpf, .ok, "a BPF ring buffer was made")
        } catch {
            return .init(
                .bpf, .failed, "BPF cannot be used: \(error.cause)",
                remedy: "allow the bpf system call: root of the host (not of a user namespace), no seccomp filter or"
                    + " lockdown against it, a kernel with CONFIG_BPF_SYSCALL")
        }
    }

    private func functions() -> Finding {
        do throws(DataplaneError) {
            let missing = try Trial.missingFunctions()
            if missing.isEmpty { return .init(.functions, .ok, "the kernel has the functions that the programs call") }
            return .init(
                .functions, .failed, "the kernel lacks \(missing.joined(separator: ", ")), which the programs call",
                remedy: "boot a kernel of \(KernelRelease.needed) or later with CONFIG_DEBUG_INFO_BTF")
        } catch {
            return .init(.functions, .warning, "the kernel's functions cannot be read: \(error.cause)")
        }
    }

    private func programs() -> [Finding] {
        let trial: Trial
        do throws(DataplaneError) {
            trial = try Trial()
        } catch {
            let log = error.log.split(separator: "\n").suffix(3).joined(separator: " | ")
            return [
                .init(
                    .programs, .failed, "the data path's programs cannot be loaded: \(error.cause)",
                    remedy: log.isEmpty ? nil : "the kernel says: \(log)")
            ]
        }
        let loaded = Finding(.programs, .ok, "the data path's programs were loaded")
        return [loaded, attach(trial), losses(trial), compiler(trial)]
    }

    private func attach(_ trial: Trial) -> Finding {
        do throws(DataplaneError) {
            try trial.attach()
            return .init(.tcx, .ok, "a program was attached to lo by tcx, both ways, and taken off again")
        } catch {
            return noChains(error)
        }
    }

    private func losses(_ trial: Trial) -> Finding {
        do throws(DataplaneError) {
            try trial.countLosses()
            return .init(.losses, .ok, "what the kernel drops after a redirect can be counted")
        } catch {
            return .init(
                .losses, .warning, "what the kernel drops after a redirect is not counted: \(error.cause)",
                remedy: "boot a kernel with CONFIG_BPF_EVENTS; all else works without")
        }
    }

    /// A kernel without tcx does not understand the question.
    private func chains() -> Finding {
        do throws(DataplaneError) {
            _ = try ChainedProgram.all(on: Trial.loopback)
            return .init(.tcx, .ok, "devices have tcx chains")
        } catch {
            return noChains(error)
        }
    }

    private func noChains(_ error: DataplaneError) -> Finding {
        .init(
            .tcx, .failed, "programs cannot be attached by tcx: \(error.cause)",
            remedy: "boot a kernel of \(KernelRelease.needed) or later with CONFIG_NET_XGRESS")
    }

    private func compiler(_ trial: Trial) -> Finding {
        if trial.isCompiled { return .init(.jit, .ok, "programs run as machine code") }
        return .init(
            .jit, .warning, "programs are interpreted: every packet costs many times more",
            remedy: "sysctl net.core.bpf_jit_enable=1, and a kernel with CONFIG_BPF_JIT")
    }

    private func fileSystem(_ capabilities: Capabilities?) -> Finding {
        let mounted = kernelFile("/proc/self/mounts").map { Mounts($0).type(at: bpffs) }
        return Self.judge(
            bpffs: bpffs, type: mounted ?? nil, exists: access(bpffs, F_OK) == 0,
            mayMount: capabilities?.holds(.sysAdmin) ?? false)
    }

    static func judge(bpffs: String, type: String?, exists: Bool, mayMount: Bool) -> Finding {
        if type == "bpf" { return .init(.bpffs, .ok, "bpffs is mounted at \(bpffs)") }
        guard exists else {
            return .init(
                .bpffs, .failed, "\(bpffs), where bpffs should be, does not exist",
                remedy: "make the directory, or name another as `bpffs` in the configuration")
        }
        let remedy = "mount -t bpf bpf \(bpffs)"
        return mayMount
            ? .init(.bpffs, .warning, "no bpffs is mounted at \(bpffs): the agent will mount it", remedy: remedy)
            : .init(
                .bpffs, .failed, "no bpffs is mounted at \(bpffs), and this process may not mount it", remedy: remedy)
    }
}
