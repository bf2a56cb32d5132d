import CLab
import Foundation

/// A network namespace of the lab's, its loopback up. Everything in it is killed, and it is removed, with the lab.
public final class Namespace: Sendable {
    public let name: String
    public var path: String { "/run/netns/\(name)" }
    unowned let lab: Lab

    /// - Parameter role: the end of its name, like "nic".
    public init(_ role: String, in lab: Lab) throws {
        self.lab = lab
        name = "\(lab.token)-\(lab.unique(role))"
        lab.undo(
            "while p=$(ip netns pids \(name)) && [ -n \"$p\" ]; do kill -9 $p; sleep 0.02; done; ip netns del \(name)")
        try call(["ip", "netns", "add", name])
        try ip("link set lo up")
    }

    /// Runs `ip` commands here, one a line.
    public func ip(_ commands: String...) throws {
        try call(["ip", "-n", name, "-batch", "-"], input: commands.joined(separator: "\n") + "\n")
    }

    /// - Parameter values: like "net.ipv4.ip_forward=1".
    public func sysctl(_ values: String...) throws { try call(["sysctl", "-qw"] + values, in: self) }

    public func start(_ words: [String], as name: String, environment: [String: String] = [:]) throws -> Child {
        try lab.start(words, as: name, in: self, environment: environment)
    }

    /// Waits until something in another namespace accepts connections from here.
    public func waitForService(at endpoint: Endpoint, limit: Duration = .seconds(10)) throws {
        try wait(for: "\(endpoint) to accept", limit: limit) {
            (try? Connection(from: self, to: endpoint, timeout: .milliseconds(500))) != nil
        }
    }
}

/// What is plugged into what. Names are at most 15 characters, and belong to their namespace.
extension Namespace {
    /// A bridge without spanning tree.
    /// - Parameter netfilter: nil: as the kernel makes it, which is on wherever br_netfilter is in it (Docker, libvirt
    ///   and Kubernetes load it); false: as on a machine where nothing loaded it.
    public func addBridge(_ name: String, address: String? = nil, netfilter: Bool? = false) throws {
        try ip("link add \(name) type bridge forward_delay 0", "link set \(name) up")
        if let netfilter { try? sysctl("net.bridge.bridge-nf-call-iptables=\(netfilter ? 1 : 0)") }
        if let address { try ip("address add \(address) dev \(name)") }
    }

    /// A pair of Ethernet devices: `here` in this namespace, `there` in the other, both up.
    public func addCable(_ here: String, to other: Namespace, _ there: String) throws {
        try ip("link add \(here) type veth peer name \(there) netns \(other.name)", "link set \(here) up")
        try other.ip("link set \(there) up")
    }

    /// A tap that outlives the program that opens it. It has no carrier until then.
    public func addTap(_ name: String) throws {
        try call(["ip", "tuntap", "add", "dev", name, "mode", "tap"], in: self)
        try ip("link set \(name) up")
    }

    public func plug(_ device: String, into bridge: String) throws { try ip("link set \(device) master \(bridge)") }

    /// A tag on all that leaves by a device, and none on what comes in by it. It ends with the lab's process.
    public func tag(_ device: String, vlan: UInt16) throws {
        var links: [Int32] = [-1, -1]
        let result = clab_tag(path, device, vlan, &links)
        guard result == 0 else { throw Failure.system("tag what leaves by \(device) of \(name)", result) }
    }

    /// Checksum and segmentation offload of a device, both ways.
    public func setOffloads(_ on: Bool, of device: String) throws {
        let state = on ? "on" : "off"
        _ = try run(
            ["ethtool", "-K", device, "tx", state, "rx", state, "tso", state, "gso", state, "gro", state], in: self)
    }
}
