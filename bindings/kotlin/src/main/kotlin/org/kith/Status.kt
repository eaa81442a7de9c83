package org.kith

import org.kith.internal.ContextPeer as NativeContextPeer
import org.kith.internal.ContextStatus as NativeContextStatus
import org.kith.internal.NodeStatus as NativeNodeStatus
import org.kith.internal.RelayInfo as NativeRelayInfo
import org.kith.internal.Strangers as NativeStrangers
import org.kith.internal.SyncReport as NativeSyncReport

private fun idOf(hex: String): Id = Id(hex.chunked(2).map { it.toInt(16).toByte() }.toByteArray())

/** A peer as the network sees it. */
public data class Peer(
    val peer: String,
    val connected: Boolean,
    /** Whether the link goes through a relay. */
    val relayed: Boolean,
    val addresses: List<String>,
    /** Why the last dial failed, until one succeeds. */
    val lastFailure: String?,
    /** In how many ms it is dialled next. */
    val nextAttemptIn: Long?,
)

/** How it stands with a relay. What it carries between members is encrypted from one to the other. */
public data class Relay(
    /** The relay's own address, as it was given. */
    val relay: String,
    /** Where others reach this node through it; `null` while it gives no place. */
    val address: String?,
    /** For how many ms a connection through it may last, if it says so. */
    val longest: Long?,
    /** How many bytes may go through one connection, if it says so. */
    val mostBytes: Long?,
    /**
     * Why it gave no place the last time, until it does: [ErrorKind.UNREACHABLE] (not reached, or lost), [ErrorKind.TIMEOUT] (no answer),
     * [ErrorKind.BUSY] (no room), [ErrorKind.PERMISSION_DENIED] (it refuses), [ErrorKind.UNSUPPORTED] (it is no relay),
     * [ErrorKind.INVALID_ARGUMENT] (what it says makes no sense).
     */
    val reason: ErrorKind?,
    /** The same for people. */
    val lastFailure: String?,
    /** In how many ms it is asked again; `null` while it is being asked, and while there is a place. */
    val nextAttemptIn: Long?,
) {
    internal companion object {
        fun of(info: NativeRelayInfo): Relay =
            Relay(
                info.relay,
                info.address,
                info.longest?.toLong(),
                info.mostBytes?.toLong(),
                info.reason?.let { code -> ErrorKind.entries.find { it.code == code.toInt() } ?: ErrorKind.INTERNAL },
                info.lastFailure,
                info.nextAttemptIn?.toLong(),
            )
    }
}

/**
 * Nodes that connected and did not prove to be a member's, counted since the node was opened or resumed. Anybody who finds its addresses
 * may connect, as often as it likes: so there are no events of it.
 */
public data class Strangers(
    /** Links that there are now. Whoever has just come may prove to be a member yet. */
    val linked: Long,
    /** Links that are over, for no reason of those below. */
    val ended: Long,
    /** Connections that were not taken: there are too many, or too many of one peer. */
    val refused: Long,
    /**
     * Connections that came to no link: the other side went, or is no node of Kith. Members' are among them, who drop all but the
     * first.
     */
    val unfinished: Long,
    /** Links and connections that ended since the protocol or its limits were broken. */
    val misbehaved: Long,
    /** Connections of nodes without a common version. */
    val version: Long,
    /** Links and connections that ended since the other side took too long. */
    val timeout: Long,
) {
    internal companion object {
        fun of(counts: NativeStrangers): Strangers =
            Strangers(
                counts.linked.toLong(),
                counts.ended.toLong(),
                counts.refused.toLong(),
                counts.unfinished.toLong(),
                counts.misbehaved.toLong(),
                counts.version.toLong(),
                counts.timeout.toLong(),
            )
    }
}

/** How it stands with a node. */
public data class NodeStatus(
    val id: String,
    val addresses: List<String>,
    val peers: List<Peer>,
    /** The relays that it was given. */
    val relays: List<Relay>,
    val contexts: List<Id>,
    /** Whether everything in the directory is sealed under a key that the host keeps. */
    val sealed: Boolean,
    /** Whether the key lies in a file beside the store, since the host gave none: who can read the directory can read it all. */
    val keyFile: Boolean,
    /** Whether the directory is a copy of another node's. */
    val copied: Boolean,
    /** Nodes of no member that have connected, and what became of it. */
    val strangers: Strangers,
    /** Whether the node is suspended: it has no peers and no addresses then. */
    val suspended: Boolean,
    /** The engine that keeps the node's directory; `null`: everything is in memory. */
    val storage: StorageEngine?,
) {
    internal companion object {
        fun of(status: NativeNodeStatus): NodeStatus =
            NodeStatus(
                status.id,
                status.addresses,
                status.peers.map {
                    Peer(it.peer, it.connected, it.relayed, it.addresses, it.lastFailure, it.nextAttemptIn?.toLong())
                },
                status.relays.map(Relay::of),
                status.contexts.map(::idOf),
                status.sealed,
                status.keyFile,
                status.copied,
                Strangers.of(status.strangers),
                status.suspended,
                status.storage?.let { name -> StorageEngine.entries.find { it.name.lowercase() == name } },
            )
    }
}

/** What [Node.syncOnce] came to. */
public data class SyncReport(
    /** How many peers are connected at its end. */
    val peers: Int,
    /** The contexts that hold what a connected member's node holds, and nothing else is known of. */
    val synced: List<Id>,
    /** Those of which that is not known. */
    val behind: List<Id>,
) {
    internal companion object {
        fun of(report: NativeSyncReport): SyncReport =
            SyncReport(report.peers.toInt(), report.synced.map(::Id), report.behind.map(::Id))
    }
}

/** A connected peer of a context. */
public data class ContextPeer(
    val peer: String,
    /** The member that it proved to be. */
    val member: Id?,
    /** Whether both histories are known to be the same. */
    val equal: Boolean,
    /** Transactions that it has and this node lacks, by the last comparison. */
    val lacking: Long,
    /** Transactions that it lacks, by the last comparison. */
    val lacks: Long,
    /** For how many ms it has been connected. */
    val since: Long,
) {
    internal companion object {
        fun of(peer: NativeContextPeer): ContextPeer =
            ContextPeer(
                peer.peer,
                peer.member?.let(::idOf),
                peer.equal,
                peer.lacking.toLong(),
                peer.lacks.toLong(),
                peer.since.toLong(),
            )
    }
}

/** How it stands with a context. */
public data class ContextStatus(
    val transactions: Long,
    /** Transactions in the order that are not executed. */
    val pending: Long,
    /** Transactions in the order that are sealed and not opened: a member has to share them first. */
    val unopened: Long,
    /** Transactions that wait for their parents. */
    val waiting: Long,
    /** Transactions that are known of and missing. */
    val missing: List<Id>,
    /** Why applying stands still, if it does. */
    val blocked: String?,
    /** Why this node writes nothing here, if it does not. */
    val frozen: String?,
    /** The state commitment: equal on all members that hold the same history. */
    val commitment: Id,
    /** The digest of the history. */
    val digest: Id,
    val peers: List<ContextPeer>,
) {
    internal companion object {
        fun of(status: NativeContextStatus): ContextStatus =
            ContextStatus(
                status.transactions.toLong(),
                status.pending.toLong(),
                status.unopened.toLong(),
                status.waiting.toLong(),
                status.missing.map(::idOf),
                status.blocked,
                status.frozen,
                idOf(status.commitment),
                idOf(status.digest),
                status.peers.map(ContextPeer::of),
            )
    }
}
