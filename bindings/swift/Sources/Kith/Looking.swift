import Foundation
internal import KithNative

/// What one transaction has to do with a key: ``Context/explain(_:after:limit:)``.
public struct Explanation: Hashable, Sendable {
    /// What a transaction left of a key.
    public enum Written: Hashable, Sendable {
        /// A value; its BLAKE3 hash.
        case value(hash: Data)
        /// The key was removed.
        case removed
        /// It read the key, and was rejected.
        case nothing
    }

    /// The transaction.
    public let transaction: TransactionInfo
    /// What it left of the key.
    public let written: Written
    /// Whether it sorts after the one before without its author having seen that.
    ///
    /// Then neither knew of the other, and the order alone says which comes last. `nil`: not found out within 1,000 steps through the
    /// history.
    public let unseen: Bool?

    init(native: KithNative.Explanation) {
        transaction = TransactionInfo(native: native.transaction)
        written = switch native.written {
        case .value(let hash): .value(hash: hash)
        case .removed: .removed
        case .nothing: .nothing
        }
        unseen = native.unseen
    }
}

/// What ``Context/verify()`` may find to differ.
public enum Part: String, Hashable, Sendable, CaseIterable {
    /// The signed transaction itself: it is not what its id says, or is not there.
    case transaction
    /// Its signature.
    case signature
    /// Where it stands in the graph.
    case position
    /// Its row in the order.
    case order
    /// Which role it was judged by.
    case standing
    /// What it answered, emitted, or was rejected for.
    case receipt
    /// What is noted of its reads.
    case reads
    /// A value that it wrote.
    case value
    /// The members, roles and invitations.
    case membership
    /// The running hash of the state.
    case commitment
    /// How many transactions there are.
    case count
}

/// Where what is kept is not what the history gives.
public struct Difference: Hashable, Sendable, CustomStringConvertible {
    /// What differs.
    public let part: Part
    /// At which place of the order; `nil`: of the context as a whole.
    public let place: Data?
    /// The transaction at that place.
    public let transaction: Data?
    /// Of which key.
    public let key: StateKey?
    /// The BLAKE3 hash of what is kept; `nil`: nothing is.
    public let kept: Data?
    /// The BLAKE3 hash of what was recomputed; `nil`: nothing should be there.
    public let recomputed: Data?
    /// All of it, for people.
    public let description: String

    init(native: KithNative.Difference) throws {
        guard let part = Part(rawValue: native.part) else {
            throw KithError.internal("the library names a part `\(native.part)`")
        }
        self.part = part
        (place, transaction, key) = (native.place, native.transaction, native.key.map(StateKey.init(native:)))
        (kept, recomputed, description) = (native.kept, native.recomputed, native.text)
    }
}

/// What a check of a context has looked at and found: ``Context/verify()``.
public struct Verification: Hashable, Sendable {
    /// How many transactions were looked at, in order.
    public let transactions: Int
    /// How many of them were executed once more.
    public let executed: Int
    /// How many are in the order and were not looked at, since they are still to be executed.
    public let pending: Int
    /// How many keys of the state were looked at, deleted ones included.
    public let keys: Int
    /// The first difference; `nil`: what is kept is what a replay of the history gives.
    public let difference: Difference?

    init(native: KithNative.Verification) throws {
        (transactions, executed) = (Int(clamping: native.transactions), Int(clamping: native.executed))
        (pending, keys) = (Int(clamping: native.pending), Int(clamping: native.keys))
        difference = try native.difference.map(Difference.init(native:))
    }
}
