internal import BPFRuntime
internal import CBPFObjects
internal import CRemoraABI

/// The program that counts what the kernel drops after a redirect: one for the node, run at every drop on the machine.
/// Pinned, it counts on while no agent runs.
final class Losses {
    let link: Link

    /// Takes over what is pinned there, if it is this build's and counts for this network namespace; else loads anew.
    init(_ maps: NodeMaps, at pins: PinDirectory) throws(BPFError) {
        let config = remora_losses_config(namespace_cookie: try namespaceCookie(), build: fnv1a(Self.image))
        if let link = Self.pinned(at: pins, as: config) {
            self.link = link
            return
        }
        try Self.retire(pins)
        let object = try Self.object(sharing: maps.port, config)
        let program = try object.program("losses")
        link = try Link.trace(with: program)
        let aside = PinDirectory(pins.path + "__new")
        try aside.remove()
        try aside.create()
        try program.pin(at: aside.file("program"))
        try object.pinMap(".rodata", at: aside.file("settings"))
        try link.pin(at: aside.file("link"))
        try aside.publish(as: pins)
    }

    private static func pinned(at pins: PinDirectory, as config: remora_losses_config) -> Link? {
        guard
            let settings = try? openMap(
                pin: pins.file("settings"), name: "settings", UInt32.self, remora_losses_config.self),
            let held = try? settings[0], same(held, config)
        else { return nil }
        return try? Link.open(pin: pins.file("link"))
    }

    /// Ends what is pinned there. The kernel detaches at once when the last descriptor is closed, but some time later
    /// when the last pin goes; two that run beside each other would count twice.
    static func retire(_ pins: PinDirectory) throws(BPFError) {
        let link = try? Link.open(pin: pins.file("link"))
        try pins.remove()
        withExtendedLifetime(link) {}
    }

    private static var image: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: remora_losses_object.bytes, count: Int(remora_losses_object.size))
    }

    /// Loaded, on the maps of a loaded port object.
    static func object(sharing port: ObjectFile, _ config: remora_losses_config) throws(BPFError) -> ObjectFile {
        let object = try ObjectFile(image: image, name: "remora_losses")
        try NodeMaps.share(port, with: object)
        try object.setConstant("losses_config", bytes(of: config))
        try object.load()
        return object
    }
}

extension Dataplane {
    private var lossPins: PinDirectory { directory / Self.lossDirectory }
    private static let lossDirectory: StaticString = "losses"

    /// From now on what the kernel drops after a redirect is counted, under `redirect-lost`. All else works without.
    public func countLosses() throws(DataplaneError) {
        losses = try during("count what the kernel drops after a redirect") { () throws(BPFError) in
            try Losses(maps, at: lossPins)
        }
    }

    static func retireLosses(_ directory: PinDirectory) {
        try? Losses.retire(directory / lossDirectory)
    }
}

extension Trial {
    /// Attaches the program that counts what the kernel drops after a redirect, and takes it off again.
    public func countLosses() throws(DataplaneError) {
        try during("attach to the kernel's drops") { () throws(BPFError) in
            let object = try Losses.object(sharing: port, remora_losses_config())
            _ = try Link.trace(with: try object.program("losses"))
        }
    }
}
