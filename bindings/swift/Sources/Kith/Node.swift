import Foundation
package import KithNative

/// A node: a store, an endpoint in the network, and any number of contexts.
///
/// ``with(at:_:isolation:_:)`` opens one and shuts it down at the end. A node that is let go of without a shutdown closes by itself, a
/// little later.
public final class Node: Sendable {
    /// What a node is opened with.
    public struct Configuration: Sendable {
        /// Multiaddresses to listen on (`/ip4/127.0.0.1/tcp/0`; port 0: the system chooses); `nil`: all addresses of this machine.
        public var listen: [String]?
        /// Peers to connect to, as multiaddresses with `/p2p/…`.
        public var bootstrap: [String]
        /// Relays to be reached through, as multiaddresses with `/p2p/…`; at most 4.
        ///
        /// ``NodeStatus/relays`` says how it stands with them. A relay sees neither contexts nor what is said.
        public var relays: [String]
        /// Whether others are dialled through relays; always where ``relays`` are named.
        public var throughRelays: Bool
        /// Whether a direct connection is tried where a link goes through a relay.
        public var holePunching: Bool
        /// Whether peers are asked which of the node's addresses they reach, so that others are told of these.
        public var autonat: Bool
        /// Whether contexts with more than 8 members gossip. Without it they are in step a few seconds later.
        public var gossip: Bool
        /// Whether to find peers in the local network, and be found.
        public var discovery: Bool
        /// Whether what was acknowledged survives the loss of power, or only the death of the process.
        public var durability: Durability
        /// How many batches of events are kept; `nil`: the default.
        public var eventRetention: Int?
        /// The engine that keeps the directory. A directory of another engine is `KithError.invalidArgument`.
        public var storage: StorageEngine
        /// What everything in the directory is sealed under; another one, or none, is `KithError.keyRequired` from then on. `nil`: a
        /// key file beside the store, and ``NodeStatus/hasKeyFile`` says so.
        public var storageKey: StorageKey?

        package var hub: KithNative.Hub?

        /// The defaults, but for what is given.
        public init(
            listen: [String]? = nil, bootstrap: [String] = [], relays: [String] = [], throughRelays: Bool = true,
            holePunching: Bool = true, autonat: Bool = true, gossip: Bool = true, discovery: Bool = true,
            durability: Durability = .power, eventRetention: Int? = nil,
            storage: StorageEngine = .auto, storageKey: StorageKey? = nil
        ) {
            (self.listen, self.bootstrap, self.relays, self.discovery) = (listen, bootstrap, relays, discovery)
            (self.throughRelays, self.holePunching) = (throughRelays, holePunching)
            (self.autonat, self.gossip) = (autonat, gossip)
            (self.durability, self.eventRetention) = (durability, eventRetention)
            (self.storage, self.storageKey) = (storage, storageKey)
        }

        fileprivate func native(path: String?) throws -> NodeOptions {
            let retention = try eventRetention.map { number in
                guard let retention = UInt64(exactly: number) else {
                    throw KithError.invalidArgument("eventRetention is \(number)")
                }
                return retention
            }
            return NodeOptions(
                path: path, listen: listen, bootstrap: bootstrap, discovery: discovery, relays: relays,
                throughRelays: throughRelays, holePunching: holePunching, autonat: autonat, gossip: gossip,
                durability: durability.rawValue, eventRetention: retention, storage: storage.rawValue,
                storageKey: storageKey?.native, hub: hub)
        }
    }

    let native: KithNative.Node

    private init(native: KithNative.Node) {
        self.native = native
    }

    /// The version of the package, which is the version of its library.
    public static let version = packageVersion

    /// The directory for the node of a program of this name on this system. Nothing is made there.
    ///
    /// Linux and other Unix: `$XDG_DATA_HOME/NAME`, else `~/.local/share/NAME`. macOS: `~/Library/Application Support/NAME`. iOS has
    /// none: `KithError.unsupported`; use a folder of the program's own (`URL.applicationSupportDirectory`).
    public static func defaultDirectory(for name: String) throws -> URL {
        try translated { URL(fileURLWithPath: try KithNative.defaultDirectory(name: name), isDirectory: true) }
    }

