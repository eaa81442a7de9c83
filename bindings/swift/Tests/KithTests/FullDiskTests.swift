import Foundation
import Testing

import Kith

/// Where `cargo xtask test` has mounted a small disk of the tests' own.
private let disk = ProcessInfo.processInfo.environment["KITH_TEST_SMALL_DISK"]

/// Takes all the room that there is. A disk with more than a gigabyte is not meant.
private func fill(_ path: URL) throws {
    #expect(FileManager.default.createFile(atPath: path.path, contents: nil))
    let file = try FileHandle(forWritingTo: path)
    defer { try? file.close() }
    #expect(throws: (any Error).self) {
        for _ in 0..<1024 {
            try file.write(contentsOf: Data(count: 1 << 20))
        }
    }
}

/// All is there that was acknowledged before the disk was full, nothing that was refused, and what is kept is what the history gives.
private func isWhole(_ context: Context) async throws {
    #expect(try await context.get(key("before")) == bytes("acknowledged"))
    #expect(try await context.get(key("refused")) == nil)
    #expect(try await context.verify().difference == nil)
}

/// Somebody else fills the disk under a node.
@Suite(.timeLimit(.minutes(3))) struct FullDiskTests {
    // scenario: disk_full
    @Test(.enabled(if: disk != nil, "KITH_TEST_SMALL_DISK names no small disk"))
    func aFullDiskIsNamedAndCostsNothing() async throws {
        let folder = URL(fileURLWithPath: try #require(disk)).appendingPathComponent("full-\(UUID())", isDirectory: true)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let place = folder.appendingPathComponent("node")
        let filler = folder.appendingPathComponent("filler")
        let node = try await Node.open(at: place, here)
        let context = try await node.createContext()
        try await context.put(key("before"), bytes("acknowledged"))
        #expect(try await context.add(key("counted"), 1) == 1)

        try fill(filler)
        await expect(.storageFull, "free space") { try await context.put(key("refused"), bytes("x")) }
        await expect(.storageFull) { _ = try await context.add(key("counted"), 1) }
        await expect(.storageFull) { _ = try await node.createContext() }
        await expect(.storageFull) { _ = try await Node.open(at: folder.appendingPathComponent("another"), here) }
        try await isWhole(context)

        try FileManager.default.removeItem(at: filler)
        try await context.put(key("after"), bytes("room again"))
        #expect(try await context.add(key("counted"), 1) == 2)
        try await node.shutdown()
        let again = try await Node.open(at: place, here)
        let kept = try again.context(context.id)
        try await isWhole(kept)
        #expect(try await kept.get(key("after")) == bytes("room again"))
        #expect(try await kept.add(key("counted"), 1) == 3)
        try await again.shutdown()
    }
}
