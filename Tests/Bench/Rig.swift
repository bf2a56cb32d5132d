import Foundation
import Lab

/// One NIC namespace with a client on its uplink and a server behind a port, and one way to get from here to there.
/// The server runs nginx on port 80 and iperf3 on port 5201.
final class Rig {
    enum Ports: String, CaseIterable, Codable { case veth, tap }

    enum Variant: String, CaseIterable, Codable {
        /// The bare bridge, to the server's own address: what the others are compared with.
        case bridge
        /// The same once more: what differs from 1 is noise.
        case again = "bridge-again"
        /// The same with bridge netfilter off. The others have it as the kernel makes it.
        case plain = "bridge-plain"
        /// A VIP on the NIC's bridge, translated by nftables; replies are translated by bridge netfilter.
        case nftables
        case redirect = "remora-redirect"
        case `switch` = "remora-switch"

        var isRemora: Bool { self == .redirect || self == .switch }
    }

    let variant: Variant
    private let nic: Namespace
    private let client: Namespace
    private let port: String
    private var remora: Remora?
    private var machine: VirtualMachine?
    private var target: String

    private static let serverAddress = "10.88.1.1"
    private static let clientAddress = "10.88.0.11"
    private static let nftablesVIP = "10.88.255.9"
    /// Of nobody here: a policy is on, and lets the client through.
    private static let denied = "10.88.9.0/24"

    init(_ variant: Variant, on ports: Ports, in lab: Lab, remora binary: String) throws {
        self.variant = variant
        nic = try Namespace("nic", in: lab)
        client = try Namespace("client", in: lab)
        port = "vm1"
        target = Self.serverAddress
        try nic.addBridge(Site.bridge, netfilter: variant == .plain ? false : nil)
        try client.addCable("eth0", to: nic, Site.uplink)
        try client.ip("address add \(Self.clientAddress)/16 dev eth0")
        try nic.plug(Site.uplink, into: Site.bridge)
        switch ports {
        case .veth: try startServer(in: lab)
        case .tap: try bootServer()
        }
        for port in [UInt16(80), 5201] {
            try client.waitForService(at: Endpoint(Self.serverAddress, port), limit: .seconds(60))
        }
        switch variant {
        case .bridge, .again, .plain: break
        case .nftables: try translateWithNftables()
        case .redirect, .switch: try startRemora(binary, lab: lab)
        }
        try checkPage()
    }

    private func startServer(in lab: Lab) throws {
        let server = try Namespace("server", in: lab)
        try server.addCable("eth0", to: nic, port)
        try nic.plug(port, into: Site.bridge)
        try server.ip("address add \(Self.serverAddress)/16 dev eth0")
        let directory = "\(lab.directory)/\(server.name)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let configuration = try lab.file("\(server.name)/nginx.conf", Self.nginx(directory))
        _ = try server.start(["nginx", "-c", configuration, "-e", "/dev/null"], as: "nginx")
        _ = try server.start(["iperf3", "-s"], as: "iperf3")
    }

    private func bootServer() throws {
        try nic.addTap(port)
        try nic.plug(port, into: Site.bridge)
        let machine = try VirtualMachine(
            "server", address: Self.serverAddress, tap: port, in: nic,
            programs: ["/usr/sbin/nginx", "/usr/bin/iperf3"], memory: 256)
        try machine.waitUntilReady()
        for line in Self.nginx("/tmp").split(separator: "\n") {
            try machine.order("write /tmp/nginx.conf \(line)")
        }
        try machine.start(["nginx", "-c", "/tmp/nginx.conf", "-e", "/dev/null"])
        try machine.start(["iperf3", "-s"])
        self.machine = machine
    }

    /// A static answer of 512 bytes, one worker; it closes what it was asked to close.
    private static func nginx(_ directory: String) -> String {
        """
        user root root;
        daemon off;
        master_process off;
        pid \(directory)/nginx.pid;
        error_log /dev/null;
        events { worker_connections 4096; }
        http {
        access_log off;
        keepalive_requests 100000000;
        client_body_temp_path \(directory)/body;
        proxy_temp_path \(directory)/proxy;
        fastcgi_temp_path \(directory)/fastcgi;
        uwsgi_temp_path \(directory)/uwsgi;
        scgi_temp_path \(directory)/scgi;
        server { listen 80 backlog=4096; location / { return 200 "\(String(repeating: "r", count: 512))"; } }
        }
        """
    }

    private func translateWithNftables() throws {
        target = Self.nftablesVIP
        try nic.ip("address add 10.88.0.1/16 dev \(Site.bridge)", "address add \(target)/32 dev \(Site.bridge)")
        try nic.sysctl(
            "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0", "net.bridge.bridge-nf-call-iptables=1")
        let rules = """
            table ip mesh {
              chain translate {
                type nat hook prerouting priority dstnat;
                ip daddr \(target) dnat to \(Self.serverAddress)
              }
              chain allowed {
                type filter hook forward priority filter;
                ip saddr \(Self.denied) ip daddr \(Self.serverAddress) drop
              }
            }
            """
        try call(["nft", "-f", "-"], in: nic, input: rules)
    }

    private func startRemora(_ binary: String, lab: Lab) throws {
        var settings = Remora.Settings()
        settings.forwarding = variant == .redirect ? "redirect" : "switch"
        let remora = try Remora(settings, on: nic, binary: binary)
        self.remora = remora
        try remora.start()
        let services = [("web", 80), ("bulk", 5201)].map { name, port in
            """
            kind: Service
            name: \(name)
            instances:
              - {address: \(Self.serverAddress), port: \(port)}
            runsIn: vm
            ---
            \(Remora.denial(of: name, from: [Self.denied]))
            """
        }
        try remora.apply(services.joined(separator: "\n---\n"))
        target = try remora.waitForProxy(of: "web", live: 1).address
        bulkTarget = try remora.waitForProxy(of: "bulk", live: 1).address
    }

    /// Where iperf3 is, if not at `target`.
    private var bulkTarget: String?

    private func checkPage() throws {
        let page = try Page.get(from: client, at: Endpoint(target, 80))
        guard page.body.count == 512 else { throw Failure("\(variant.rawValue): the page is \(page)") }
    }

    /// That the traffic did go through the proxies.
    func checkProxy() throws {
        guard let remora else { return }
        for name in ["web", "bulk"] {
            let packets = try remora.service(name)["packets"].number ?? 0
            guard packets > 1000 else { throw Failure("\(name)'s proxy carried but \(packets) packets") }
        }
    }

    func measure(_ kind: Load.Kind, seconds: Int) throws -> [Metric: Double] {
        let load = Load(client: client, seconds: seconds)
        switch kind {
        case .one:
            let requests = try load.requests(at: target, connections: 1)
            return [.p50With1: requests.p50, .p99With1: requests.p99, .requestsWith1: requests.rate]
        case .many:
            let requests = try load.requests(at: target, connections: 32)
            return [.p50With32: requests.p50, .p99With32: requests.p99, .requestsWith32: requests.rate]
        case .new: return [.newConnections: try load.requests(at: target, connections: 32, keptOpen: false).rate]
        case .bulk: return [.bulk: try load.bulk(at: bulkTarget ?? target)]
        }
    }
}
