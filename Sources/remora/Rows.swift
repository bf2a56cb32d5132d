import Agent
import Foundation
import Model

extension ServiceView: Tabular {
    static var columns: [Table.Column] {
        [
            .init("SERVICE"), .init("NET", .right), .init("VIP"), .init("STATE"), .init("MODE"), .init("LIVE", .right),
            .init("PROXY"), .init("RULES", .right), .init("CONNS", .right), .init("PACKETS", .right),
            .init("DROPS", .right), .init("WHY"),
        ]
    }
    var cells: [String] {
        [
            namespace == "default" ? name : "\(namespace)/\(name)", "\(network)", vip ?? "-", state, mode.rawValue,
            "\(live)/\(instances)", proxy ?? "-", "\(rules)", "\(connections)", "\(packets)", "\(drops)", reason ?? "",
        ]
    }
}

extension ProxyView: Tabular {
    static var columns: [Table.Column] {
        [
            .init("PROXY"), .init("NET", .right), .init("STATE"), .init("SERVICES"), .init("BACKENDS"),
            .init("PROGRAM", .right), .init("INSNS", .right), .init("MEMORY", .right), .init("LOADED IN", .right),
            .init("PROBLEM"),
        ]
    }
    var cells: [String] {
        [
            name, "\(network)", state, services.joined(separator: " "), backends.joined(separator: " "),
            program.map { "\($0)" } ?? "-", instructions.map { "\($0)" } ?? "-",
            memoryBytes.map { "\(($0 + 1023) / 1024) KiB" } ?? "-", loadMicroseconds.map { "\($0) us" } ?? "-",
            problem ?? "",
        ]
    }
}

extension PortView: Tabular {
    static var columns: [Table.Column] {
        [
            .init("PORT"), .init("ROLE"), .init("NET", .right), .init("MODE"), .init("FORWARDING"), .init("STATE"),
            .init("HOOKS"), .init("PACKETS", .right), .init("BYTES", .right), .init("DROPS", .right), .init("PROBLEM"),
        ]
    }
    var cells: [String] {
        [
            name, role.rawValue, "\(network)", mode.rawValue, forwarding.rawValue, state.rawValue,
            hooks.isEmpty ? "-" : hooks.joined(separator: ", "), "\(packets)", "\(bytes)", "\(drops)", problem ?? "",
        ]
    }
}

extension InstanceView: Tabular {
    static var columns: [Table.Column] {
        [
            .init("INSTANCE"), .init("NET", .right), .init("SERVICE"), .init("STATE"), .init("VERDICT"), .init("PORT"),
            .init("MAC"), .init("HELD BY"), .init("LEASE", .right), .init("WHY"),
        ]
    }
    var cells: [String] {
        [
            InstanceID(network: network, address: address, port: port, proto: `protocol`).description, "\(network)",
            service, state, verdict.rawValue, device ?? "-", mac?.description ?? "-", holders.joined(separator: " "),
            leaseSeconds.map { "\($0) s" } ?? "-", reason ?? "",
        ]
    }
}

extension WorkloadView: Tabular {
    static var columns: [Table.Column] {
        [
            .init("WORKLOAD"), .init("NET", .right), .init("PORT"), .init("MAC"), .init("VERDICT"), .init("SEEN"),
            .init("ABOUT TO CALL"), .init("WHY"),
        ]
    }
    var cells: [String] {
        [
            "\(address)", "\(network)", device ?? "-", mac?.description ?? "-", verdict.rawValue, seen.time,
            calls.isEmpty ? "-" : calls.map(\.service).joined(separator: " "), evidence.first?.sentence ?? "",
        ]
    }
}

extension RegistryView: Tabular {
    static var columns: [Table.Column] {
        [
            .init("REGISTRY"), .init("ADDRESS"), .init("PORT", .right), .init("BY"), .init("HEARD"),
            .init("EVENTS", .right), .init("SEEN"), .init("ENCRYPTED FOR"),
        ]
    }
    var cells: [String] {
        [
            kinds.joined(separator: " "), address?.description ?? "any", "\(port)",
            transports.map(\.rawValue).joined(separator: " "),
            heard.isEmpty ? "-" : heard.map(\.address.description).joined(separator: " "),
            "\(heard.reduce(0) { $0 &+ $1.events })", heard.first?.seen.time ?? "-",
            encrypted.isEmpty ? "-" : encrypted.map { "\($0.guest) at \($0.address)" }.joined(separator: ", "),
        ]
    }
}

extension ConnectionView: Tabular {
    static var columns: [Table.Column] {
        [
            .init("CLIENT"), .init("FRONTEND"), .init("BACKEND"), .init("BY", .right), .init("SERVICE"), .init("PORT"),
            .init("NET", .right), .init("STATE"), .init("SENT", .right), .init("ANSWERED", .right),
            .init("IDLE", .right),
        ]
    }
    var cells: [String] {
        [
            client, frontend, backend, "\(sourcePort)", service ?? "-", port ?? "-", "\(network)", state,
            "\(sentPackets)", "\(answeredPackets)", idleSeconds.map { "\($0) s" } ?? "-",
        ]
    }
}

extension FlowView: Tabular {
    /// Wide enough for most, so that the lines of `--follow` stand under each other.
    static var columns: [Table.Column] {
        [
            .init("TIME", least: 12), .init("WHAT", least: 7), .init("REASON", least: 15), .init("SOURCE", least: 21),
            .init("DESTINATION", least: 21), .init("BACKEND", least: 21), .init("SERVICE", least: 12),
            .init("PORT", least: 4), .init("NET", .right),
        ]
    }
    var cells: [String] {
        [
            time.time, kind.rawValue, reason, source, destination, backend ?? "-", service ?? "-", port ?? "-",
            "\(network)",
        ]
    }
}

extension MapView: Tabular {
    static var columns: [Table.Column] {
        [.init("MAP"), .init("ENTRIES", .right), .init("CAPACITY", .right), .init("FULL", .right)]
    }
    var cells: [String] {
        [name, "\(entries)", "\(capacity)", capacity > 0 ? "\(entries * 100 / capacity) %" : "-"]
    }
}

extension AlarmView: Tabular {
    static var columns: [Table.Column] { [.init("ALARM"), .init("WHAT"), .init("WHAT TO DO")] }
    var cells: [String] { [subject, message, remedy ?? ""] }
}

extension Advertisement: Tabular {
    static var columns: [Table.Column] {
        [
            .init("REGISTRY"), .init("OP"), .init("SERVICE"), .init("ID"), .init("ADDRESS"), .init("PORT", .right),
            .init("TTL", .right), .init("FROM"), .init("ACCEPTED"),
        ]
    }
    var cells: [String] {
        [
            registry, op.rawValue, service ?? "-", id ?? "-", address ?? "-", port.map { "\($0)" } ?? "-",
            ttlSeconds.map { "\($0) s" } ?? "-", sourceIp ?? "-", accepted.map { $0 ? "yes" : "no" } ?? "not seen",
        ]
    }
}

extension Instant {
    private var date: Date { Date(timeIntervalSince1970: Double(milliseconds) / 1000) }

    /// Of the day, UTC, with milliseconds.
    var time: String {
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true).time(includingFractionalSeconds: true)
        return date.formatted(style)
    }

    var dateAndTime: String { date.formatted(.iso8601) }
}
