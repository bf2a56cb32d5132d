import CLab
import Foundation

extension Namespace {
    /// Says to everybody that this IPv4 address is a device's, true or not: an ARP announcement (RFC 5227, 2.3).
    public func announce(_ address: String, by device: String) throws {
        let link = try JSON(parsing: call(["ip", "-j", "link", "show", "dev", device], in: self)).array.first
        guard let text = link?["address"].string else { throw Failure("\(device) of \(name) has no MAC address") }
        let mac = text.split(separator: ":").compactMap { UInt8($0, radix: 16) }
        let ip = address.split(separator: ".").compactMap { UInt8($0) }
        let broadcast = [UInt8](repeating: 0xff, count: 6)
        let request: [UInt8] = [0, 1, 8, 0, 6, 4, 0, 1]
        let frame = broadcast + mac + [8, 6] + request + mac + ip + [0, 0, 0, 0, 0, 0] + ip
        let result = clab_send_frame(path, device, frame, UInt(frame.count))
        guard result == 0 else { throw Failure.system("announce \(address) by \(device) of \(name)", result) }
    }
}
