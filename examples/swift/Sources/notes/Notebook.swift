import Foundation
import Kith

/// A notebook: a context whose entries are notes.
///
/// A note lies under the key of its title in the collection "notes"; its value is the title, a line's end, and the text. The
/// programs in the other languages keep it in the same way, so that they share notebooks.
struct Notebook {
    private let node: Node
    private var context: Context?
    private var watching: Task<Void, any Error>?

    init(node: Node) throws {
        self.node = node
        context = try node.contexts().first.map { try node.context($0.id) }
    }

    /// Carries out a command; whether there is such a one.
    mutating func carryOut(_ command: String, _ argument: String) async throws -> Bool {
        switch command {
        case "create": try await create(argument)
        case "join": try await join(argument)
        case "invite", "write", "read", "list", "watch", "members", "name", "remove", "leave", "status":
            guard let context else {
                say("there is no notebook yet: create NAME or join TOKEN")
                return true
            }
            try await carryOut(command, argument, in: context)
        default: return false
        }
        return true
    }

    private mutating func carryOut(_ command: String, _ argument: String, in context: Context) async throws {
        switch command {
        case "invite": try await invite(argument, to: context)
        case "write": try await write(argument, to: context)
        case "read": try await read(argument, from: context)
        case "list": try await list(context)
        case "watch": try await watch(context)
        case "members": try await listMembers(of: context)
        case "name":
            try await context.setDisplayName(argument)
            say("named")
        case "remove": try await remove(argument, from: context)
        case "leave":
            try await context.leave()
            self.context = nil
            say("left")
        default: try await showStatus(of: context)
        }
    }

    private mutating func create(_ name: String) async throws {
        context = try await node.createContext(name: name)
        say("created")
    }

    private mutating func join(_ token: String) async throws {
        let terminal = isatty(STDERR_FILENO) == 1
        defer { if terminal { FileHandle.standardError.write(Data("\n".utf8)) } }
        let joined = try await node.join(token, onProgress: terminal ? showProgress : nil)
        context = joined
        say("joined \(shown(joined.name))")
    }

    private func invite(_ word: String, to context: Context) async throws {
        guard let role = word.isEmpty ? .writer : Role(rawValue: word) else {
            return say("a role is admin, writer or reader")
        }
        let invitation = try await context.invite(role: role)
        if isatty(STDOUT_FILENO) == 1 {
            // White on black, whatever the colours of the terminal are.
            for line in try invitation.qrText().split(separator: "\n") {
                say("\u{1b}[97;40m\(line)\u{1b}[0m")
            }
        }
        say("token \(invitation)")
    }

    private func write(_ argument: String, to context: Context) async throws {
        let (title, text) = split(argument)
        guard !title.isEmpty, !text.isEmpty else { return say("write TITLE TEXT") }
        try await context.put(StateKey("notes", title), Data("\(title)\n\(text)".utf8))
        say("written")
    }

    private func read(_ title: String, from context: Context) async throws {
        guard let note = try await context.get(StateKey("notes", title)) else {
            throw KithError.notFound("there is no such note")
        }
        say(shown(note.split(separator: UInt8(ascii: "\n"), maxSplits: 1).last ?? Data()))
    }

    private func list(_ context: Context) async throws {
        for try await entry in context.allEntries(prefix: StateKey.collection("notes")) {
            say(shown(entry.value.prefix { $0 != UInt8(ascii: "\n") }))
        }
    }

    private mutating func watch(_ context: Context) async throws {
        watching?.cancel()
        let events = try await context.events()
        watching = Task {
            for try await event in events {
                if let words = words(for: event.kind) { say("* \(shown(words))") }
            }
        }
    }

    private func listMembers(of context: Context) async throws {
        for member in try await context.members() {
            let you = member.id == context.me ? " (you)" : ""
            say("\(hexadecimal(member.id).prefix(8)) \(member.role.rawValue) \(shown(member.name))\(you)")
        }
    }

    private func remove(_ who: String, from context: Context) async throws {
        let meant = try await context.members().filter {
            !who.isEmpty && (hexadecimal($0.id).hasPrefix(who) || $0.name == who)
        }
        guard meant.count == 1 else { return say("\(meant.count) members are meant") }
        try await context.remove(meant[0].id)
        say("removed")
    }

    private func showStatus(of context: Context) async throws {
        let status = try await context.status()
        let peers = status.peers.map {
            "{\"peer\": \"\($0.peer)\", \"equal\": \($0.isEqual), \"lacking\": \($0.lacking), \"lacks\": \($0.lacks)}"
        }
        say(
            "{\"transactions\": \(status.transactions), \"commitment\": \"\(hexadecimal(status.commitment))\", "
                + "\"peers\": [\(peers.joined(separator: ", "))]}")
    }

    func close() {
        watching?.cancel()
    }
}

private func words(for event: Event.Kind) -> String? {
    switch event {
    case .changed: "notes changed"
    case .memberJoined: "somebody joined"
    case .memberLeft: "somebody left"
    case .memberRemoved: "somebody was removed"
    case .roleChanged: "a role changed"
    case .renamed(_, let name): "a new name: \(name)"
    case .peerConnected(let peer, _): "connected: \(peer)"
    case .peerDisconnected(let peer, _): "disconnected: \(peer)"
    case .rejected(_, let reason): "does not count: \(reason)"
    case .closed(let reason): "closed: \(reason)"
    case .blocked(let cause): "stands still: \(cause)"
    case .equivocation: "two histories"
    default: nil
    }
}
