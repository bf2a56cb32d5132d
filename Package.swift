// swift-tools-version: 6.1
import PackageDescription

let swift: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .unsafeFlags(["-warnings-as-errors"]),
]
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let log = Target.Dependency.product(name: "Logging", package: "swift-log")
func nio(_ product: String) -> Target.Dependency { .product(name: product, package: "swift-nio") }

func room(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: swift)
}
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: swift)
}

let package = Package(
    name: "remora",
    products: [.executable(name: "remora", targets: ["remora"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.40.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.30.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
    ],
    targets: [
        // C: the ABI header, libbpf, libmnl, zlib, and the compiled BPF objects.
        .target(name: "CRemoraABI"),
        .systemLibrary(name: "CLibBPF", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev", "libelf-dev"])]),
        .systemLibrary(name: "CLibMNL", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CLinux"),
        .target(name: "CBPFObjects", cSettings: [.unsafeFlags(["-std=c23"])]),
        // Pure rooms: no clock, kernel, socket or await inside.
        room("Model", []),
        room("Packets", ["Model"]),
        room(
            "Registries",
            [
                "Model", "Packets", "CZlib", nio("NIOCore"), nio("NIOHTTP1"), nio("NIOEmbedded"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ]),
        room("Classifier", ["Model"]),
        room("Policy", ["Model"]),
        room("Fleet", ["Model", "Classifier"]),
        // Rooms with effects.
        room("BPFRuntime", ["CLibBPF", "CRemoraABI"]),
        room("Netlink", ["Model", "CLibMNL"]),
        room("Prober", ["Model", "Packets", "CLibMNL"]),
        room("Dataplane", ["Model", "Policy", "BPFRuntime", "CRemoraABI", "CBPFObjects"]),
        room(
            "Agent",
            [
                "Model", "Packets", "Registries", "Classifier", "Policy", "Fleet", "Netlink", "Prober", "Dataplane",
                "CRemoraABI", "CLinux", "CZlib", lifecycle, log, "Yams", nio("NIOCore"), nio("NIOPosix"),
                nio("NIOHTTP1"),
            ]),
        .executableTarget(
            name: "remora",
            dependencies: [
                "Agent", "Dataplane", "Fleet", "Model",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swift),
        tests("ModelTests", ["Model"]),
        tests("PacketsTests", ["Packets"]),
        tests(
            "RegistriesTests",
            [
                "Registries", "CZlib", nio("NIOCore"), .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ]),
        tests("FleetTests", ["Fleet", "Classifier", "Policy"]),
        tests("DataplaneTests", ["Dataplane", "Packets", "Prober", "Lab"]),
        tests("NetlinkTests", ["Netlink", "Lab"]),
        tests("ProberTests", ["Prober", "Packets"]),
        tests("AgentTests", ["Agent", "remora"]),
        // Namespaces, virtual machines and containers to try the binary in, and what is tried.
        .target(name: "CLab", path: "Tests/CLab"),
        .target(
            name: "Lab", dependencies: ["CLab"], path: "Tests/Lab", exclude: ["clients", "servers"],
            resources: [.embedInCode("guest/init.sh")], swiftSettings: swift),
        .executableTarget(
            name: "remora-demo",
            dependencies: ["Lab", "CLab", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Tests/Demo", swiftSettings: swift),
        .executableTarget(
            name: "remora-bench-lab",
            dependencies: [
                "Cases", "Lab", "CLab", "Classifier", "Model",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Tests/Bench", swiftSettings: swift),
        // The situations that a verdict can be about, for the bench and the tests.
        .target(name: "Cases", dependencies: ["Lab"], path: "Tests/Cases", swiftSettings: swift),
        tests("NetworkTests", ["Cases", "Lab"]),
    ],
    swiftLanguageModes: [.v6]
)
