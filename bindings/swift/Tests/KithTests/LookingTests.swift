import Foundation
import Testing

import Kith
import KithTesting

/// Looking at what is kept: checks against the history, where a value comes from, what calls emitted.
@Suite(.timeLimit(.minutes(3))) struct LookingTests {
    // scenario: what_is_kept_is_checked
    @Test func whatIsKeptIsWhatTheHistoryGives() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            for number in 0..<5 {
                try await context.put(key("\(number)"), bytes("x"))
            }
            try await context.delete(key("0"))
            let report = try await context.verify()
            #expect(report.transactions == 8 && report.executed == 8 && report.pending == 0 && report.keys == 5)
            #expect(report.difference == nil)
        }
    }

    // scenario: what_is_kept_is_checked
    /// Not what applications must be: it answers otherwise when it is asked again.
    @Test func anApplicationThatAnswersOtherwiseIsFound() async throws {
        try await Node.forTests().use { node in
            let answer = Shared("first")
            try node.register(Scripted(body: { _, _ in bytes(answer.value) }), as: "fickle")
            let context = try await node.createContext(application: "fickle")
            let receipt = try await context.execute("say")
            #expect(try await context.verify().difference == nil)
            answer.value = "second"
            let difference = try #require(try await context.verify().difference)
            #expect(difference.part == .receipt && difference.transaction == receipt.transaction)
            #expect(try await context.transaction(receipt.transaction)?.place == difference.place)
            #expect(difference.key == nil && difference.kept?.count == 32 && difference.kept != difference.recomputed)
            #expect("\(difference)".contains("the receipt differs at transaction "))
        }
    }

    // scenario: writers_of_a_key
    @Test func aKeyIsExplainedByItsWriters() async throws {
        let hub = Hub()
        try await withTwoNodes(in: hub) { one, other in
            let mine = try await one.createContext()
            let theirs = try await other.join(try await mine.invite())
            let first = try await mine.put(key("x"), bytes("1"))
            try await part(hub, one, other, mine, theirs)
            // Neither knows of the other's.
            let both: Set = [
                try await mine.put(key("x"), bytes("2")), try await theirs.put(key("x"), bytes("3")),
            ]
            try hub.heal(one, other)
            try await equal(mine, theirs)
            let last = try await mine.delete(key("x"))
            let page = try await mine.explain(key("x"))
            try #require(page.count == 4)
            #expect(page[0].transaction.id == first && page[3].transaction.id == last)
            #expect(Set(page[1...2].map(\.transaction.id)) == both)
            #expect(page.map(\.unseen) == [false, false, true, false])
            let hashes = page.compactMap { if case .value(let hash) = $0.written { hash } else { nil } }
            #expect(Set(hashes).count == 3 && hashes.allSatisfy { $0.count == 32 } && page[3].written == .removed)
            #expect(try await mine.explain(key("x"), after: page[1].transaction.place, limit: 1) == [page[2]])
            #expect(try await mine.explain(key("nothing")).isEmpty)
            await expect(.invalidArgument, "48 bytes, not 3") { _ = try await mine.explain(key("x"), after: Data(count: 3)) }
            await expect(.invalidArgument, "limit is -1") { _ = try await mine.explain(key("x"), limit: -1) }
        }
    }

    @Test func whoWasRejectedForWhatItReadIsAmongThem() async throws {
        let hub = Hub()
        try await withTwoNodes(in: hub) { one, other in
            let mine = try await one.createContext()
            let theirs = try await other.join(try await mine.invite())
            try await mine.put(key("seat"), bytes("free"))
            try await part(hub, one, other, mine, theirs)
            try await mine.compareAndSet(key("seat"), expected: bytes("free"), value: bytes("mine"))
            try await theirs.compareAndSet(key("seat"), expected: bytes("free"), value: bytes("theirs"))
            try hub.heal(one, other)
            try await eventually("both hold both") {
                let (here, there) = (try await mine.explain(key("seat")), try await theirs.explain(key("seat")))
                return here.count == 3 && there.count == 3
            }
            let page = try await theirs.explain(key("seat"))
            try #require(page.count == 3)
            #expect(page[2].written == .nothing)
            guard case .rejected = page[2].transaction.outcome else {
                Issue.record("\(page[2].transaction.outcome)")
                return
            }
        }
    }

    @Test func aTransactionTellsWhatItsCallEmitted() async throws {
        try await Node.forTests().use { node in
            try node.register(
                Scripted(body: { call, state in
                    try state.emit("said", call.arguments)
                    try state.emit("again", Data())
                    return Data()
                }), as: "talking")
            let context = try await node.createContext(application: "talking")
            let receipt = try await context.execute("say", bytes("hello"))
            let emitted = try #require(try await context.transaction(receipt.transaction)?.emitted)
            #expect(emitted.map(\.name) == ["said", "again"] && emitted.map(\.data) == [bytes("hello"), Data()])
            #expect(try await context.history()[0].emitted.isEmpty)
        }
    }

    /// Lets two nodes have the same and keeps them apart; they know that they are.
    private func part(_ hub: Hub, _ one: Node, _ other: Node, _ mine: Context, _ theirs: Context) async throws {
        try await equal(mine, theirs)
        try hub.partition(one, other)
        try await eventually("they are apart") {
            let (here, there) = (try await mine.status(), try await theirs.status())
            return here.peers.isEmpty && there.peers.isEmpty
        }
    }
}
