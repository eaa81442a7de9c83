import Foundation
import Testing

import Kith
import KithTesting

/// What is written is kept and read.
@Suite(.timeLimit(.minutes(3))) struct NodeTests {
    // scenario: keeps_over_a_restart, put_get_delete, what_became_of_a_transaction, counters_and_appending
    @Test func aContextKeepsWhatItIsTold() async throws {
        try await withDirectory { directory in
            let (id, put) = try await Node.with(at: directory, here) { node in
                let context = try await node.createContext(name: "a name")
                #expect(context.role == .admin && context.application == "kv" && context.name == "a name")
                #expect(context.id.count == 32 && context.me.count == 32)
                #expect(try await context.get(key("one")) == nil)
                let put = try await context.put(key("one"), bytes("value"))
                #expect(try await context.get(key("one")) == bytes("value"))
                try await context.append(key("one"), bytes("!"))
                #expect(try await context.get(key("one")) == bytes("value!"))
                #expect(try await context.add(key("counter"), 40) == 40)
                #expect(try await context.add(key("counter"), 2) == 42)
                try await context.delete(key("one"))
                #expect(try await context.get(key("one")) == nil)
                let transaction = try #require(try await context.transaction(put))
                #expect(transaction.outcome == .accepted(Data()) && transaction.author == context.me)
                #expect(transaction.method == "put" && transaction.sequence == 3)
                #expect(abs(transaction.timestamp.timeIntervalSinceNow) < 3600)
                #expect(try await context.transaction(Data(count: 32)) == nil)
                #expect(try node.contexts().map(\.id) == [context.id])
                #expect(try node.context(context.id) == context)
                return (context.id, put)
            }
            try await Node.with(at: directory, here) { node in
                let again = try node.context(id)
                #expect(try await again.get(key("counter")) == counter(42))
                #expect(try await again.history()[2].id == put)
            }
        }
    }

    // scenario: compare_and_set, batch_all_or_nothing
    @Test func compareAndSetAndBatchesAreAllOrNothing() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            try await context.compareAndSet(key("one"), expected: nil, value: bytes("a"))
            await expect(.rejected) {
                try await context.compareAndSet(key("one"), expected: bytes("other"), value: bytes("b"))
            }
            try await context.compareAndSet(key("one"), expected: bytes("a"), value: bytes("b"))
            try await context.batch([.append(key("one"), bytes("c")), .put(key("two"), bytes("x")), .add(key("n"), -3)])
            #expect(try await context.get(key("one")) == bytes("bc"))
            #expect(try await context.get(key("n")) == counter(-3))
            await expect(.rejected) {
                try await context.batch([
                    .delete(key("two")), .compareAndSet(key("one"), expected: bytes("never"), value: nil),
                ])
            }
            #expect(try await context.get(key("two")) == bytes("x"))
            try await context.compareAndSet(key("one"), expected: bytes("bc"), value: nil)
            #expect(try await context.get(key("one")) == nil)
        }
    }

    // scenario: entries_in_pages
    @Test func entriesComeInKeyOrderAndPages() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            let wanted = (0..<7).map { key("\($0)") }.sorted()
            for (number, name) in wanted.enumerated() {
                try await context.put(name, bytes("\(number)"))
            }
            try await context.put(StateKey("elsewhere", "x"), bytes("x"))
            let prefix = StateKey.collection("test")
            let first = try await context.entries(prefix: prefix, limit: 3)
            #expect(first.map(\.key) == Array(wanted[..<3]))
            let rest = try await context.entries(prefix: prefix, after: first.last?.key)
            #expect((first + rest).map(\.value) == (0..<7).map { bytes("\($0)") })
            var all: [StateKey] = []
            for try await entry in context.allEntries(prefix: prefix) {
                all.append(entry.key)
            }
            #expect(all == wanted)
            #expect(try await context.allEntries().reduce(0) { count, _ in count + 1 } == 8)
            await expect(.invalidArgument, "limit is -1") { _ = try await context.entries(limit: -1) }
        }
    }

    // scenario: order_in_pages
    @Test func theOrderIsReadInPages() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            for number in 0..<5 {
                try await context.put(key("x"), bytes("\(number)"))
            }
            let first = try await context.history(limit: 4)
            let rest = try await context.history(after: first.last?.place)
            #expect((first + rest).map(\.sequence) == [1, 2, 3, 4, 5, 6, 7])
            #expect(rest.last?.arguments.last == UInt8(ascii: "4"))
            await expect(.invalidArgument, "48 bytes, not 2") { _ = try await context.history(after: Data(count: 2)) }
        }
    }

    // scenario: methods_by_name
    @Test func aMethodIsCalledByName() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            let receipt = try await context.execute("add", key("n").data + counter(5))
            #expect(receipt.output == counter(5))
            #expect(try await context.transaction(receipt.transaction)?.outcome == .accepted(counter(5)))
            #expect(try await context.query("get", key("n").data).suffix(8) == counter(5))
            await expect(.rejected, "no method") { _ = try await context.execute("nonsense") }
            await expect(.rejected, "no query") { _ = try await context.query("nonsense") }
        }
    }

    // scenario: big_values
    @Test func aMebibyteCrossesWholeAndOneByteMoreIsRefused() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            let value = Data((0..<1024 * 1024).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            try await context.put(key("big"), value)
            #expect(try await context.get(key("big")) == value)
            // A slice, whose indices do not begin at zero.
            try await context.put(key("slice"), value[1000..<3000])
            #expect(try await context.get(key("slice")) == Data(value[1000..<3000]))
            await expect(.limitExceeded, "1048577") { try await context.put(key("big"), value + [0]) }
            #expect(try await context.get(key("big")) == value)
        }
    }

    // scenario: unicode
    @Test(arguments: ["", "ä ö ü", "漢字", "👩‍👩‍👧‍👦", "e\u{301}", "עברית"])
    func textsComeBackAsTheyWere(text: String) async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext(name: text)
            #expect(Array(context.name.unicodeScalars) == Array(text.unicodeScalars))
            try await context.setDisplayName(text)
            let name = try #require(try await context.members().first?.name)
            #expect(Array(name.unicodeScalars) == Array(text.unicodeScalars))
            let invitation = try await context.invite(note: text)
            #expect(try node.inspect(invitation).note == text)
        }
    }

    // scenario: callers_64
    @Test func sixtyFourCallersAtOnce() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for caller in 0..<64 {
                    group.addTask {
                        for number in 0..<3 {
                            try await context.put(key("\(caller)"), bytes("\(number)"))
                            try await context.add(key("counter"), 1)
                            #expect(try await context.get(key("\(caller)")) == bytes("\(number)"))
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await context.get(key("counter")) == counter(192))
            // Beside them are the context's beginning and, every 256 calls, new keys.
            let calls = try await context.history().filter { $0.method != nil }
            #expect(calls.count == 2 * 192)
        }
    }

    // scenario: not_there_yet
    @Test func whatIsNotThereYetSaysSo() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            await expect(.unsupported) { _ = try await context.get(key("x"), level: .final) }
            await expect(.unsupported) { _ = try await context.entries(level: .final) }
        }
    }

    // scenario: mistakes_are_named, directory_in_use, nobody_in_step, counters_and_appending, names_of_members
    @Test func mistakesAreNamed() async throws {
        try await withDirectory { directory in
            try await Node.with(at: directory, here) { node in
                await expect(.busy) { _ = try await Node.open(at: directory, here) }
                await expect(.invalidArgument) { _ = try await Node.open(at: URL(string: "https://example.org")!) }
                await expect(.invalidArgument) { _ = try await Node.inMemory(.init(listen: ["nowhere"])) }
                await expect(.invalidArgument, "eventRetention is -1") { _ = try await Node.inMemory(.init(eventRetention: -1)) }
                await expect(.notFound) { _ = try node.context(Data(count: 32)) }
                await expect(.invalidArgument, "32 bytes, not 2") { _ = try node.context(bytes("id")) }
                await expect(.applicationMissing, "unknown") { _ = try await node.createContext(application: "unknown") }
                await expect(.invalidArgument) { try await node.connect(to: "nowhere") }
                let context = try await node.createContext()
                try await context.add(key("n"), .max)
                await expect(.rejected) { try await context.add(key("n"), 1) }
                try await context.put(key("x"), bytes("no counter"))
                await expect(.rejected, "a counter holds 8") { try await context.add(key("x"), 1) }
                await expect(.invalidArgument) { _ = try await context.invite(maxUses: 0) }
                await expect(.invalidArgument, "maxUses is -1") { _ = try await context.invite(maxUses: -1) }
                await expect(.invalidArgument) { _ = try await context.invite(expiresIn: .seconds(-1)) }
                await expect(.limitExceeded) { _ = try await context.invite(note: String(repeating: "x", count: 129)) }
                await expect(.limitExceeded, "at most 128 bytes, not 129") {
                    try await context.setDisplayName(String(repeating: "x", count: 129))
                }
                await expect(.timeout) { try await context.waitSynced(timeout: .milliseconds(50)) }
                await expect(.invalidArgument, "a member id has 32 bytes, not 1") { try await context.remove(Data([1])) }
                await expect(.notMember) { try await context.remove(Data(count: 32)) }
                await expect(.invalidArgument, "32 bytes, not 5") { _ = try await context.transaction(Data(count: 5)) }
            }
        }
    }

    // scenario: closed_after_shutdown
    @Test func afterShutdownEverythingIsClosed() async throws {
        let node = try await Node.forTests()
        let context = try await node.createContext()
        let invitation = try await context.invite()
        try await node.shutdown()
        try await node.shutdown()
        await expect(.closed) { try await context.put(key("x"), bytes("y")) }
        await expect(.closed) { _ = try await context.get(key("x")) }
        await expect(.closed) { _ = try await context.members() }
        await expect(.closed) { _ = try await context.status() }
        await expect(.closed) { _ = try await context.events() }
        await expect(.closed) { _ = try await context.invite() }
        await expect(.closed) { try await context.leave() }
        await expect(.closed) { _ = try await node.createContext() }
        await expect(.closed) { _ = try await node.join(invitation) }
        await expect(.closed) { _ = try await node.status() }
        await expect(.closed) { _ = try node.contexts() }
    }

    // scenario: forgotten_node
    @Test func aNodeThatIsForgottenLetsItsDirectoryGo() async throws {
        try await withDirectory { directory in
            func make() async throws -> Data {
                try await Node.open(at: directory, here).createContext().id
            }
            let id = try await make()
            try await eventually("the directory is free") {
                do {
                    return try await Node.with(at: directory, here) { try $0.contexts().map(\.id) } == [id]
                } catch KithError.busy {
                    return false
                }
            }
        }
    }

    @Test func whatTheBodyThrowsComesOutAndTheNodeIsShutDown() async throws {
        try await withDirectory { directory in
            await expect(.notFound, "mine") {
                try await Node.with(at: directory, here) { _ in throw KithError.notFound("mine") }
            }
            let held = try await Node.with(at: directory, here) { try $0.contexts() }
            #expect(held.isEmpty)
        }
    }
}
