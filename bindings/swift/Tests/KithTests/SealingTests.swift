import Foundation
import Testing

import Kith
import KithTesting

private let first = StorageKey.key(Data(repeating: 7, count: 32))
private let second = StorageKey.key(Data(repeating: 9, count: 32))

private func sealed(_ key: StorageKey?, _ storage: StorageEngine = .auto) -> Node.Configuration {
    var configuration = here
    (configuration.storageKey, configuration.storage) = (key, storage)
    return configuration
}

/// Every file below a directory.
private func content(of directory: URL) throws -> [String: Data] {
    var found: [String: Data] = [:]
    let paths = FileManager.default.enumerator(at: directory, includingPropertiesForKeys: [.isRegularFileKey])
    while let file = paths?.nextObject() as? URL {
        if try file.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true {
            found[file.path] = try Data(contentsOf: file)
        }
    }
    return found
}

private func exists(_ place: URL) -> Bool { FileManager.default.fileExists(atPath: place.path) }

private func reads(_ context: Context, _ name: String, _ value: String) async throws {
    try await eventually("\(name) comes") { try await context.get(key(name)) == bytes(value) }
}

/// What directories and contexts are sealed under, and what may be known of it; relays, which see nothing of it.
@Suite(.timeLimit(.minutes(3))) struct SealingTests {
    // scenario: storage_key_required
    @Test(arguments: [first, .passphrase("a passphrase")])
    func onlyItsKeyOpensADirectory(right: StorageKey) async throws {
        try await withDirectory { directory in
            let place = directory.appendingPathComponent("node")
            let id = try await Node.with(at: place, sealed(right)) { node in
                let context = try await node.createContext()
                try await context.put(key("x"), bytes("y"))
                let status = try await node.status()
                #expect(status.isSealed && !status.hasKeyFile)
                return context.id
            }
            let before = try content(of: place)
            #expect(!before.isEmpty)
            for wrong in [second, .passphrase("another passphrase"), nil] {
                await expect(.keyRequired) { _ = try await Node.open(at: place, sealed(wrong)) }
            }
            #expect(try content(of: place) == before)
            try await Node.with(at: place, sealed(right)) { node in
                let kept = try await node.context(id).get(key("x"))
                #expect(kept == bytes("y"))
            }
        }
    }

    @Test func withoutAKeyThereIsAFileWithOne() async throws {
        try await withDirectory { directory in
            let place = directory.appendingPathComponent("node")
            try await Node.with(at: place, here) { node in
                let before = try await node.status()
                #expect(!before.isSealed && before.hasKeyFile)
                try await node.changeStorageKey(to: first)
                let after = try await node.status()
                #expect(after.isSealed && !after.hasKeyFile)
            }
            await expect(.keyRequired) { _ = try await Node.open(at: place, here) }
        }
    }

    @Test func keysThatAreNoneAreNamedAndNoneIsPrinted() async throws {
        try await withDirectory { directory in
            let place = directory.appendingPathComponent("node")
            let tooLong = StorageKey.passphrase(String(repeating: "x", count: 1025))
            for wrong in [.key(Data(count: 31)), .passphrase(""), tooLong] {
                await expect(.invalidArgument) { _ = try await Node.open(at: place, sealed(wrong)) }
            }
            #expect(!exists(place))
        }
        let key = StorageKey.passphrase("secret")
        var dumped = ""
        dump(key, to: &dumped)
        #expect("\(key)" == "StorageKey(…)" && !dumped.contains("secret"))
        #expect(!String(reflecting: key).contains("secret"))
    }

    // scenario: storage_key_changed
    @Test func theKeyIsChangedWhileTheNodeGoesOn() async throws {
        try await withDirectory { directory in
            let place = directory.appendingPathComponent("node")
            let id = try await Node.with(at: place, sealed(first)) { node in
                let context = try await node.createContext()
                try await context.put(key("before"), bytes("1"))
                try await node.changeStorageKey(to: .passphrase("a passphrase"))
                try await context.put(key("after"), bytes("2"))
                await expect(.invalidArgument, "32 bytes, not 3") { try await node.changeStorageKey(to: .key(Data(count: 3))) }
                return context.id
            }
            for old in [first, nil] {
                await expect(.keyRequired) { _ = try await Node.open(at: place, sealed(old)) }
            }
            try await Node.with(at: place, sealed(.passphrase("a passphrase"))) { node in
                let context = try node.context(id)
                #expect(try await context.get(key("before")) == bytes("1"))
                #expect(try await context.get(key("after")) == bytes("2"))
                #expect(try await context.verify().difference == nil)
            }
        }
        try await Node.forTests().use { node in
            await expect(.unsupported) { try await node.changeStorageKey(to: first) }
        }
    }

    // scenario: export_import
    @Test func aBackupReadsAndSignsOnceItsOwnerSaysSo() async throws {
        try await withDirectory { directory in
            let (backup, restored) = (directory.appendingPathComponent("backup"), directory.appendingPathComponent("restored"))
            let forIt = StorageKey.passphrase("for the backup")
            let node = try await Node.open(at: directory.appendingPathComponent("node"), sealed(first, .sled))
            let original = try await node.createContext()
            try await original.put(key("x"), bytes("y"))
            let (id, commitment) = (original.id, try await original.commitment())
            let exported = try await node.export(to: backup, sealedUnder: forIt)
            #expect(exported.records > 0 && exported.bytes > exported.records && !exported.isMoved)
            let attributes = try FileManager.default.attributesOfItem(atPath: backup.path)
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
            await expect(.invalidArgument, "is there already") { try await node.export(to: backup, sealedUnder: forIt) }
            try await node.shutdown()

            let garbage = directory.appendingPathComponent("garbage")
            try bytes("this is no export of a node").write(to: garbage)
            let nothing = directory.appendingPathComponent("nothing")
            await expect(.keyRequired) { try await Node.import(from: backup, sealedUnder: first, to: restored) }
            await expect(.invalidArgument) { try await Node.import(from: garbage, sealedUnder: forIt, to: restored) }
            await expect(.notFound) { try await Node.import(from: nothing, sealedUnder: forIt, to: restored) }
            await expect(.notFound) { try await Node.adopt(restored) }
            await expect(.invalidArgument, "is no file") { try await Node.adopt(URL(string: "https://example.org")!) }
            #expect(!exists(restored))
            let imported = try await Node.import(
                from: backup, sealedUnder: forIt, to: restored, storage: .redb, storageKey: second)
            #expect(imported == exported)
            await expect(.invalidArgument, "not empty") { try await Node.import(from: backup, sealedUnder: forIt, to: restored) }
            try await Node.with(at: restored, sealed(second)) { copy in
                let status = try await copy.status()
                #expect(status.isCopied && status.isSealed && status.storage == .redb && copy.id == node.id)
                let context = try copy.context(id)
                #expect(try await context.commitment() == commitment)
                #expect(try await context.get(key("x")) == bytes("y"))
                await expect(.blocked) { try await context.put(key("x"), bytes("z")) }
                await expect(.busy) { try await Node.adopt(restored, storageKey: second) }
            }
            await expect(.keyRequired) { try await Node.adopt(restored) }
            try await Node.adopt(restored, storageKey: second)
            try await Node.with(at: restored, sealed(second)) { own in
                #expect(try await !own.status().isCopied)
                try await own.context(id).put(key("x"), bytes("z"))
            }
            // The other way to say so.
            let adopted = directory.appendingPathComponent("adopted")
            try await Node.import(from: backup, sealedUnder: forIt, to: adopted, adopt: true)
            try await Node.with(at: adopted, here) { own in
                #expect(try await !own.status().isCopied)
                try await own.context(id).put(key("x"), bytes("z"))
            }
        }
    }

    // scenario: rotate_keys
    @Test func newKeysAreForAllThatIsSentFromThenOnAndTheOthersReadOn() async throws {
        try await withTwoNodes { one, other in
            let mine = try await one.createContext()
            let theirs = try await other.join(try await mine.invite())
            try await mine.put(key("before"), bytes("1"))
            let before = try #require(try await mine.security().epoch)
            try await mine.rotateKeys()
            let after = try #require(try await mine.security().epoch)
            #expect(before != after)
            try await mine.put(key("after"), bytes("2"))
            try await reads(theirs, "after", "2")
            #expect(try await theirs.security().epoch == after)
            #expect(try await theirs.get(key("before")) == bytes("1"))
            try await theirs.rotateKeys()
            try await theirs.put(key("theirs"), bytes("3"))
            try await reads(mine, "theirs", "3")
            let open = try await one.createContext(encryption: .off)
            await expect(.unsupported) { try await open.rotateKeys() }
        }
    }

    // scenario: security_report
    @Test func itIsToldWhoCanReadAndWhatIsPending() async throws {
        try await withTwoNodes { one, other in
            let mine = try await one.createContext()
            try await mine.put(key("x"), bytes("1"))
            let alone = try await mine.security()
            #expect(alone.suite == .x25519 && alone.epoch?.count == 32)
            #expect(alone.membersAble == 1 && alone.members == 1 && alone.pending == nil)
            try await eventually("the epoch ages") { try await mine.security().age > alone.age }
            let theirs = try await other.join(try await mine.invite())
            let joined = try await mine.security()
            #expect(joined.membersAble == 1 && joined.members == 2 && joined.pending == "somebody has joined")
            #expect(joined.epoch == alone.epoch)
            try await mine.put(key("x"), bytes("2"))
            let both = try await mine.security()
            #expect(both.membersAble == 2 && both.members == 2 && both.pending == nil)
            #expect(both.epoch != alone.epoch)
            try await reads(theirs, "x", "2")
            for context in [mine, theirs] {
                let security = try await context.security()
                #expect(security.epoch == both.epoch && security.violations == 0 && security.unopened == 0)
                #expect(try await context.status().unopened == 0)
            }
        }
    }

    // scenario: encryption_chosen
    @Test(arguments: Encryption.allCases)
    func eachSuiteWorksBetweenTwoNodes(encryption: Encryption) async throws {
        try await withTwoNodes { one, other in
            let mine = try await one.createContext(encryption: encryption)
            try await mine.put(key("before"), bytes("1"))
            let theirs = try await other.join(try await mine.invite())
            #expect(try await theirs.get(key("before")) == bytes("1"))
            try await mine.put(key("mine"), bytes("2"))
            try await theirs.put(key("theirs"), bytes("3"))
            try await reads(theirs, "mine", "2")
            try await reads(mine, "theirs", "3")
            try await equal(mine, theirs)
            for context in [mine, theirs] {
                let security = try await context.security()
                #expect(security.suite == encryption && (security.epoch == nil) == (encryption == .off))
            }
        }
    }

    @Test func theStatusSaysHowItStandsWithRelays() async throws {
        let nobody = try await Node.inMemory(here).use { node in node.addresses[0] }
        try await Node.inMemory(here).use { none in
            var configuration = here
            configuration.relays = [none.addresses[0], nobody]
            try await Node.inMemory(configuration).use { node in
                try await eventually("both relays are asked") { try await node.status().relays.allSatisfy { $0.reason != nil } }
                let status = try await node.status()
                let (plain, absent) = (status.relays[0], status.relays[1])
                // A node is no relay; and where nobody listens there is none.
                #expect(plain.relay == none.addresses[0] && plain.reason == .unsupported)
                #expect(absent.relay == nobody && absent.reason == .unreachable && absent.lastFailure != nil)
                #expect(absent.address == nil && absent.longest == nil && absent.mostBytes == nil)
                #expect(status.peers.allSatisfy { !$0.isRelayed })
            }
        }
        await expect(.invalidArgument) { _ = try await Node.inMemory(.init(relays: ["nowhere"])) }
        await expect(.limitExceeded) { _ = try await Node.inMemory(.init(relays: Array(repeating: nobody, count: 5))) }
        // What the others of these do is shown in Rust; here they are taken.
        let plain = Node.Configuration(
            listen: [], throughRelays: false, holePunching: false, autonat: false, gossip: false, discovery: false)
        try await Node.inMemory(plain).use { node in
            let relays = try await node.status().relays
            #expect(relays.isEmpty)
        }
    }
}
