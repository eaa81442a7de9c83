// What crossing the border costs from Swift: `border CALLS` prints `figure border.swift.NAME MICROSECONDS`, medians over so many calls on a
// node in memory. The same measurements as in border.c.

import Foundation
import Kith
import KithTesting

struct Echo: Application {
    func execute(_ call: Call, state: ContextState) throws -> Data { call.arguments }

    func query(_ method: String, arguments: Data, state: ContextState) throws -> Data { arguments }
}

func micros(_ duration: Duration) -> Double {
    Double(duration.components.seconds) * 1e6 + Double(duration.components.attoseconds) / 1e12
}

@MainActor func measure(_ name: String, _ calls: Int, _ body: () async throws -> Void) async throws {
    for _ in 0..<(calls / 10 + 1) { try await body() }
    var times: [Double] = []
    let clock = ContinuousClock()
    for _ in 0..<calls {
        let start = clock.now
        try await body()
        times.append(micros(clock.now - start))
    }
    times.sort()
    print("figure border.swift.\(name) \(times[calls / 2])")
}

let calls = Int(CommandLine.arguments[1])!
try await Node.forTests().use { node in
    try node.register(Echo(), as: "echo")
    let context = try await node.createContext()
    let own = try await node.createContext(application: "echo")
    let large = Data(repeating: 7, count: 64 * 1024)
    let small = Data(repeating: 7, count: 100)
    let (smallKey, largeKey) = (StateKey("other", "small"), StateKey("other", "large"))
    let prefix = StateKey.collection("page")
    try await context.put(smallKey, small)
    try await context.put(largeKey, large)
    for number in 0..<100 { try await context.put(StateKey("page", "\(number)"), small) }
    try await measure("get", calls) {
        let value = try await context.get(smallKey)
        precondition(value?.count == 100)
    }
    try await measure("get64k", calls) {
        let value = try await context.get(largeKey)
        precondition(value?.count == large.count)
    }
    try await measure("page", calls / 10) {
        let page = try await context.entries(prefix: prefix, limit: 100)
        precondition(page.count == 100)
    }
    try await measure("host", calls) {
        let answer = try await own.query("echo", Data(count: 32))
        precondition(answer.count == 32)
    }
    try await measure("execute", calls / 10) {
        let receipt = try await own.execute("echo", Data(count: 32))
        precondition(receipt.output.count == 32)
    }
    try await measure("put", calls / 10) { try await context.put(smallKey, small) }
    try await measure("put64k", calls / 10) { try await context.put(largeKey, large) }
    let count = calls / 10
    for _ in 0..<count { try await context.put(smallKey, small) }
    let events = try await context.events(after: 0)
    let clock = ContinuousClock()
    let start = clock.now
    for _ in 0..<count { _ = try await events.next() }
    print("figure border.swift.event \(micros(clock.now - start) / Double(count))")
}
