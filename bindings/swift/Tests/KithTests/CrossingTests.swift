import Foundation
import KithNative
import KithTesting
import Testing

@testable import Kith

/// Counts what crosses. Any other call than these would fail: nothing is behind this handle.
private final class CountedContext: KithNative.Context, @unchecked Sendable {
    private let real: KithNative.Context
    let crossings = Shared(0)

    init(_ real: KithNative.Context) {
        self.real = real
        super.init(noHandle: NoHandle())
    }

    required init(unsafeFromHandle handle: UInt64) {
        fatalError("it is made of another one")
    }

    override func entries(
        prefix: Data, after: Data?, limit: UInt32, isFinal: Bool
    ) async throws -> [KithNative.Entry] {
        crossings.change { $0 += 1 }
        return try await real.entries(prefix: prefix, after: after, limit: limit, isFinal: isFinal)
    }

    override func history(after: Data?, limit: UInt32) async throws -> [KithNative.TransactionInfo] {
        crossings.change { $0 += 1 }
        return try await real.history(after: after, limit: limit)
    }
}

private final class CountedEvents: KithNative.Events, @unchecked Sendable {
    private let real: KithNative.Events
    let waits = Shared(0)
    let takes = Shared(0)

    init(_ real: KithNative.Events) {
        self.real = real
        super.init(noHandle: NoHandle())
    }

    required init(unsafeFromHandle handle: UInt64) {
        fatalError("it is made of another one")
    }

    override func ready(seen: UInt64) async throws {
        waits.change { $0 += 1 }
        try await real.ready(seen: seen)
    }

    override func take() -> [Happened] {
        takes.change { $0 += 1 }
        return real.take()
    }
}

/// What is behind a handle.
private func native<Native>(_ handle: Any) throws -> Native {
    try #require(Mirror(reflecting: handle).descendant("native") as? Native)
}

/// What docs/border.md says of how often things cross.
@Suite struct CrossingTests {
    @Test func pagesOfEntriesAndOfTheOrderCrossOnce() async throws {
        try await withTwoNodes { node, _ in
            let context = try await node.createContext()
            let keys = (0..<100).map { key("\($0)") }.sorted()
            for key in keys { try await context.put(key, bytes("x")) }
            let counted = CountedContext(try native(context))
            let seen = Kith.Context(native: counted)
            #expect(try await seen.entries().map(\.key) == keys)
            #expect(counted.crossings.value == 1)
            #expect(try await seen.history().count >= 100)
            #expect(counted.crossings.value == 2)
            // The control: what is asked for one by one is counted one by one.
            var last: StateKey?
            for _ in keys {
                last = try #require(try await seen.entries(after: last, limit: 1).first).key
            }
            #expect(counted.crossings.value == 102)
        }
    }

    @Test func eventsDoNotCrossOneByOne() async throws {
        try await withTwoNodes { node, _ in
            let context = try await node.createContext()
            for number in 0..<120 { try await context.put(key("\(number)"), bytes("x")) }
            let counted = CountedEvents(try native(try await context.events(after: 0)))
            let stream = Kith.Events(native: counted)
            var executed = 0
            for _ in 0..<200 {
                if case .executed = try await stream.next().kind { executed += 1 }
            }
            #expect(executed >= 90)
            // What 64 writes have to say is one piece; a wait that finds nothing of it comes at the end of a piece.
            #expect(counted.takes.value >= 1 && counted.takes.value <= counted.waits.value)
            #expect(counted.waits.value <= 8)
        }
    }
}
