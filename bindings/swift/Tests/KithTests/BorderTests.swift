import Foundation
import Testing

import Kith
import KithTesting

#if canImport(Glibc)
import Glibc
#endif

/// What docs/border.md says.
@Suite struct BorderTests {
    @Test func threadsThatEndLeaveNothingAndWhatTheyBeganIsFinished() async throws {
        try await withTwoNodes { node, _ in
            let context = try await node.createContext()
            let ended = Shared(0)
            for _ in 0..<16 {
                Thread.detachNewThread {
                    // Begun, and the thread does not wait for it; and a failure, whose words end with the thread.
                    Task { try await context.add(key("n"), 1) }
                    #expect(throws: KithError.self) { _ = try Invitation("none") }
                    ended.change { $0 += 1 }
                    Thread.exit()
                }
            }
            try await eventually("all have written") { try await context.add(key("n"), 0) == 16 }
            #expect(ended.value == 16)
        }
    }

    @Test func manyNodesInOneProcessHaveNothingInCommon() async throws {
        var held: [(node: Node, context: Context)] = []
        for number in 0..<8 {
            let node = try await Node.forTests(in: Hub())
            let context = try await node.createContext()
            try await context.put(key("x"), bytes("\(number)"))
            held.append((node, context))
        }
        for number in stride(from: 0, to: 8, by: 2) {
            try await held[number].node.shutdown()
        }
        for (number, one) in held.enumerated() {
            if number % 2 == 1 {
                #expect(try await one.context.get(key("x")) == bytes("\(number)"))
                try await one.node.shutdown()
            } else {
                await expect(.closed) { _ = try await one.context.get(key("x")) }
            }
        }
    }

    #if canImport(Glibc)
    /// Only calls that do not wait are made there: Swift's tasks have no threads in a forked process.
    @Test func aForkedProcessHasNoNodeAndHarmsNone() async throws {
        try await withDirectory { directory in
            try await Node.with(at: directory, here) { node in
                let context = try await node.createContext()
                try await context.put(key("x"), bytes("before"))
                for _ in 0..<5 {
                    let (said, child) = try whatAForkedProcessSays {
                        do { _ = try node.contexts() } catch KithError.unsupported { return 1 } catch { return 2 }
                        return 0
                    }
                    try await context.put(key("x"), bytes("after"))
                    #expect(said == Data([1]))
                    #expect(waitpid(child, nil, 0) == child)
                }
            }
            try await Node.with(at: directory, here) { node in
                let held = try node.contexts().map(\.id)
                #expect(try await node.context(held[0]).get(key("x")) == bytes("after"))
            }
        }
    }

    /// The number that the body gives in a forked process, which ends by SIGKILL: nothing of Swift's is tidied up there.
    private func whatAForkedProcessSays(_ body: () -> UInt8) throws -> (said: Data, child: pid_t) {
        let pipe = Pipe()
        let (reading, writing) = (pipe.fileHandleForReading, pipe.fileHandleForWriting)
        let child = fork()
        if child == 0 {
            alarm(30) // one that hangs ends all the same, and has said nothing
            var said = body()
            write(writing.fileDescriptor, &said, 1)
            kill(getpid(), SIGKILL)
        }
        try writing.close()
        return (try reading.readToEnd() ?? Data(), child)
    }
    #endif
}
