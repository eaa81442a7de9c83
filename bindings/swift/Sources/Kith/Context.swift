import Foundation
internal import KithNative

/// One operation of ``Context/batch(_:)``.
public enum BatchOperation: Hashable, Sendable {
    /// Sets a key to a value.
    case put(StateKey, Data)
    /// Removes a key.
    case delete(StateKey)
    /// Adds to a counter.
    case add(StateKey, Int64)
    /// Sets or removes a key if its value is the expected one; else the whole batch is rejected. `nil` stands for absence.
    case compareAndSet(StateKey, expected: Data?, value: Data?)
    /// Appends to a value.
    case append(StateKey, Data)

    fileprivate var native: KithNative.Operation {
        switch self {
        case .put(let key, let value): .put(key: key.data, value: value)
        case .delete(let key): .delete(key: key.data)
        case .add(let key, let number): .add(key: key.data, number: number)
        case .compareAndSet(let key, let expected, let value):
            .compareAndSet(key: key.data, expected: expected, value: value)
        case .append(let key, let data): .append(key: key.data, bytes: data)
        }
    }
}

/// An application's state that its members share.
///
/// Methods that write return once what they wrote is durable and on its way. They throw `CancellationError` when their task is
/// cancelled: a task that was cancelled before writes nothing, and a write that has begun is finished in the background, whole:
/// whether it still happens is known by looking. Cancelling one that reads or waits drops it. Handles are cheap and hold nothing
/// open: the context lives with its node. After the node's shutdown every method throws `KithError.closed`, and so do those that need
/// the store while the node is suspended.
public final class Context: Sendable {
    private let native: KithNative.Context

    init(native: KithNative.Context) {
        self.native = native
    }

    /// The context's id: 32 bytes.
    public var id: Data { native.id() }

    /// This node's member in the context: 32 bytes.
    public var me: Data { native.me() }

    /// This node's role; `nil` if it is no member (yet, or any more).
    public var role: Role? { native.role().flatMap(Role.init(rawValue:)) }

    /// The name of the application.
    public var application: String { native.application() }

    /// What the context is called.
    public var name: String { native.name() }

    // MARK: Calls

    /// Carries out a method call of the application.
    ///
    /// When it returns, the call is executed, durable and on its way to the other members. What the application refuses is
    /// `KithError.rejected`, and is not published.
    public func execute(_ method: String, _ arguments: Data = Data()) async throws -> Receipt {
        let done = try await translated { try await native.execute(method: method, arguments: arguments) }
        return Receipt(transaction: done.transaction, output: done.output)
    }

    /// Answers a read-only call of the application, on this member only.
    public func query(_ method: String, _ arguments: Data = Data()) async throws -> Data {
        try await translated { try await native.query(method: method, arguments: arguments) }
    }

    // MARK: The state

    /// The value under a key.
    public func get(_ key: StateKey, level: Level = .tentative) async throws -> Data? {
        try await translated { try await native.get(key: key.data, isFinal: level == .final) }
    }

    /// A page of entries in key order: those whose keys begin with `prefix` and sort after `after`.
    ///
    /// At most `limit`, 1,000 entries and 1 MiB. A page without entries is the end.
    public func entries(
        prefix: Data = Data(), after: StateKey? = nil, limit: Int = 1000, level: Level = .tentative
    ) async throws -> [Entry] {
        let limit = try pageLimit(limit)
        let page = try await translated {
            try await native.entries(prefix: prefix, after: after?.data, limit: limit, isFinal: level == .final)
        }
        return page.map(Entry.init(native:))
    }

    /// All entries whose keys begin with `prefix`, read page by page. What changes meanwhile may be seen or not.
    public func allEntries(prefix: Data = Data(), level: Level = .tentative) -> Entries {
        Entries(context: self, prefix: prefix, level: level)
    }

    /// Sets a key to a value of at most 1 MiB; the transaction's id. Needs the `kv` application, like the next five.
    @discardableResult
    public func put(_ key: StateKey, _ value: Data) async throws -> Data {
        try await translated { try await native.put(key: key.data, value: value) }
    }

    /// Removes a key; nothing happens if it is absent.
    @discardableResult
    public func delete(_ key: StateKey) async throws -> Data {
        try await translated { try await native.delete(key: key.data) }
    }

    /// Adds to a counter; its new value, which may still move with the order.
    @discardableResult
    public func add(_ key: StateKey, _ number: Int64) async throws -> Int64 {
        try await translated { try await native.add(key: key.data, number: number) }
    }

