import Foundation
internal import KithNative

/// Something that happened in a context.
public struct Event: Hashable, Sendable {
    /// Where in the stream it is: `Context.events(after:)` goes on behind it. Events that happened together share a cursor.
    public let cursor: UInt64
    /// What happened.
    public let kind: Kind

    /// What may happen.
    public enum Kind: Hashable, Sendable {
        /// A call was executed at its place. It may come again (`again`) with another outcome after `reordered`.
        case executed(transaction: Data, member: Data, again: Bool)
        /// These entries of the state changed.
        case changed(keys: [StateKey])
        /// Something was inserted into the order before what was there: the first transaction that moved.
        case reordered(first: Data)
        /// A transaction of this node's own was accepted when it was made, and counts no more.
        case rejected(transaction: Data, reason: String)
        /// Somebody became a member.
        case memberJoined(member: Data, role: Role)
        /// A member left.
        case memberLeft(member: Data)
        /// A member was removed.
        case memberRemoved(member: Data)
        /// A member has another role.
        case roleChanged(member: Data, role: Role)
        /// A member calls itself something else; or, where it names no member, the context is called something else.
        case renamed(member: Data?, name: String)
        /// A member has signed two histories.
        case equivocation(member: Data, one: Data, other: Data)
        /// Applying stands still.
        case blocked(cause: String)
        /// The application says something.
        case emitted(transaction: Data, name: String, data: Data)
        /// How far catch-up with a peer is, in transactions. Not replayed.
        case syncProgress(peer: String, done: Int, total: Int)
        /// Everything that the peer has is here. Not replayed.
        case synced(peer: String)
        /// A member's node is connected. Not replayed.
        case peerConnected(peer: String, member: Data)
        /// A member's node is connected no more. Not replayed.
        ///
        /// `reason` is one of these words, which stay the same, then `: ` and, for people, what exactly it was:
        /// - `closed`: by this side, which suspends, shuts down, leaves, or reads its store anew;
        /// - `gone`: by the other side, or the connection is lost;
        /// - `refused`: one of them is no member any more in the other's eyes;
        /// - `misbehaved`: it sent what no honest node sends;
        /// - `version`: it speaks another version of sync;
        /// - `limit`: it sent more than it may, or takes nothing, or comes too fast for this side;
        /// - `timeout`: it stands still where something is due.
        case peerDisconnected(peer: String, reason: String)
        /// The reader was too slow and events were dropped: start again from the cursor, or read the state again.
        case lagged(missed: Int)
        /// The context is closed here. The last event.
        case closed(reason: String)
        /// Keys or a message that a member made cannot be opened here. Nothing is lost: what it says comes from another member, or from that
        /// one, as soon as one is connected. If it happens again and again with one member, its device or its build is at fault. `what` says, for
        /// people, what is wrong and what to do about it.
        case keyTrouble(member: Data, transaction: Data, what: String)
        /// A member sent a message under keys that were not to be used: a removed member may be able to read it. Its build is at fault, or it
        /// does so on purpose: have it updated, or remove it.
        case keyViolation(member: Data, transaction: Data)
        /// An event that this version of the package does not know.
        case unknown(description: String)
    }

    init(native: Happened) throws {
        cursor = native.cursor
        kind = try Kind(native: native.event)
    }
}

extension Event.Kind {
    init(native: KithNative.Event) throws {
        self = switch native {
        case .executed(let transaction, let member, let again):
            .executed(transaction: transaction, member: member, again: again)
        case .changed(let keys): .changed(keys: keys.map(StateKey.init(native:)))
        case .reordered(let first): .reordered(first: first)
        case .rejected(let transaction, let reason): .rejected(transaction: transaction, reason: reason)
        case .memberJoined(let member, let role): .memberJoined(member: member, role: try Role(native: role))
        case .memberLeft(let member): .memberLeft(member: member)
        case .memberRemoved(let member): .memberRemoved(member: member)
        case .roleChanged(let member, let role): .roleChanged(member: member, role: try Role(native: role))
        case .renamed(let member, let name): .renamed(member: member, name: name)
        case .equivocation(let member, let one, let other): .equivocation(member: member, one: one, other: other)
        case .blocked(let cause): .blocked(cause: cause)
        case .emitted(let transaction, let name, let data): .emitted(transaction: transaction, name: name, data: data)
        case .syncProgress(let peer, let done, let total):
            .syncProgress(peer: peer, done: Int(clamping: done), total: Int(clamping: total))
        case .synced(let peer): .synced(peer: peer)
        case .peerConnected(let peer, let member): .peerConnected(peer: peer, member: member)
        case .peerDisconnected(let peer, let reason): .peerDisconnected(peer: peer, reason: reason)
        case .lagged(let missed): .lagged(missed: Int(clamping: missed))
        case .closed(let reason): .closed(reason: reason)
        case .keyTrouble(let member, let transaction, let what):
            .keyTrouble(member: member, transaction: transaction, what: what)
        case .keyViolation(let member, let transaction): .keyViolation(member: member, transaction: transaction)
        case .unknown(let description): .unknown(description: description)
        }
    }
}

/// A stream of events: `for try await event in try await context.events()`.
///
/// Its loop ends after `closed`, when the node is shut down, and by `CancellationError` when the task is cancelled. Iterators share
/// the stream: each event goes to one of them. Letting go of the stream ends the subscription.
public final class Events: AsyncSequence, Sendable {
    /// What happened, with its cursor.
    public typealias Element = Event

    private let native: KithNative.Events
    private let atHand = AtHand()

    init(native: KithNative.Events) {
        self.native = native
    }

    /// Waits for the next event. Cancelling the wait loses none. `KithError.closed` at the end of the stream.
    public func next() async throws -> Event {
        while true {
            try Task.checkCancellation()
            if atHand.ended {
                throw KithError.closed("the context is closed here, and this was said already")
            }
            // Before what is at hand: a take between the two is then one that the wait has not seen.
            let seen = atHand.takes
            if let happened = try crossed() {
                let event = try Event(native: happened)
                if case .closed = event.kind { atHand.end() }
                return event
            }
            try await translated {
                try await native.ready(seen: seen)
                atHand.add(native.take())
            }
        }
    }

    /// One that has crossed before, with others.
    private func crossed() throws -> Happened? {
        try translated { atHand.next() }
    }

    /// An iterator over what comes.
    public func makeAsyncIterator() -> Iterator { Iterator(events: self) }

    /// Ends where the stream ends.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let events: Events

        /// The next event; `nil` at the end of the stream.
        public mutating func next() async throws -> Event? {
            do {
                return try await events.next()
            } catch KithError.closed {
                return nil
            }
        }
    }
}

/// Events that have crossed already: several do at a time.
private final class AtHand: @unchecked Sendable {
    private let lock = NSLock()
    private var events: [Happened] = []
    private var given = 0
    private var last = false
    private var count: UInt64 = 0

    /// How many times something was added.
    var takes: UInt64 { lock.withLock { count } }

    /// Whether the last event was given.
    var ended: Bool { lock.withLock { last } }

    func end() {
        lock.withLock { last = true }
    }

    func add(_ more: [Happened]) {
        lock.withLock {
            events.removeFirst(given)
            given = 0
            events += more
            // Nothing if another task was faster, which counts as no time.
            count += more.isEmpty ? 0 : 1
        }
    }

    func next() -> Happened? {
        lock.withLock {
            guard given < events.count else { return nil }
            given += 1
            return events[given - 1]
        }
    }
}
