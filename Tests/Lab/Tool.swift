import Foundation

/// Something that not every machine has, and that a test cannot do without.
public enum Tool: Sendable {
    /// A program, and the Debian package that brings it.
    case program(String, package: String)
    /// Clients of registries, in an environment of their own; `make clients` makes it.
    case clients
    /// The client of Nacos over gRPC, whose package has the name of the one for HTTP.
    case nacosClient

    public static let named = Tool.program("/usr/sbin/named", package: "bind9")
    public static let avahi = Tool.program("/usr/sbin/avahi-daemon", package: "avahi-daemon")
    public static let zooKeeper = Tool.program("/usr/share/java/zookeeper.jar", package: "zookeeper")

    /// The directory of its programs; of one program, its path.
    public var path: String {
        switch self {
        case .program(let path, _): path
        case .clients: "\(Lab.cache)/python/bin"
        case .nacosClient: "\(Lab.cache)/python-nacos3/bin"
        }
    }

    /// Why it cannot be used here, and what to do; nil where it can.
    public var lacking: String? {
        switch self {
        case .program(let path, let package):
            access(path, R_OK) == 0 ? nil : "needs \(path): apt install \(package), or make deps"
        case .clients, .nacosClient:
            // written last, when all is installed
            access("\(path)/../complete", R_OK) == 0
                ? nil : "needs registry clients from PyPI: make clients"
        }
    }

    public var python: String { "\(path)/python" }
}
