import Foundation
import Kith

/// Counts how often the order has moved.
private actor Moves {
    private(set) var count = 0

    func one() { count += 1 }
}

private func say(_ words: Any...) {
    let line = words.map { "\($0)" }.joined(separator: " ")
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

/// `swift run board DIRECTORY` is told on standard input what to do, line by line; the program in Rust
/// (examples/rust/src/bin/board.rs) says what, and what it answers.
@main
struct Program {
    private let node: Node
    private var entered: Context?
    private var watcher: Task<Void, any Error>?
    private let moves = Moves()

    static func main() async throws {
        guard CommandLine.arguments.count == 2 else {
            FileHandle.standardError.write(Data("usage: board DIRECTORY\n".utf8))
            exit(1)
        }
        let listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"]
        let directory = URL(fileURLWithPath: CommandLine.arguments[1], isDirectory: true)
        try await Node.with(at: directory, .init(listen: listen, discovery: false)) { node in
            try node.register(Board(), as: "board")
            var program = Program(node: node)
            for await line in typedLines() {
                let words = line.split(separator: " ", maxSplits: 1)
                let (command, argument) = (words.first ?? "", words.count > 1 ? words[1] : "")
                if command == "quit" { break }
                do {
                    try await program.obey(command, argument)
                } catch let error as KithError {
                    let kind = "\(error.kind)"
                    say("error", kind.prefix(1).uppercased() + kind.dropFirst(), error.message)
                }
            }
            program.watcher?.cancel()
        }
    }

    private func context() throws -> Context {
        guard let entered else {
            throw KithError.invalidArgument("there is no context: create NAME or join TOKEN")
        }
        return entered
    }

    private mutating func enter(_ context: Context) {
        say("context", hex(context.id))
        entered = context
        watcher = Task { [moves] in
            for try await event in try await context.events(after: 0) {
                if case .reordered = event.kind { await moves.one() }
            }
        }
    }

    private mutating func obey(_ command: Substring, _ argument: Substring) async throws {
        let words = argument.split(separator: " ", maxSplits: 1)
        let method = String(words.first ?? "")
        func arguments() throws -> Data {
            guard let data = bytes(hex: words.count > 1 ? words[1] : "") else {
                throw KithError.invalidArgument("the arguments are not hexadecimal")
            }
            return data
        }
        switch command {
        case "create": enter(try await node.createContext(application: "board", name: String(argument)))
        case "join": enter(try await node.join(String(argument)))
        case "open":
            guard let first = try node.contexts().first else { throw KithError.notFound("no context is kept here") }
            enter(try node.context(first.id))
        case "invite": say("token", try await context().invite())
        case "me": say("member", hex(try context().me))
        case "call": say("ok", hex(try await context().execute(method, arguments()).output))
        case "query": say("ok", hex(try await context().query(method, arguments())))
        case "synced":
            try await context().waitSynced()
            say("ok")
        case "commitment":
            let status = try await context().status()
            say("commitment", hex(status.commitment), hex(status.digest))
        case "history": try await history()
        case "cells":
            for try await entry in try context().allEntries() { say("entry", entry.key, hex(entry.value)) }
            say("end")
        default: throw KithError.invalidArgument("no such command: \(command)")
        }
    }

    private func history() async throws {
        var page = try await context().history()
        while let last = page.last {
            for transaction in page {
                let outcome =
                    switch transaction.outcome {
                    case .pending: "pending"
                    case .accepted: "accepted"
                    case .rejected: "rejected"
                    }
                say("transaction", hex(transaction.id), outcome)
            }
            page = try await context().history(after: last.place)
        }
        say("moved", await moves.count)
    }
}

/// The lines that come in. A thread of its own waits for them, so that no task has to.
private func typedLines() -> AsyncStream<String> {
    AsyncStream { continuation in
        Thread.detachNewThread {
            while let line = readLine() { continuation.yield(line) }
            continuation.finish()
        }
    }
}
