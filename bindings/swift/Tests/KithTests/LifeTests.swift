import Foundation
import Testing

import Kith
import KithTesting

private let patience = Duration.seconds(60)

private func changed(_ event: Event) -> [StateKey]? {
    if case .changed(let keys) = event.kind { keys } else { nil }
}

/// A node's rest (suspending, resuming, syncing once), and which engine keeps its directory.
@Suite(.timeLimit(.minutes(3))) struct LifeTests {
    // scenario: suspended_node
    @Test func aSuspendedNodeGivesItsDirectoryBackAndGoesOnWhereItWas() async throws {
        try await withDirectory { directory in
            let node = try await Node.open(at: directory, here)
            let context = try await node.createContext(name: "home")
            try await context.put(key("before"), bytes("1"))
            let stream = try await context.events()
            let addresses = node.addresses
            let waiting = Task { try await next(stream, changed) }
            #expect(!node.isSuspended)
            #expect(try await !node.status().isSuspended)

            try await node.suspend(deadline: patience)
            try await node.suspend(deadline: patience)
            #expect(node.isSuspended)
            await expect(.closed, "suspended") { try await context.put(key("x"), bytes("y")) }
            await expect(.closed, "suspended") { _ = try await context.get(key("before")) }
            await expect(.closed, "suspended") { _ = try await context.members() }
            await expect(.closed, "suspended") { _ = try await context.verify() }
            await expect(.closed, "suspended") { _ = try await node.createContext() }
            await expect(.closed, "suspended") { try await node.connect(to: addresses[0]) }
            // What needs neither store nor network is there.
            #expect(try node.contexts().map(\.name) == ["home"])
            let status = try await node.status()
            #expect(status.isSuspended && status.peers.isEmpty && status.addresses.isEmpty)

            // The directory is free, for a node of another process or of this one.
            try await Node.with(at: directory, here) { other in
                await expect(.busy) { try await node.resume() }
                #expect(node.isSuspended)
                try await other.context(context.id).put(key("theirs"), bytes("2"))
            }

            try await node.resume()
            try await node.resume()
            #expect(!node.isSuspended && node.addresses == addresses)
            // The stream has waited, and goes on with what was written meanwhile.
            #expect(try await waiting.value == [key("theirs")])
            try await context.put(key("after"), bytes("3"))
            #expect(try await next(stream, changed) == [key("after")])
            for (name, value) in [("before", "1"), ("theirs", "2"), ("after", "3")] {
                #expect(try await context.get(key(name)) == bytes(value))
            }
            try await node.shutdown()
            await expect(.closed, "shut down") { try await node.suspend(deadline: patience) }
            await expect(.closed, "shut down") { try await node.resume() }
            await expect(.closed, "shut down") { _ = try await node.syncOnce(budget: patience) }
        }
    }

    // scenario: suspension_in_time
    @Test func anApplicationThatHangsHoldsTheSuspensionUpButNotItsCaller() async throws {
        try await Node.forTests().use { node in
            let (held, letGo) = (Shared(false), DispatchSemaphore(value: 0))
            try node.register(
                Scripted(body: { _, _ in
                    held.value = true
                    letGo.wait()
                    return bytes("done")
                }), as: "hanging")
            let context = try await node.createContext(application: "hanging")
            let calling = Task { try await context.execute("hang").output }
            try await eventually("the application is called") { held.value }
            await expect(.timeout, "goes on in the background") { try await node.suspend(deadline: .milliseconds(100)) }
            await expect(.closed, "suspended") { _ = try await context.execute("hang") }
            letGo.signal()
            letGo.signal()
            // What had begun is finished, and resuming waits for that.
            #expect(try await calling.value == bytes("done"))
            try await node.resume()
            #expect(try await context.execute("hang").output == bytes("done"))
        }
    }

    // scenario: syncing_once
    @Test func syncingOnceBringsWhatOthersWrote() async throws {
        try await withTwoNodes(in: Hub()) { one, other in
            let mine = try await one.createContext()
            let theirs = try await other.join(try await mine.invite())
            try await other.suspend(deadline: patience)
            try await mine.put(key("while"), bytes("you slept"))
            var report = try await other.syncOnce(budget: patience)
            #expect(report.peers == 1 && report.synced == [theirs.id] && report.behind.isEmpty)
            #expect(other.isSuspended)
            try await other.resume()
            #expect(try await theirs.get(key("while")) == bytes("you slept"))
            // Nobody is there: the budget is not waited for.
            try await one.shutdown()
            report = try await other.syncOnce(budget: .seconds(2 * 24 * 3600))
            #expect(report.peers == 0 && report.synced.isEmpty && report.behind == [theirs.id])
            #expect(!other.isSuspended)
            await expect(.invalidArgument, "budget is -1") { _ = try await other.syncOnce(budget: .seconds(-1)) }
            await expect(.invalidArgument, "deadline is -1") { try await other.suspend(deadline: .seconds(-1)) }
        }
    }

    @Test func aHundredSuspensionsInMidWriteLoseNothingThatWasAcknowledged() async throws {
        try await withDirectory { directory in
            try await Node.with(at: directory, .init(listen: [], discovery: false)) { node in
                let context = try await node.createContext()
                let (acknowledged, refused, ended) = (Shared<Set<StateKey>>([]), Shared(0), Shared(false))
                let stream = try await context.events()
                let writers = (0..<4).map { writer in
                    Task {
                        var number = 0
                        while !ended.value {
                            let name = key("\(writer)/\(number)")
                            number += 1
                            do {
                                try await context.put(name, bytes("x"))
                                acknowledged.change { $0.insert(name) }
                            } catch KithError.closed {
                                refused.change { $0 += 1 }
                                await Task.yield()
                            }
                        }
                    }
                }
                for _ in 0..<100 {
                    // Some of it is written each time.
                    _ = try await next(stream, changed)
                    try await node.suspend(deadline: patience)
                    try await node.resume()
                }
                ended.value = true
                for writer in writers {
                    try await writer.value
                }
                let held = try await context.allEntries().reduce(into: Set<StateKey>()) { $0.insert($1.key) }
                #expect(acknowledged.value.count >= 100 && acknowledged.value.isSubset(of: held) && refused.value > 0)
                #expect(try await context.verify().difference == nil)
            }
        }
    }

    @Test func aHundredSuspensionsInMidCatchUpEndInStep() async throws {
        try await withTwoNodes(in: Hub()) { one, other in
            let mine = try await one.createContext()
            let theirs = try await other.join(try await mine.invite())
            var (interrupted, rounds) = (0, 0)
            while interrupted < 100 {
                rounds += 1
                try #require(rounds <= 1000, "catch-up was over before the suspension but for \(interrupted) times")
                try await other.suspend(deadline: patience)
                for each in 0..<5 {
                    try await mine.put(key("\(rounds)/\(each)"), Data(count: 2000))
                }
                let whole = try await mine.status().digest
                let stream = try await theirs.events()
                try await other.resume()
                // As soon as there is somebody to catch up with.
                _ = try await next(stream) { event -> Bool? in
                    if case .peerConnected = event.kind { true } else { nil }
                }
                try await other.suspend(deadline: patience)
                // What it has is looked at while there is nobody to get more from.
                try await one.suspend(deadline: patience)
                try await other.resume()
                if try await theirs.status().digest != whole { interrupted += 1 }
                try await one.resume()
            }
            try await equal(mine, theirs)
            #expect(try await theirs.allEntries().reduce(0) { count, _ in count + 1 } == 5 * rounds)
            #expect(try await theirs.verify().difference == nil)
        }
    }

    @Test func aCancelledTaskSuspendsAllTheSame() async throws {
        try await withDirectory { directory in
            try await Node.with(at: directory, here) { node in
                let task = Task {
                    while !Task.isCancelled { await Task.yield() }
                    try await node.suspend(deadline: patience)
                }
                task.cancel()
                try await task.value
                #expect(node.isSuspended)
                try await node.resume()
                _ = try await node.createContext()
            }
        }
    }

    // scenario: storage_engine
    @Test(arguments: [(StorageEngine.sled, StorageEngine.redb), (.redb, .sled)])
    func aDirectoryKeepsItsEngine(own: StorageEngine, other: StorageEngine) async throws {
        try await withDirectory { directory in
            var (chosen, wrong) = (here, here)
            (chosen.storage, wrong.storage) = (own, other)
            let id = try await Node.with(at: directory, chosen) { node in
                let context = try await node.createContext()
                try await context.put(key("x"), bytes("y"))
                #expect(try await node.status().storage == own)
                return context.id
            }
            await expect(.invalidArgument) { [wrong] in _ = try await Node.open(at: directory, wrong) }
            try await Node.with(at: directory, here) { node in
                let storage = try await node.status().storage
                #expect(storage == own)
                #expect(try await node.context(id).get(key("x")) == bytes("y"))
            }
        }
        try await Node.forTests().use { node in
            let storage = try await node.status().storage
            #expect(storage == nil)
        }
    }
}