    /// Opens a node in a directory, which is made if it does not exist.
    ///
    /// A directory that another node has open is `KithError.busy` at once. Cancelling drops the node once it is open.
    public static func open(at directory: URL, _ configuration: Configuration = Configuration()) async throws -> Node {
        guard directory.isFileURL else {
            throw KithError.invalidArgument("\(directory) is no directory")
        }
        return try await open(path: directory.path, configuration)
    }

    /// Opens a node that keeps everything in memory.
    public static func inMemory(_ configuration: Configuration = Configuration()) async throws -> Node {
        try await open(path: nil, configuration)
    }

    private static func open(path: String?, _ configuration: Configuration) async throws -> Node {
        try check(library: KithNative.version())
        let options = try configuration.native(path: path)
        return Node(native: try await translated { try await KithNative.Node.open(options: options) })
    }

    /// Refuses a library of another version.
    static func check(library: String) throws {
        if library != packageVersion {
            throw KithError.versionMismatch("the package is Kith \(packageVersion), but its library is \(library)")
        }
    }

    /// Opens a node, and shuts it down when the body has returned or thrown.
    public static func with<Answer: Sendable>(
        at directory: URL, _ configuration: Configuration = Configuration(),
        isolation: isolated (any Actor)? = #isolation, _ body: (Node) async throws -> Answer
    ) async throws -> Answer {
        try await open(at: directory, configuration).use(body)
    }

    /// Shuts this node down when the body has returned or thrown.
    public func use<Answer: Sendable>(
        isolation: isolated (any Actor)? = #isolation, _ body: (Node) async throws -> Answer
    ) async throws -> Answer {
        let answer: Answer
        do {
            answer = try await body(self)
        } catch {
            // What the body threw is the reason that matters.
            try? await shutdown()
            throw error
        }
        try await shutdown()
        return answer
    }

    /// The node's id in the network.
    public var id: String { native.id() }

    /// Where the node listens: multiaddresses with `/p2p/…`.
    public var addresses: [String] { native.addresses() }

    /// How it stands with the node and the peers that it knows.
    public func status() async throws -> NodeStatus {
        NodeStatus(native: try await translated { try await native.status() })
    }

    /// Registers an application of the host's own. Contexts of that application that wait for it begin to execute.
    public func register(_ application: any Application, as name: String) throws {
        try translated { try native.register(name: name, application: Hosted(application)) }
    }

    /// Creates a context with this node as its first member and admin. `name` is what people call it.
    ///
    /// `encryption` is how what is written is sealed, for good. Cancelling lets it finish in the background: see ``contexts()``.
    public func createContext(
        application: String = "kv", arguments: Data = Data(), name: String = "", encryption: Encryption = .x25519
    ) async throws -> Context {
        let made = try await translated {
            try await native.createContext(
                application: application, arguments: arguments, name: name, encryption: encryption.rawValue)
        }
        return Context(native: made)
    }

    /// Reads an invitation. Joins nothing.
    public func inspect(_ invitation: String) throws -> InvitationInfo {
        try translated { try InvitationInfo(native: native.inspect(invitation: invitation)) }
    }

    /// Reads an invitation. Joins nothing.
    public func inspect(_ invitation: Invitation) throws -> InvitationInfo {
        try inspect(invitation.text)
    }

    /// Joins a context, and returns once this node is a member and has caught up.
    ///
    /// If that fails, nothing of the context stays. `onProgress` is told the numbers of transactions received and expected, on a thread
    /// of the node's own; it must not block, and calls of this library from there are `KithError.unsupported`. Cancelling gives
    /// the joining up: nothing of the context stays. One that a shutdown interrupts goes on when the node is opened again: the
    /// context is in ``contexts()`` with `isJoining` set, and its `leave` gives it up and deletes it.
    public func join(
        _ invitation: String, timeout: Duration = .seconds(60),
        onProgress: (@Sendable (_ done: Int, _ total: Int) -> Void)? = nil
    ) async throws -> Context {
        let timeout = try milliseconds(timeout, "timeout")
        let progress = onProgress.map(Progress.init)
        let joined = try await translated {
            try await native.join(invitation: invitation, timeoutMs: timeout, progress: progress)
        }
        return Context(native: joined)
    }

