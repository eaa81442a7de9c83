// swift-tools-version: 6.0
import Foundation
import PackageDescription

// `cargo xtask swift` puts the package together: to what is kept in the repository it adds the generated module, its C
// header, the version, and the library: `lib/libkith_uniffi.so` on Linux. On Apple's systems the library is in
// `KithNative.xcframework`, which `make-xcframework.sh` builds.
#if os(Linux)
let native: Target = .systemLibrary(name: "kith_nativeFFI", path: "Sources/kith_nativeFFI")
let library = Context.packageDirectory + "/lib"
// To name the place takes flags that SwiftPM does not allow in packages that are asked for by a version. Such a one has no `lib`: the library
// lies where the system's linker looks.
let link: [LinkerSetting] =
    FileManager.default.fileExists(atPath: library)
    ? [.unsafeFlags(["-L\(library)", "-Xlinker", "-rpath", "-Xlinker", library])] : []
#else
let native: Target = .binaryTarget(name: "kith_nativeFFI", path: "KithNative.xcframework")
let link: [LinkerSetting] = []
#endif

let package = Package(
    name: "Kith",
    platforms: [.macOS(.v13), .iOS(.v16), .tvOS(.v16), .watchOS(.v9)],
    products: [
        .library(name: "Kith", targets: ["Kith"]),
        .library(name: "KithTesting", targets: ["KithTesting"]),
    ],
    targets: [
        native,
        .target(name: "KithNative", dependencies: ["kith_nativeFFI"], linkerSettings: link),
        .target(name: "Kith", dependencies: ["KithNative"]),
        .target(name: "KithTesting", dependencies: ["Kith", "KithNative"]),
        .testTarget(name: "KithTests", dependencies: ["Kith", "KithNative", "KithTesting"]),
    ],
    swiftLanguageModes: [.v6]
)
