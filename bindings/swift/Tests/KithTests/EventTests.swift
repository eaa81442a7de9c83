import Foundation
import Testing

import Kith
import KithTesting

/// Events, and what cancelling does.
@Suite(.timeLimit(.minutes(3))) struct EventTests {
    // scenario: events_are_pulled, events_after_a_cursor, streams_end_with_their_node
    @Test func eventsWaitReplayAndEnd() async throws {
        let node = try await Node.forTests()
        let context = try await node.createContext()
        let stream = try await context.events()
        let one = try await context.put(key("one"), bytes("1"))
        let first = try await stream.next()
        #expect(first.kind == .executed(transaction: one, member: context.me, again: false))
        #expect(try await stream.next().kind == .changed(keys: [key("one")]))
        let two = try await context.put(key("two"), bytes("2"))
        for try await event in try await context.events(after: first.cursor) {
            if case .executed(let transaction, _, _) = event.kind {
                #expect(transaction == two && event.cursor > first.cursor)
                break
            }
        }
        let reading = Shared(0)
        let reader = Task {
            for try await _ in try await context.events(after: 0) {
                reading.change { $0 += 1 }
            }
        }
        try await eventually("the reader reads") { reading.value > 0 }
        try await node.shutdown()
        try await reader.value
        await expect(.closed) {
            for _ in 0..<100 { _ = try await stream.next() }
        }
    }

    // scenario: events_after_a_restart
    @Test func eventsAreReplayedAfterARestart() async throws {
        try await withDirectory { directory in
            let (id, cursor, two) = try await Node.with(at: directory, here) { node in
                let context = try await node.createContext()
                let stream = try await context.events()
                try await context.put(key("one"), bytes("1"))
                let cursor = try await stream.next().cursor
                let two = try await context.put(key("two"), bytes("2"))
                return (context.id, cursor, two)
            }
            try await Node.with(at: directory, here) { node in
                let context = try node.context(id)
                let stream = try await context.events(after: cursor)
                let replayed = try await next(stream) { if case .executed(let id, _, _) = $0.kind { id } else { nil } }
                #expect(replayed == two)
            }
        }
    }

    // scenario: cursor_expired
    @Test func anExpiredCursorIsNamed() async throws {
        try await Node.forTests(eventRetention: 3).use { node in
            let context = try await node.createContext()
            for number in 0..<10 {
                try await context.put(key("x"), bytes("\(number)"))
            }
            await expect(.cursorExpired) { _ = try await context.events(after: 1) }
        }
    }

    @Test func twoReadersOfOneStreamShareIt() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            let stream = try await context.events()
            let seen = Shared<[Data]>([])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        for try await event in stream {
                            if case .executed(let id, _, _) = event.kind { seen.change { $0.append(id) } }
                        }
                    }
                }
                var wanted: Set<Data> = []
                for number in 0..<20 {
                    wanted.insert(try await context.put(key("x"), bytes("\(number)")))
                }
                try await eventually("everything is read") { seen.value.count >= 20 }
                #expect(seen.value.count == 20 && Set(seen.value) == wanted)
                try await node.shutdown()
                try await group.waitForAll()
            }
        }
    }

    // scenario: readers_share_a_stream
    @Test func whatIsAtHandOfAStreamIsNotLostToAnotherReader() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            for number in 0..<50 {
                try await context.put(key("x"), bytes("\(number)"))
            }
            let alone = try await context.events(after: 0)
            var wanted: Set<String> = []
            for _ in 0..<60 { wanted.insert("\(try await alone.next())") }
            for _ in 0..<20 {
                let stream = try await context.events(after: 0)
                let seen = try await withThrowingTaskGroup(of: [String].self) { group in
                    for _ in 0..<5 {
                        group.addTask {
                            var part: [String] = []
                            for _ in 0..<12 { part.append("\(try await stream.next())") }
                            return part
                        }
                    }
                    return try await group.reduce(into: []) { $0 += $1 }
                }
                #expect(seen.count == 60 && Set(seen) == wanted)
            }
        }
    }

    // scenario: cancelled_wait
    /// The proof that `Task.cancel` reaches Rust: a wait that never ends by itself ends.
    @Test func aCancelledWaitEndsAtOnce() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            let stream = try await context.events()
            let waiting = Task { try await stream.next() }
            let syncing = Task { try await context.waitSynced(timeout: .seconds(100_000)) }
            await Task.yield()
            for _ in 0..<20 { _ = try await context.status() }
            try await expectCancellable(waiting)
            try await expectCancellable(syncing)
            // The wait is gone in Rust too, or it would hold the stream and this event would go to it.
            try await context.put(key("x"), bytes("y"))
            guard case .executed = try await stream.next().kind else { throw Never(description: "another event") }
        }
    }

    // scenario: cancelled_wait
    @Test func cancelledWaitsLoseNoEvent() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            let stream = try await context.events()
            let writer = Task {
                var wanted: [Data] = []
                for number in 0..<40 {
                    // Longer than one waits: some are cancelled for certain, and others while their event comes.
                    if number % 4 == 0 { try await Task.sleep(for: .milliseconds(2)) }
                    wanted.append(try await context.put(key("x"), bytes("\(number)")))
                }
                return wanted
            }
            var seen: [Data] = []
            var cancelled = 0
            while seen.count < 40 {
                let waiting = Task { try await stream.next() }
                let canceller = Task {
                    try await Task.sleep(for: .microseconds(500))
                    waiting.cancel()
                }
                do {
                    if case .executed(let id, _, _) = try await waiting.value.kind { seen.append(id) }
                } catch is CancellationError {
                    cancelled += 1
                }
                canceller.cancel()
            }
            #expect(try await writer.value == seen)
            #expect(cancelled > 0)
        }
    }

    @Test func aTaskCancelledBeforehandWritesNothing() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            let task = Task {
                while !Task.isCancelled { await Task.yield() }
                try await context.put(key("never"), bytes("x"))
            }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(try await context.history().count == 1)
        }
    }

    // scenario: cancelled_write
    @Test func aCancelledWriteIsFinishedWholeOrNotBegunAndTheContextGoesOn() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            var cancelled = 0
            for number in 0..<50 {
                let task = Task { try await context.batch([.put(key("a\(number)"), Data()), .put(key("b\(number)"), Data())]) }
                await Task.yield()
                task.cancel()
                if case .failure(let error) = await task.result {
                    #expect(error is CancellationError)
                    cancelled += 1
                }
            }
            try await context.put(key("last"), bytes("x"))
            let entries = try await context.entries()
            #expect(cancelled > 0)
            #expect(entries.count % 2 == 1 && entries.count >= 2 * (50 - cancelled) + 1)
        }
    }

    // scenario: cancelled_join
    @Test func aCancelledJoinIsGivenUpAndMayBeTriedAgain() async throws {
        let hub = Hub()
        try await withTwoNodes(in: hub) { one, other in
            let token = try await one.createContext().invite()
            try hub.partition(one, other)
            let joining = Task { try await other.join(token, timeout: .seconds(100_000)) }
            try await eventually("joining has begun") { try other.contexts().map(\.isJoining) == [true] }
            try await expectCancellable(joining)
            try await eventually("nothing of it stays") { try other.contexts().isEmpty }
            try hub.heal(one, other)
            #expect(try await other.join(token).role == .writer)
        }
    }

    @Test func aCancelledTaskStillShutsItsNodeDown() async throws {
        try await withDirectory { directory in
            let opened = Shared(false)
            let task = Task {
                try await Node.with(at: directory, here) { node in
                    let stream = try await node.createContext().events()
                    opened.value = true
                    while true { _ = try await stream.next() }
                }
            }
            try await eventually("the node is open") { opened.value }
            try await expectCancellable(task)
            // The directory is free at once: shutting down was waited for.
            let held = try await Node.with(at: directory, here) { try $0.contexts() }
            #expect(held.count == 1)
        }
    }

    // scenario: half_joined
    @Test func aHalfJoinedContextIsThereAfterARestartAndCanBeDeleted() async throws {
        try await withDirectory { directory in
            let token = try await Node.inMemory(here).use { try await $0.createContext().invite() }
            let node = try await Node.open(at: directory, here)
            let joining = Task { try await node.join(token) }
            try await eventually("joining has begun") { try node.contexts().count == 1 }
            try await node.shutdown()
            await expect(.closed) { _ = try await joining.value }
            try await Node.with(at: directory, here) { again in
                let info = try #require(try again.contexts().first)
                #expect(try info.isJoining && info.id == again.inspect(token).context)
                try await again.context(info.id).leave()
                #expect(try again.contexts().isEmpty)
            }
        }
    }
}
