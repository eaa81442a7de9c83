import Foundation
public import Kith
internal import class KithNative.ApplicationBench
internal import class KithNative.Hub

/// A place in the memory of this process where nodes meet: no sockets, and links that a test can break.
public final class Hub: Sendable {
    fileprivate let native = KithNative.Hub()

    fileprivate static let everybody = Hub()

    /// An empty one.
    public init() {}

    /// Breaks the link between two nodes and keeps them apart until ``heal(_:_:)``.
    public func partition(_ one: Node, _ other: Node) throws {
        try translated { try native.partition(one: one.id, other: other.id) }
    }

    /// Lets two nodes meet again; they do so by themselves.
    public func heal(_ one: Node, _ other: Node) throws {
        try translated { try native.heal(one: one.id, other: other.id) }
    }
}

extension Node {
    /// A node that keeps everything in memory and meets the others of its hub; without one, all such nodes of the process.
    public static func forTests(in hub: Hub? = nil, eventRetention: Int? = nil) async throws -> Node {
        var configuration = Configuration(discovery: false, eventRetention: eventRetention)
        configuration.hub = (hub ?? .everybody).native
        return try await inMemory(configuration)
    }
}

/// Two nodes in memory, shut down at the end. They meet when one joins a context of the other.
public func withTwoNodes<Answer: Sendable>(
    in hub: Hub? = nil, isolation: isolated (any Actor)? = #isolation,
    _ body: (_ one: Node, _ other: Node) async throws -> Answer
) async throws -> Answer {
    try await Node.forTests(in: hub).use { one in
        try await Node.forTests(in: hub).use { other in
            try await body(one, other)
        }
    }
}

/// A context of a first node that a second one has joined, as both hold it: the first is its admin.
///
/// `applications` are what the nodes register under the name first, one each.
public func withTwoMembers<Answer: Sendable>(
    application: String = "kv", applications: (any Application, any Application)? = nil, in hub: Hub? = nil,
    isolation: isolated (any Actor)? = #isolation, _ body: (_ mine: Context, _ theirs: Context) async throws -> Answer
) async throws -> Answer {
    try await withTwoNodes(in: hub) { one, other in
        if let applications {
            try one.register(applications.0, as: application)
            try other.register(applications.1, as: application)
        }
        let mine = try await one.createContext(application: application)
        let theirs = try await other.join(try await mine.invite())
        return try await body(mine, theirs)
    }
}

/// Runs one application's calls on a state in memory, through the same border as a node does.
///
/// A rejected call throws `KithError.rejected` and writes nothing; a local fault throws `KithError.blocked`.
public final class ApplicationBench: Sendable {
    private let native: KithNative.ApplicationBench

    /// Sets the application up in an empty state.
    public init(_ application: any Application, arguments: Data = Data()) throws {
        native = try translated {
            try KithNative.ApplicationBench(application: Hosted(application), arguments: arguments)
        }
    }

    /// Executes a call; the application's answer.
    public func execute(
        _ method: String, _ arguments: Data = Data(), member: Data = Data(repeating: 1, count: 32),
        role: Role = .writer, timestamp: UInt64 = 0
    ) throws -> Data {
        try translated {
            try native.execute(
                method: method, arguments: arguments, member: member, role: role.rawValue, timestamp: timestamp)
        }
    }

    /// Answers a read-only call.
    public func query(_ method: String, _ arguments: Data = Data()) throws -> Data {
        try translated { try native.query(method: method, arguments: arguments) }
    }

    /// The whole state, in key order.
    public func entries() -> [Kith.Entry] {
        native.entries().map(Kith.Entry.init(native:))
    }

    /// The names of the messages that accepted calls have emitted.
    public func emitted() -> [String] { native.emitted() }
}
