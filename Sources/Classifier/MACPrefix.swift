public import Model

/// Who usually makes MAC addresses that begin like this (IEEE's register of OUIs, and the projects' own documents). A
/// guest may give itself any address, so this is weak evidence whatever it says.
public enum MACPrefix: Hashable, Sendable {
    case hypervisor(String)
    case container(String)
    /// Made up by whoever made the device: CNI plugins do, and so do tap and veth drivers.
    case locallyAdministered
    case other

    /// By the first three octets.
    private static let hypervisors: [UInt64: String] = [
        0x525400: "QEMU/KVM", 0x005056: "VMware", 0x000c29: "VMware", 0x000569: "VMware", 0x001c14: "VMware",
        0x00155d: "Hyper-V", 0x00163e: "Xen", 0x080027: "VirtualBox", 0x506b8d: "Nutanix",
    ]

    public init(of mac: MACAddress) {
        let first = mac.bits >> 40
        if let name = Self.hypervisors[mac.bits >> 24] {
            self = .hypervisor(name)
        } else if mac.bits >> 32 == 0x0242 {
            self = .container("Docker")
        } else if mac.bits >> 32 == 0x0a58 {
            self = .container("CNI")
        } else {
            self = first & 2 == 2 ? .locallyAdministered : .other
        }
    }
}
