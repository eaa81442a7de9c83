// swift-tools-version: 6.0
import PackageDescription

// `Kith` beside this folder is the package that `cargo xtask swift` puts together.
let package = Package(
    name: "examples",
    platforms: [.macOS(.v13)],
    dependencies: [.package(path: "../Kith")],
    targets: ["notes", "board"].map { .executableTarget(name: $0, dependencies: [.product(name: "Kith", package: "Kith")]) },
    swiftLanguageModes: [.v6]
)