    /// Sets a key if its value is the expected one; `KithError.rejected` otherwise. `nil` stands for absence.
    @discardableResult
    public func compareAndSet(_ key: StateKey, expected: Data?, value: Data?) async throws -> Data {
        try await translated { try await native.compareAndSet(key: key.data, expected: expected, value: value) }
    }

    /// Appends to a value; the result has at most 1 MiB.
    @discardableResult
    public func append(_ key: StateKey, _ data: Data) async throws -> Data {
        try await translated { try await native.append(key: key.data, bytes: data) }
    }

    /// Carries out several operations, all or none.
    @discardableResult
    public func batch(_ operations: [BatchOperation]) async throws -> Data {
        try await translated { try await native.batch(operations: operations.map(\.native)) }
    }

    // MARK: What happens

    /// The events from now on, or those after a cursor and then from now on (each at least once).
    ///
    /// "Now" is when this returns, so that nothing that is done afterwards is missed. `KithError.cursorExpired` if what followed the
    /// cursor is not kept any more.
    public func events(after cursor: UInt64? = nil) async throws -> Events {
        Events(native: try await translated { try await native.events(after: cursor) })
    }

    /// How it stands with a transaction; `nil` if it is not in the history.
    public func transaction(_ id: Data) async throws -> TransactionInfo? {
        let id = try identifier(id, "a transaction id")
        return try await translated { try await native.transaction(id: id) }.map(TransactionInfo.init(native:))
    }

    /// A page of the order: at most `limit` (and 1,000) transactions after a place (``TransactionInfo/place``).
    public func history(after place: Data? = nil, limit: Int = 1000) async throws -> [TransactionInfo] {
        let limit = try pageLimit(limit)
        return try await translated { try await native.history(after: place, limit: limit) }.map(TransactionInfo.init(native:))
    }

    /// How it stands with the context, peer by peer.
    public func status() async throws -> ContextStatus {
        ContextStatus(native: try await translated { try await native.status() })
    }

    /// The state commitment, 32 bytes: equal on all members that hold the same history.
    ///
    /// It is of the state alone, and may be equal before the histories are: ``ContextStatus/digest`` is of these.
    public func commitment() async throws -> Data {
        try await translated { try await native.commitment() }
    }

    /// Compares everything that is kept of the context with what its history gives, and names the first difference.
    ///
    /// Recomputes the order, every receipt, every value and the state commitment. Nothing is changed. All calls are executed once more,
    /// so it takes as long as executing the history did; other callers of the context wait for a slice of it at most. A record that the
    /// store cannot read is `KithError.corrupt`. Cancelling ends it.
    public func verify() async throws -> Verification {
        try Verification(native: try await translated { try await native.verify() })
    }

    /// Why a key has its value: a page of the calls that wrote it, in order.
    ///
    /// At most `limit` (and 1,000) after a place (``TransactionInfo/place``). Calls that were rejected for what they read of the key are
    /// among them. (Who was not permitted has read nothing; that is in ``history(after:limit:)``.)
    public func explain(_ key: StateKey, after place: Data? = nil, limit: Int = 1000) async throws -> [Explanation] {
        let limit = try pageLimit(limit)
        let page = try await translated { try await native.explain(key: key.data, after: place, limit: limit) }
        return page.map(Explanation.init(native:))
    }

    /// Waits until all that is written here by now is durable with each connected member, and what these held is here.
    ///
    /// `KithError.timeout` otherwise, also where no member is connected. What either side writes meanwhile is not waited for.
    public func waitSynced(timeout: Duration = .seconds(60)) async throws {
        let timeout = try milliseconds(timeout, "timeout")
        try await translated { try await native.waitSynced(timeoutMs: timeout) }
    }

    // MARK: Members

    /// The members.
    public func members() async throws -> [Member] {
        try await translated { try await native.members() }.map(Member.init(native:))
    }

    /// Gives a member another role; the transaction's id.
    ///
    /// Needs an admin; an admin is demoted only by a senior one or by itself.
    @discardableResult
    public func setRole(of member: Data, to role: Role) async throws -> Data {
        let member = try identifier(member, "a member id")
        return try await translated { try await native.setRole(member: member, role: role.rawValue) }
    }

    /// Says what the context is called, in at most 128 bytes; the transaction's id. Needs an admin.
    @discardableResult
    public func setName(_ name: String) async throws -> Data {
        try await translated { try await native.setName(name: name) }
    }

