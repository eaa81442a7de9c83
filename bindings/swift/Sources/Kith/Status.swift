import Foundation
internal import KithNative

/// A peer as the network sees it.
public struct Peer: Hashable, Sendable {
    /// Its id in the network.
    public let peer: String
    /// Whether it is connected.
    public let isConnected: Bool
    /// Where it may be reached.
    public let addresses: [String]
    /// Why the last dial failed, until one succeeds.
    public let lastFailure: String?
    /// When it is dialled next.
    public let nextAttemptIn: Duration?

    init(native: KithNative.PeerInfo) {
        (peer, isConnected, addresses) = (native.peer, native.connected, native.addresses)
        (lastFailure, nextAttemptIn) = (native.lastFailure, native.nextAttemptIn.map(duration))
    }
}

/// How it stands with a node.
public struct NodeStatus: Hashable, Sendable {
    /// The node's id in the network.
    public let id: String
    /// Where it listens.
    public let addresses: [String]
    /// The peers that it knows.
    public let peers: [Peer]
    /// The ids of the contexts that it holds.
    public let contexts: [Data]
    /// Whether what is kept is sealed. (Sealing is not there yet.)
    public let isSealed: Bool
    /// Whether the directory is a copy of another node's.
    public let isCopied: Bool
    /// Whether the node is suspended: it has no peers and no addresses then.
    public let isSuspended: Bool
    /// The engine that keeps the node's directory; `nil`: everything is in memory.
    public let storage: StorageEngine?

    init(native: KithNative.NodeStatus) {
        (id, addresses, peers) = (native.id, native.addresses, native.peers.map(Peer.init(native:)))
        contexts = native.contexts.map(Data.init(hexadecimal:))
        (isSealed, isCopied, isSuspended) = (native.sealed, native.copied, native.suspended)
        storage = native.storage.flatMap(StorageEngine.init(rawValue:))
    }
}

/// What ``Node/syncOnce(budget:)`` came to.
public struct SyncReport: Hashable, Sendable {
    /// How many peers are connected at its end.
    public let peers: Int
    /// The contexts that hold what a connected member's node holds, and nothing else is known of.
    public let synced: [Data]
    /// Those of which that is not known.
    public let behind: [Data]

    init(native: KithNative.SyncReport) {
        (peers, synced, behind) = (Int(clamping: native.peers), native.synced, native.behind)
    }
}

/// A connected peer of a context.
public struct ContextPeer: Hashable, Sendable {
    /// Its id in the network.
    public let peer: String
    /// The member that it proved to be.
    public let member: Data?
    /// Whether both histories are known to be the same.
    public let isEqual: Bool
    /// Transactions that it has and this node lacks, by the last comparison.
    public let lacking: Int
    /// Transactions that it lacks, by the last comparison.
    public let lacks: Int
    /// For how long it has been connected.
    public let since: Duration

    init(native: KithNative.ContextPeer) {
        (peer, member) = (native.peer, native.member.map(Data.init(hexadecimal:)))
        (isEqual, since) = (native.equal, duration(native.since))
        (lacking, lacks) = (Int(clamping: native.lacking), Int(clamping: native.lacks))
    }
}

/// How it stands with a context.
public struct ContextStatus: Hashable, Sendable {
    /// How many transactions are in the order.
    public let transactions: Int
    /// Transactions in the order that are not executed.
    public let pending: Int
    /// Transactions that wait for their parents.
    public let waiting: Int
    /// Transactions that are known of and missing.
    public let missing: [Data]
    /// Why applying stands still, if it does.
    public let blocked: String?
    /// Why this node writes nothing here, if it does not.
    public let frozen: String?
    /// The state commitment: equal on all members that hold the same history.
    public let commitment: Data
    /// The digest of the history.
    public let digest: Data
    /// The connected peers.
    public let peers: [ContextPeer]

    init(native: KithNative.ContextStatus) {
        transactions = Int(clamping: native.transactions)
        (pending, waiting) = (Int(clamping: native.pending), Int(clamping: native.waiting))
        missing = native.missing.map(Data.init(hexadecimal:))
        (blocked, frozen) = (native.blocked, native.frozen)
        (commitment, digest) = (Data(hexadecimal: native.commitment), Data(hexadecimal: native.digest))
        peers = native.peers.map(ContextPeer.init(native:))
    }
}
