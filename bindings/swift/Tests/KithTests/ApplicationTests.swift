import Foundation
import Testing

import Kith
import KithTesting

private let thing = StateKey("things", "one")

private struct Plainly: Error, CustomStringConvertible {
    let description: String
}

/// Counts votes; each member has one.
private struct Tally: Application {
    func execute(_ call: Call, state: ContextState) throws -> Data {
        guard call.method == "vote" else { throw Plainly(description: "no method \(call.method)") }
        let mine = StateKey("voted", call.member.map { "\($0)" }.joined(separator: "."))
        guard try state.get(mine) == nil else { throw Plainly(description: "you have voted") }
        try state.put(mine, call.arguments)
        let total = StateKey("total", String(decoding: call.arguments, as: UTF8.self))
        let count = Data([(try state.get(total)?.first ?? 0) + 1])
        try state.put(total, count)
        try state.emit("voted", call.arguments)
        return count
    }

    func query(_ method: String, arguments: Data, state: ContextState) throws -> Data {
        try state.get(StateKey("total", String(decoding: arguments, as: UTF8.self))) ?? Data([0])
    }
}

/// Applications written in Swift, on the bench: what they return, throw, and do to the state.
@Suite struct BenchTests {
    @Test func aCallArrivesWholeAndItsAnswerGoesBack() throws {
        let calls = Shared<[Call]>([])
        let bench = try ApplicationBench(
            Scripted(body: { call, state in
                calls.change { $0.append(call) }
                try state.put(thing, call.arguments)
                try state.emit("written", bytes("data"))
                #expect(try state.get(thing) == call.arguments)
                #expect(try state.entries(prefix: StateKey.collection("things")).map(\.value) == [call.arguments])
                try state.put(StateKey("things", "two"), Data())
                try state.delete(StateKey("things", "two"))
                return bytes("answer")
            }))
        let member = Data(repeating: 9, count: 32)
        let answer = try bench.execute("put", bytes("value"), member: member, role: .admin, timestamp: 5)
        #expect(answer == bytes("answer"))
        let call = try #require(calls.value.first)
        #expect(call.method == "put" && call.arguments == bytes("value") && call.member == member)
        #expect(call.role == .admin && call.transaction == Data(count: 32) && call.timestamp == 5)
        #expect(bench.entries().map(\.key) == [thing] && bench.entries().map(\.value) == [bytes("value")])
        #expect(bench.emitted() == ["written"])
    }

    // scenario: application_raises
    @Test(arguments: [
        (Plainly(description: "no such thing") as any Error & Sendable, KithError.rejected("no such thing")),
        (KithError.invalidArgument("a key"), .rejected("a key")),
        (KithError.limitExceeded("much"), .rejected("much")),
        (KithError.rejected("no"), .rejected("no")),
        (CocoaError(.fileNoSuchFile), nil),
    ] as [(any Error & Sendable, KithError?)])
    func whatEveryMemberGetsAlikeRejectsAndUndoesItsWrites(error: any Error & Sendable, wanted: KithError?) async throws {
        let bench = try ApplicationBench(
            Scripted(body: { _, state in
                try state.put(thing, bytes("half"))
                throw error
            }))
        await expect(.rejected, wanted?.message ?? "") { _ = try bench.execute("method") }
        #expect(bench.entries().isEmpty)
    }

    @Test(arguments: [
        LocalFault("disk"), KithError.storage("torn"), KithError.unsupported("not from here"), CancellationError(),
    ] as [any Error & Sendable])
    func whatIsWrongHereOnlyIsAFault(error: any Error & Sendable) async throws {
        let bench = try ApplicationBench(Scripted(body: { _, _ in throw error }))
        await expect(.blocked) { _ = try bench.execute("method") }
    }

    @Test func aFailureOfTheStateCannotBeSwallowed() async throws {
        let bench = try ApplicationBench(
            Scripted(body: { _, state in
                try? state.put(thing, Data(count: 1024 * 1024 + 1))
                return bytes("all fine")
            }))
        await expect(.rejected, "at most 1048576 bytes") { _ = try bench.execute("method") }
        #expect(bench.entries().isEmpty)
    }

    /// What the type system forbids (the state is not `Sendable`), done all the same.
    private final class Smuggled: @unchecked Sendable {
        var state: ContextState?
    }

