// The same things again and again, through Swift: memory, threads and file handles stay where they were. `soak ROUNDS`; the closing line has
// the count. A program and no test: tests run side by side, and would be counted too.

import Foundation
import Glibc
import Kith
import KithTesting

struct Soaked: Error {}

/// What the allocator has given and not got back, in bytes. Its header is not in Swift's module of glibc.
func allocatedBytes() throws -> Int {
    typealias Info = @convention(c) (Int32, UnsafeMutablePointer<FILE>) -> Int32
    guard let symbol = dlsym(nil, "malloc_info") else { throw Soaked() }
    var (text, length): (UnsafeMutablePointer<CChar>?, Int) = (nil, 0)
    guard let stream = open_memstream(&text, &length) else { throw Soaked() }
    let outcome = unsafeBitCast(symbol, to: Info.self)(0, stream)
    fclose(stream)
    defer { free(text) }
    guard outcome == 0, let text else { throw Soaked() }
    // Behind the last heap: the sums of all.
    let sums = String(cString: text).components(separatedBy: "</heap>").last ?? ""
    func sum(_ name: String) throws -> Int {
        let found = sums.firstRange(of: try Regex("<\(name)[^>]* size=\"[0-9]+\""))
        let digits = found.map { sums[$0].split(separator: "\"").last ?? "" } ?? ""
        guard let bytes = Int(digits) else { throw Soaked() }
        return bytes
    }
    let taken = try sum("system type=\"current\"") + sum("total type=\"mmap\"")
    return try taken - sum("total type=\"fast\"") - sum("total type=\"rest\"")
}

/// What this process uses now; of memory what is allocated and not freed, by all threads.
struct Usage {
    let allocated: Int
    let handles: Int
    let threads: Int

    static func now() throws -> Usage {
        let files = FileManager.default
        return Usage(
            allocated: try allocatedBytes(), handles: try files.contentsOfDirectory(atPath: "/proc/self/fd").count,
            threads: try files.contentsOfDirectory(atPath: "/proc/self/task").count)
    }
}

/// What may stay however often something was done: what pools and caches keep for later.
let slack = 512 << 10
let rounds = Int(CommandLine.arguments[1])!

/// Does something so often, and then again; the second time may add nothing but `each` bytes a round.
@MainActor func steady(_ what: String, _ count: Int, each: Int = 10, _ body: (Int) async throws -> Void) async throws {
    for number in 0..<max(count / 4, 100) { try await body(number) }
    let before = try Usage.now()
    for number in 0..<count { try await body(number) }
    // What is let go of may take a moment to be gone.
    var now = try Usage.now()
    var looks = 0
    while looks < 100, now.allocated - before.allocated > slack + count * each || now.handles > before.handles + 3 {
        try await Task.sleep(for: .milliseconds(100))
        now = try Usage.now()
        looks += 1
    }
    print(
        "\(count) \(what): memory \((now.allocated - before.allocated) / 1024) KiB, handles \(before.handles) to \(now.handles), "
            + "threads \(before.threads) to \(now.threads)")
    guard now.allocated - before.allocated <= slack + count * each, now.handles <= before.handles + 3,
        now.threads <= before.threads + 16
    else { throw Soaked() }
}

/// Refuses half of what it is asked.
struct Picky: Application {
    func execute(_ call: Call, state: ContextState) throws -> Data {
        try state.put(StateKey("test", "seen"), state.get(StateKey("test", "seen")) ?? Data())
        if call.method == "refuse" { throw Soaked() }
        return call.arguments
    }

    func query(_ method: String, arguments: Data, state: ContextState) throws -> Data { arguments }
}

nonisolated(unsafe) var kept: [UnsafeMutableRawPointer] = []
var (passed, failed) = (0, 0)

@MainActor func check(_ name: String, _ body: () async throws -> Void) async {
    do {
        try await body()
        passed += 1
    } catch {
        print("FAILED \(name): \(error)")
        failed += 1
    }
}

await check("what stays is seen") {
    do {
        try await steady("leaks of 1 KiB", 1000) { _ in
            kept.append(UnsafeMutableRawPointer.allocate(byteCount: 1 << 10, alignment: 16))
        }
    } catch is Soaked {
        for leak in kept { leak.deallocate() }
        return
    }
    throw KithError.internal("a leak was not seen")
}

try await Node.forTests().use { node in
    try node.register(Picky(), as: "picky")
    let context = try await node.createContext()
    let picky = try await node.createContext(application: "picky")
    let key = StateKey("test", "one")
    try await context.put(key, Data(count: 1000))
    await check("calls") {
        try await steady("calls", rounds) { _ in
            guard try await context.get(key)?.count == 1000, try await context.entries().count == 1,
                try node.context(context.id) == context
            else { throw Soaked() }
            do { try await context.compareAndSet(key, expected: nil, value: Data()) } catch KithError.rejected {}
        }
    }
    await check("subscriptions") {
        try await steady("subscriptions", rounds) { _ in _ = try await context.events() }
    }
    await check("rounds with an application") {
        try await steady("rounds with an application", rounds) { _ in
            do { _ = try await picky.execute("refuse", Data(count: 100)) } catch KithError.rejected {}
            _ = try await picky.query("ask", Data(count: 100))
        }
    }
    await check("cancelled waits") {
        let events = try await context.events()
        try await steady("cancelled waits", rounds) { _ in
            let waiting = Task { try await events.next() }
            waiting.cancel()
            _ = await waiting.result
        }
    }
    await check("cancelled calls") {
        try await steady("cancelled calls", rounds) { number in
            let call = Task { try await context.get(key) }
            // Some at once, some when their answer is there or on its way.
            for _ in 0..<(number % 8) { await Task.yield() }
            call.cancel()
            _ = await call.result
        }
    }
}
await check("nodes") {
    // Each takes milliseconds; the short form is no measure of them.
    try await steady("nodes opened and closed", rounds < 100_000 ? 20 : rounds) { _ in
        try await Node.forTests(in: Hub()).use { _ = try await $0.createContext() }
    }
}
print("\(passed) passed, \(failed) failed")
exit(failed == 0 ? 0 : 1)
