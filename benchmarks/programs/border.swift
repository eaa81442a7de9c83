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

typealias Body = () async throws -> Void

@MainActor func timed(_ body: Body) async throws -> Double {
    let clock = ContinuousClock()
    let start = clock.now
    try await body()
    return micros(clock.now - start)
}

func tell(_ name: String, _ times: [Double]) {
    print("figure border.swift.\(name) \(times.sorted()[times.count / 2])")
}

@MainActor func measure(_ name: String, _ calls: Int, _ body: Body) async throws {
    for _ in 0..<(calls / 10 + 1) { try await body() }
    var times: [Double] = []
    for _ in 0..<calls { times.append(try await timed(body)) }
    tell(name, times)
}

/// Two in turns: what is compared meets the same machine.
@MainActor func compare(_ name: String, _ other: String, _ calls: Int, _ body: Body, _ otherBody: Body) async throws {
    for _ in 0..<(calls / 10 + 1) {
        try await body()
        try await otherBody()
    }
    var (times, others): ([Double], [Double]) = ([], [])
    for _ in 0..<calls {
        times.append(try await timed(body))
        others.append(try await timed(otherBody))
    }
    tell(name, times)
    tell(other, others)
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
    try await compare("get", "get64k", calls) {
        let value = try await context.get(smallKey)
        precondition(value?.count == 100)
    } _: {
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
    try await compare("put", "put64k", calls / 10) {
        try await context.put(smallKey, small)
    } _: {
        try await context.put(largeKey, large)
    }
    let count = calls / 10
    for _ in 0..<count { try await context.put(smallKey, small) }
    let events = try await context.events(after: 0)
    let clock = ContinuousClock()
    let start = clock.now
    for _ in 0..<count { _ = try await events.next() }
    print("figure border.swift.event \(micros(clock.now - start) / Double(count))")
}
