import Foundation
import Testing

import Kith
import KithTesting

let here = Node.Configuration(listen: ["/ip4/127.0.0.1/tcp/0"], discovery: false)

func key(_ name: String) -> StateKey { StateKey("test", name) }

func bytes(_ text: String) -> Data { Data(text.utf8) }

func counter(_ number: Int64) -> Data {
    withUnsafeBytes(of: number.littleEndian) { Data($0) }
}

/// A directory of the test's own, removed at its end.
func withDirectory(_ body: (URL) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("kith-\(UUID())", isDirectory: true)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    try await body(directory)
}

struct Never: Error, CustomStringConvertible {
    let description: String
}

/// Waits until a condition holds. The limit only ends a test that fails.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    for _ in 0..<1200 {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(50))
    }
    throw Never(description: "never: \(what)")
}

/// Waits until two members hold the same history, all executed. Equal commitments alone say less: the states may be equal before the histories are.
func equal(_ one: Context, _ other: Context) async throws {
    try await eventually("they are equal") {
        let (a, b) = (try await one.status(), try await other.status())
        let settled = [a, b].allSatisfy { $0.pending == 0 && $0.unopened == 0 }
        return settled && a.digest == b.digest && a.commitment == b.commitment
    }
}

/// Cancels a task and waits until it has ended by that. One that does not end fails the test, and does not hang it.
func expectCancellable<Success: Sendable>(
    _ task: Task<Success, any Error>, at location: SourceLocation = #_sourceLocation
) async throws {
    let result = Shared<Result<Success, any Error>?>(nil)
    task.cancel()
    Task { result.value = await task.result }
    try await eventually("the cancelled task ends") { result.value != nil }
    #expect(throws: CancellationError.self, sourceLocation: location) { _ = try result.value?.get() }
}

/// The first event that `pick` makes something of.
func next<Found>(_ events: Events, _ pick: (Event) -> Found?) async throws -> Found {
    while true {
        if let found = pick(try await events.next()) { return found }
    }
}

/// Fails unless the body throws an error of this kind, whose message has these words.
func expect(
    _ kind: KithError.Kind, _ words: String = "", at location: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Void
) async {
    await expect(anyOf: [kind], words, at: location, body)
}

/// Fails unless the body throws an error of one of these kinds, whose message has these words.
func expect(
    anyOf kinds: [KithError.Kind], _ words: String = "", at location: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Void
) async {
    do {
        try await body()
        Issue.record("nothing was thrown, not \(kinds)", sourceLocation: location)
    } catch let error as KithError {
        #expect(kinds.contains(error.kind), "\(error)", sourceLocation: location)
        #expect(words.isEmpty || error.message.contains(words), "\(error)", sourceLocation: location)
    } catch {
        Issue.record("\(error) was thrown, not \(kinds)", sourceLocation: location)
    }
}

/// A value that several threads change.
final class Shared<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var kept: Value

    init(_ value: Value) {
        kept = value
    }

    var value: Value {
        get { lock.withLock { kept } }
        set { lock.withLock { kept = newValue } }
    }

    func change(_ body: (inout Value) -> Void) {
        lock.withLock { body(&kept) }
    }
}

/// Runs what the test gives it.
struct Scripted: Application {
    var start: (@Sendable (Data, ContextState) throws -> Void)?
    var body: @Sendable (Call, ContextState) throws -> Data = { _, _ in Data() }
    var look: (@Sendable (String, Data, ContextState) throws -> Data)?

    func initialise(arguments: Data, state: ContextState) throws {
        if let start {
            try start(arguments, state)
        } else {
            try Plain().initialise(arguments: arguments, state: state)
        }
    }

    func execute(_ call: Call, state: ContextState) throws -> Data {
        try body(call, state)
    }

    func query(_ method: String, arguments: Data, state: ContextState) throws -> Data {
        if let look {
            return try look(method, arguments, state)
        }
        return try Plain().query(method, arguments: arguments, state: state)
    }
}

/// An application with nothing but what has to be there.
struct Plain: Application {
    func execute(_ call: Call, state: ContextState) throws -> Data { call.arguments }
}