    /// Says what this member calls itself, in at most 128 bytes; empty takes it back. The transaction's id.
    @discardableResult
    public func setDisplayName(_ name: String) async throws -> Data {
        try await translated { try await native.setDisplayName(name: name) }
    }

    /// Removes a member; the transaction's id.
    ///
    /// Needs an admin; an admin is removed only by a senior one. What it wrote and this node has not seen does not count.
    @discardableResult
    public func remove(_ member: Data) async throws -> Data {
        let member = try identifier(member, "a member id")
        return try await translated { try await native.remove(member: member) }
    }

    /// Leaves the context: tells the others and deletes this node's copy.
    ///
    /// If nobody has heard of it within 5 s this returns all the same, and the copy is deleted once somebody has, in 30 days at the
    /// latest. The last admin of a context with other members has to make another one admin first. A context whose joining
    /// has not come to its end is deleted at once.
    public func leave() async throws {
        try await translated { try await native.leave() }
    }

    // MARK: Invitations

    /// Makes an invitation. Needs an admin.
    ///
    /// `expiresIn`: `nil` for no end. `note`: for people, at most 128 bytes.
    public func invite(
        role: Role = .writer, expiresIn: Duration? = .seconds(7 * 24 * 3600), maxUses: Int = 1, note: String = ""
    ) async throws -> Invitation {
        let expires = try expiresIn.map { try milliseconds($0, "expiresIn") }
        guard let uses = UInt32(exactly: maxUses) else {
            throw KithError.invalidArgument("maxUses is \(maxUses)")
        }
        let made = try await translated {
            try await native.invite(role: role.rawValue, expiresInMs: expires, maxUses: uses, note: note)
        }
        return Invitation(native: made)
    }

    /// The invitations of the context.
    public func invitations() async throws -> [IssuedInvitation] {
        try await translated { try await native.invitations() }.map(IssuedInvitation.init(native:))
    }

    /// Takes an invitation back, by its id; the transaction's id.
    ///
    /// Needs an admin. Who joined by it without this having been seen is out.
    @discardableResult
    public func revoke(_ invitation: Data) async throws -> Data {
        let invitation = try identifier(invitation, "an invitation's id")
        return try await translated { try await native.revoke(invitation: invitation) }
    }

    /// Takes an invitation back; the transaction's id.
    @discardableResult
    public func revoke(_ invitation: Invitation) async throws -> Data {
        try await revoke(invitation.id)
    }

    /// Rejects a call for all members, after a local fault that stops applying (``ContextStatus/blocked`` names it).
    ///
    /// Needs an admin. The id of the transaction that says so.
    @discardableResult
    public func skip(_ transaction: Data) async throws -> Data {
        let transaction = try identifier(transaction, "a transaction id")
        return try await translated { try await native.skip(transaction: transaction) }
    }

    /// New keys, for this member and for all that is sent from now on: for when a device may have been copied.
    public func rotateKeys() async throws {
        try await translated { try await native.rotateKeys() }
    }

    /// How it stands with the context's keys: which epoch, how old, who was given it, and what was seen that should not be.
    public func security() async throws -> ContextSecurity {
        try ContextSecurity(native: try await translated { try await native.security() })
    }
}

extension Context: Identifiable, Hashable, CustomStringConvertible {
    /// Whether both are handles on one context as one member.
    public static func == (one: Context, other: Context) -> Bool {
        one === other || (one.id, one.me) == (other.id, other.me)
    }

    /// By the ids of the context and the member, as `==` compares them.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(id)
        hasher.combine(me)
    }

    /// For logs: the beginning of the id.
    public var description: String { "Context(\(id.hexadecimal.prefix(8))…)" }
}

/// Entries of a context's state, in key order, read page by page.
public struct Entries: AsyncSequence, Sendable {
    /// A key with its value.
    public typealias Element = Entry

    let context: Context
    let prefix: Data
    let level: Level

    /// Begins with the first entry.
    public func makeAsyncIterator() -> Iterator { Iterator(entries: self) }

    /// Reads a page when it has given the one before.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let entries: Entries
        private var page: ArraySlice<Entry> = []
        private var last: StateKey?

        fileprivate init(entries: Entries) {
            self.entries = entries
        }

        /// The next entry.
        public mutating func next() async throws -> Entry? {
            if page.isEmpty {
                page = try await entries.context.entries(prefix: entries.prefix, after: last, level: entries.level)[...]
            }
            guard let entry = page.popFirst() else { return nil }
            last = entry.key
            return entry
        }
    }
}
