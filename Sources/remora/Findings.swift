import Agent
import Dataplane

extension DoctorReport {
    /// A line a finding, and under those that are not well, what to do. Nothing is cut: each word may matter.
    var text: String {
        let columns: [Table.Column] = [.init("STATUS"), .init("CHECK"), .init("ON"), .init("WHAT WAS FOUND")]
        let rows = findings.flatMap { finding in
            let row = [finding.status.rawValue, finding.name.rawValue, finding.subject ?? "", finding.sentence]
            return [row] + (finding.remedy.map { [["", "", "", "  do: \($0)"]] } ?? [])
        }
        let counts = Status.allCases.map { status in "\(findings.count { $0.status == status }) \(status.rawValue)" }
        return Table(columns, rows).rendered(width: nil) + counts.joined(separator: ", ") + "\n"
    }
}

extension CostReport {
    /// Two tables: what a packet costs, and what a service does.
    var text: String {
        let packets: [Table.Column] = [
            .init("PACKET"), .init("FLOWS", .right), .init("SERVICES", .right), .init("NS OVER EMPTY", .right),
            .init("LEAST", .right), .init("MOST", .right),
        ]
        let services: [Table.Column] = [
            .init("SERVICES", .right), .init("LOADED IN", .right), .init("MEMORY EACH", .right),
        ]
        let paths = paths.map { path in
            [path.path, "\(path.flows)", "\(path.services)"]
                + [path.nanoseconds, path.least, path.most].map { "\(Int($0.rounded()))" }
        }
        let loads = loads.map { load in
            ["\(load.services)", "\(Self.tenths(load.milliseconds)) ms", "\(Self.tenths(load.kibibytes)) KiB"]
        }
        return Table(packets, paths).rendered(width: nil) + "\n" + Table(services, loads).rendered(width: nil)
            + "\n1,000 flows over 1,000 services cost \(Self.hundredths(servicesRatio)) of what they cost through one.\n"
            + "\(processors) processors\n"
    }

    private static func hundredths(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
    private static func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