    /// Joins a context; like `join` with the text of an invitation.
    public func join(
        _ invitation: Invitation, timeout: Duration = .seconds(60),
        onProgress: (@Sendable (_ done: Int, _ total: Int) -> Void)? = nil
    ) async throws -> Context {
        try await join(invitation.text, timeout: timeout, onProgress: onProgress)
    }

    /// The contexts that this node holds.
    public func contexts() throws -> [ContextInfo] {
        try translated { try native.contexts().map(ContextInfo.init(native:)) }
    }

    /// A context that this node holds; `KithError.notFound` if it does not.
    public func context(_ id: Data) throws -> Context {
        let id = try identifier(id, "a context id")
        return try translated { Context(native: try native.context(id: id)) }
    }

    /// Connects to a peer by a multiaddress with `/p2p/…`, and keeps it connected from then on.
    public func connect(to address: String) async throws {
        try await translated { try await native.connect(address: address) }
    }

    /// Closes the node: finishes what was begun, closes connections and the store, releases files. Twice is fine.
    ///
    /// It does so in a cancelled task too: this does not throw `CancellationError`, but waits.
    public func shutdown() async throws {
        try Callback.refuse()
        let native = native
        try await Task { try await translated { try await native.shutdown() } }.value
    }

    // MARK: Rest

    /// Puts the node to rest, for systems that stop apps in the background.
    ///
    /// Finishes what was begun, closes connections, sockets and the store, and gives back its files and their locks, so that another
    /// process may open the directory. Handles stay good and streams of events wait. Until ``resume()``, calls that need the store or the
    /// network are `KithError.closed`; ``contexts()``, ``status()`` and what handles know by themselves go on. Twice is fine. A node
    /// without a directory keeps its store in memory.
    ///
    /// `KithError.timeout` if that is not done within the deadline, since an application does not return from a call: it goes on in the
    /// background. It does so in a cancelled task too: this does not throw `CancellationError`, but waits. `KithError.storage` if the store
    /// cannot be closed in order: the node is suspended all the same, and resuming opens the store anew.
    public func suspend(deadline: Duration) async throws {
        try Callback.refuse()
        let deadline = try milliseconds(deadline, "deadline")
        let native = native
        try await Task { try await translated { try await native.suspend(deadlineMs: deadline) } }.value
    }

    /// Takes a suspended node up again.
    ///
    /// Opens the store, listens at the ports from before where they are free, and dials the known peers. A directory that another process
    /// has open by now is `KithError.busy`, and the node stays suspended. Of a node that is not suspended nothing changes. Cancelling lets
    /// it finish in the background.
    public func resume() async throws {
        try await translated { try await native.resume() }
    }

    /// Whether the node is suspended, or is being so. Also true once it is shut down.
    public var isSuspended: Bool { native.isSuspended() }

    /// Catches up, for the short times in which systems let apps run in the background.
    ///
    /// Dials all known members' nodes at once, and returns when every context is in step with those that are reached, when nobody is
    /// reached, or when the budget (at most a day) is used up. A suspended node is resumed for it and suspended again, which may take up to
    /// 10 s more; an error of that is thrown, its text says how far the round had come, and what is there the next one tells. Cancelling
    /// lets it finish in the background.
    public func syncOnce(budget: Duration) async throws -> SyncReport {
        let budget = try milliseconds(budget, "budget")
        return SyncReport(native: try await translated { try await native.syncOnce(budgetMs: budget) })
    }
}

extension Node: Identifiable, CustomStringConvertible {
    /// For logs.
    public var description: String { "Node(\(id))" }
}

private final class Progress: JoinProgress {
    private let told: @Sendable (Int, Int) -> Void

    init(_ told: @escaping @Sendable (Int, Int) -> Void) {
        self.told = told
    }

    func progress(done: UInt64, total: UInt64) throws {
        Callback.$name.withValue("a progress callback") {
            told(Int(clamping: done), Int(clamping: total))
        }
    }
}