    // scenario: state_ends_with_its_call
    @Test func theStateIsClosedWhenTheCallHasEndedAndStaysOnItsThread() async throws {
        let kept = Smuggled()
        let elsewhere = Shared("")
        let bench = try ApplicationBench(
            Scripted(body: { _, state in
                kept.state = state
                let done = DispatchSemaphore(value: 0)
                Thread.detachNewThread {
                    do { try kept.state?.put(thing, Data()) } catch { elsewhere.value = "\(error)" }
                    done.signal()
                }
                done.wait()
                return Data()
            }))
        _ = try bench.execute("method")
        #expect(elsewhere.value.contains("belongs to the thread that the application was called on"))
        await expect(.rejected) { try kept.state?.put(thing, bytes("late")) }
        #expect(bench.entries().isEmpty)
    }

    @Test func aQueryWritesNothing() async throws {
        let bench = try ApplicationBench(
            Scripted(look: { _, _, state in
                try state.put(thing, bytes("x"))
                return bytes("answer")
            }))
        #expect(try bench.query("look") == bytes("answer"))
        #expect(bench.entries().isEmpty)
        await expect(.rejected, "no query `look`") { _ = try ApplicationBench(Plain()).query("look") }
    }

    @Test func argumentsOfTheCreator() async throws {
        await expect(.rejected, "takes no arguments") { _ = try ApplicationBench(Plain(), arguments: bytes("surprise")) }
        let bench = try ApplicationBench(Scripted(start: { try $1.put(thing, $0) }), arguments: bytes("start"))
        #expect(bench.entries().map(\.value) == [bytes("start")])
        await expect(.invalidArgument, "32 bytes, not 3") { _ = try bench.execute("m", member: bytes("abc")) }
    }

    @Test func aMebibyteCrossesWhole() throws {
        let value = Data((0..<1024 * 1024).map { UInt8(truncatingIfNeeded: $0) })
        #expect(try ApplicationBench(Plain()).execute("echo", value) == value)
    }
}

