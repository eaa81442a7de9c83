import Foundation
internal import KithNative

/// A peer as the network sees it.
public struct Peer: Hashable, Sendable {
    /// Its id in the network.
    public let peer: String
    /// Whether it is connected.
    public let isConnected: Bool
    /// Whether the link goes through a relay.
    public let isRelayed: Bool
    /// Where it may be reached.
    public let addresses: [String]
    /// Why the last dial failed, until one succeeds.
    public let lastFailure: String?
    /// When it is dialled next.
    public let nextAttemptIn: Duration?

    init(native: KithNative.PeerInfo) {
        (peer, isConnected, addresses) = (native.peer, native.connected, native.addresses)
        isRelayed = native.relayed
        (lastFailure, nextAttemptIn) = (native.lastFailure, native.nextAttemptIn.map(duration))
    }
}

/// How it stands with a relay. What it carries between members is encrypted from one to the other.
public struct Relay: Hashable, Sendable {
    /// The relay's own address, as it was given.
    public let relay: String
    /// Where others reach this node through it; `nil` while it gives no place.
    public let address: String?
    /// For how long a connection through it may last, if it says so.
    public let longest: Duration?
    /// How many bytes may go through one connection, if it says so.
    public let mostBytes: Int?
    /// Why it gave no place the last time, until it does.
    ///
    /// `.unreachable` (not reached, or lost), `.timeout` (no answer), `.busy` (no room), `.permissionDenied` (it refuses), `.unsupported` (it
    /// is no relay), `.invalidArgument` (what it says makes no sense).
    public let reason: KithError.Kind?
    /// The same for people.
    public let lastFailure: String?
    /// When it is asked again; `nil` while it is being asked, and while there is a place.
    public let nextAttemptIn: Duration?

    init(native: KithNative.RelayInfo) {
        (relay, address, longest) = (native.relay, native.address, native.longest.map(duration))
        mostBytes = native.mostBytes.map { Int(clamping: $0) }
        reason = native.reason.map { KithError.Kind(rawValue: $0) ?? .internal }
        (lastFailure, nextAttemptIn) = (native.lastFailure, native.nextAttemptIn.map(duration))
    }
}

/// Nodes that connected and did not prove to be a member's, counted since the node was opened or resumed.
///
/// Anybody who finds its addresses may connect, as often as it likes: so there are no events of it.
public struct Strangers: Hashable, Sendable {
    /// Links that there are now. Whoever has just come may prove to be a member yet.
    public let linked: Int
    /// Links that are over, for no reason of those below.
    public let ended: Int
    /// Connections that were not taken: there are too many, or too many of one peer.
    public let refused: Int
    /// Connections that came to no link: the other side went, or is no node of Kith. Members' are among them, who drop all but the
    /// first.
    public let unfinished: Int
    /// Links and connections that ended since the protocol or its limits were broken.
    public let misbehaved: Int
    /// Connections of nodes without a common version.
    public let version: Int
    /// Links and connections that ended since the other side took too long.
    public let timeout: Int

    init(native: KithNative.Strangers) {
        (linked, ended) = (Int(clamping: native.linked), Int(clamping: native.ended))
        (refused, unfinished) = (Int(clamping: native.refused), Int(clamping: native.unfinished))
        (misbehaved, version) = (Int(clamping: native.misbehaved), Int(clamping: native.version))
        timeout = Int(clamping: native.timeout)
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
    /// The relays that it was given.
    public let relays: [Relay]
    /// The ids of the contexts that it holds.
    public let contexts: [Data]
    /// Whether everything in the directory is sealed under a key that the host keeps.
    public let isSealed: Bool
    /// Whether the key lies in a file beside the store, since the host gave none: who can read the directory can read it all.
    public let hasKeyFile: Bool
    /// Whether the directory is a copy of another node's.
    public let isCopied: Bool
    /// Nodes of no member that have connected, and what became of it.
    public let strangers: Strangers
    /// Whether the node is suspended: it has no peers and no addresses then.
    public let isSuspended: Bool
    /// The engine that keeps the node's directory; `nil`: everything is in memory.
    public let storage: StorageEngine?

    init(native: KithNative.NodeStatus) {
        (id, addresses, peers) = (native.id, native.addresses, native.peers.map(Peer.init(native:)))
        relays = native.relays.map(Relay.init(native:))
        contexts = native.contexts.map(Data.init(hexadecimal:))
        (isSealed, hasKeyFile) = (native.sealed, native.keyFile)
        (isCopied, isSuspended) = (native.copied, native.suspended)
        strangers = Strangers(native: native.strangers)
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
    /// Transactions in the order that are sealed and not opened: a member has to share them first.
    public let unopened: Int
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
        unopened = Int(clamping: native.unopened)
        missing = native.missing.map(Data.init(hexadecimal:))
        (blocked, frozen) = (native.blocked, native.frozen)
        (commitment, digest) = (Data(hexadecimal: native.commitment), Data(hexadecimal: native.digest))
        peers = native.peers.map(ContextPeer.init(native:))
    }
}
