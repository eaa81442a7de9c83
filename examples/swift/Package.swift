// swift-tools-version: 6.0
import PackageDescription

// `Kith` beside this folder is the package that `cargo xtask swift` puts together.
let package = Package(
    name: "notes",
    platforms: [.macOS(.v13)],
    dependencies: [.package(path: "../Kith")],
    targets: [.executableTarget(name: "notes", dependencies: [.product(name: "Kith", package: "Kith")])],
    swiftLanguageModes: [.v6]
)