/// Applications of the host on nodes: faults, skipping, waiting for an application.
@Suite(.timeLimit(.minutes(3))) struct HostTests {
    // scenario: own_application, application_emits, application_twice
    @Test func anApplicationInSwiftRunsOnBothNodes() async throws {
        try await withTwoNodes { one, other in
            try one.register(Tally(), as: "tally")
            await expect(.invalidArgument) { try one.register(Tally(), as: "tally") }
            await expect(.applicationMissing) { _ = try await other.createContext(application: "tally") }
            let mine = try await one.createContext(application: "tally")
            let stream = try await mine.events()
            #expect(try await mine.execute("vote", bytes("tea")).output == Data([1]))
            let emitted = try await next(stream) {
                if case .emitted(_, let name, let data) = $0.kind { (name, data) } else { nil }
            }
            #expect(emitted == ("voted", bytes("tea")))
            await expect(.rejected, "you have voted") { _ = try await mine.execute("vote", bytes("tea")) }
            await expect(.unsupported) { try await mine.put(key("x"), bytes("y")) }
            try other.register(Tally(), as: "tally")
            let theirs = try await other.join(try await mine.invite())
            #expect(try await theirs.execute("vote", bytes("tea")).output == Data([2]))
            try await theirs.waitSynced()
            #expect(try await mine.query("total", bytes("tea")) == Data([2]))
            #expect(try await mine.commitment() == theirs.commitment())
        }
    }

    /// Stores its arguments, and throws what the test wants.
    private final class Moody: Application {
        let error = Shared<(any Error & Sendable)?>(nil)

        func execute(_ call: Call, state: ContextState) throws -> Data {
            if call.arguments == bytes("bad"), let error = error.value { throw error }
            try state.put(key(call.method), call.arguments)
            return bytes("done")
        }
    }

    // scenario: local_fault
    @Test func aLocalFaultBlocksOneMemberAndAnAdminSkipsTheCall() async throws {
        let (good, moody) = (Moody(), Moody())
        moody.error.value = LocalFault("the disk is gone")
        try await withTwoMembers(application: "moody", applications: (good, moody)) { mine, theirs in
            let stream = try await theirs.events()
            let receipt = try await mine.execute("first", bytes("bad"))
            let cause = try await next(stream) { if case .blocked(let cause) = $0.kind { cause } else { nil } }
            #expect(cause.contains("the disk is gone"))
            #expect(try await theirs.status().blocked == cause)
            #expect(try await mine.status().blocked == nil)
            await expect(.blocked) { _ = try await theirs.execute("other", bytes("good")) }
            #expect(try await theirs.get(key("first")) == nil)
            await expect(.permissionDenied) { try await theirs.skip(receipt.transaction) }
            try await mine.skip(receipt.transaction)
            #expect(try await mine.get(key("first")) == nil)
            try await eventually("the other one goes on") { try await theirs.status().blocked == nil }
            _ = try await theirs.execute("other", bytes("good"))
            try await equal(mine, theirs)
            guard case .rejected = try await mine.transaction(receipt.transaction)?.outcome else {
                throw Never(description: "the call is rejected")
            }
        }
    }

    // scenario: fault_that_passes
    @Test func aFaultThatPassesIsTriedAgainWithoutAnybodysDoing() async throws {
        let (good, moody) = (Moody(), Moody())
        moody.error.value = LocalFault("for a moment")
        try await withTwoMembers(application: "moody", applications: (good, moody)) { mine, theirs in
            let stream = try await theirs.events()
            _ = try await mine.execute("first", bytes("bad"))
            _ = try await next(stream) { if case .blocked = $0.kind { true } else { nil } }
            moody.error.value = nil
            try await eventually("the call is carried out") { try await theirs.get(key("first")) == bytes("bad") }
            #expect(try await mine.commitment() == theirs.commitment())
        }
    }

    // scenario: application_missing
    @Test func aContextWaitsForItsApplicationAndAppliesThen() async throws {
        try await withTwoNodes { one, other in
            try one.register(Moody(), as: "moody")
            let mine = try await one.createContext(application: "moody")
            _ = try await mine.execute("first", bytes("value"))
            let theirs = try await other.join(try await mine.invite())
            _ = try await mine.execute("second", bytes("value"))
            try await eventually("it syncs without executing") {
                let status = try await theirs.status()
                return try await status.digest == mine.status().digest && status.pending >= 2
            }
            #expect(try await theirs.status().blocked?.contains("`moody` is not registered") == true)
            await expect(.applicationMissing, "moody") { _ = try await theirs.execute("third") }
            try other.register(Moody(), as: "moody")
            try await equal(mine, theirs)
            #expect(try await theirs.get(key("second")) == bytes("value"))
        }
    }

    // scenario: application_calls_back
    @Test func anApplicationMayNotCallTheLibrary() async throws {
        try await Node.forTests().use { node in
            let seen = Shared<[String]>([])
            let reached = Shared<Context?>(nil)
            let curious = Scripted(body: { _, _ in
                guard let context = reached.value else { return Data() }
                // A task that is waited for from here would wait for itself.
                let done = DispatchSemaphore(value: 0)
                Task {
                    do { _ = try await context.get(key("x")) } catch { seen.change { $0.append("\(error)") } }
                    done.signal()
                }
                done.wait()
                do { _ = try node.contexts() } catch { seen.change { $0.append("\(error)") } }
                return Data()
            })
            try node.register(curious, as: "curious")
            let context = try await node.createContext(application: "curious")
            reached.value = context
            _ = try await context.execute("look")
            reached.value = nil
            let refused = "Unsupported: this may not be called from inside an application's callback"
            #expect(seen.value == [refused, refused])
        }
    }

    @Test func progressMayNotCallTheLibraryEither() async throws {
        try await withTwoNodes { one, other in
            let token = try await one.createContext().invite()
            let seen = Shared<Set<String>>([])
            _ = try await other.join(token) { _, _ in
                do { _ = try other.contexts() } catch { seen.change { $0.insert("\(error)") } }
            }
            #expect(seen.value == ["Unsupported: this may not be called from inside a progress callback"])
        }
    }

    // scenario: logs_reach_the_host
    @Test func logsReachTheirSinkFilteredBeforeTheyCross() async throws {
        for (level, wanted) in [(KithLog.Level.off, false), (.debug, true)] {
            let told = Shared<[LogRecord]>([])
            let refused = Shared<Set<String>>([])
            try await Node.forTests().use { node in
                try KithLog.send(level) { record in
                    told.change { $0.append(record) }
                    do { _ = try node.contexts() } catch { refused.change { $0.insert("\(error)") } }
                }
                let token = try await node.createContext().invite()
                try await Node.forTests().use { _ = try await $0.join(token) }
                if wanted {
                    try await eventually("something is logged at debug") { !told.value.isEmpty }
                    #expect(told.value.allSatisfy { $0.level <= .debug && $0.target.hasPrefix("kith") && !$0.message.isEmpty })
                    #expect(refused.value == ["Unsupported: this may not be called from inside a log sink"])
                } else {
                    #expect(told.value.isEmpty)
                }
            }
            try KithLog.stop()
        }
    }
}
