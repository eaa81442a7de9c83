package org.kith

import java.nio.file.Path
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import org.kith.internal.Hub as NativeHub
import org.kith.internal.JoinProgress
import org.kith.internal.Node as NativeNode
import org.kith.internal.NodeOptions as NativeOptions
import org.kith.internal.adoptNode
import org.kith.internal.importNode
import org.slf4j.LoggerFactory

/** What a node is opened with. */
public class NodeOptions {
    /** Where to listen: multiaddresses (`/ip4/127.0.0.1/tcp/0`; port 0: the system chooses). `null`: all addresses of this machine. */
    public var listen: List<String>? = null

    /** Peers to connect to, as multiaddresses with `/p2p/…`. */
    public var bootstrap: List<String> = emptyList()

    /**
     * Relays to be reached through, as multiaddresses with `/p2p/…`; at most 4. [NodeStatus.relays] says how it stands with them. A relay sees
     * neither contexts nor what is said.
     */
    public var relays: List<String> = emptyList()

    /** Whether others are dialled through relays; always where [relays] are named. */
    public var throughRelays: Boolean = true

    /** Whether a direct connection is tried where a link goes through a relay. */
    public var holePunching: Boolean = true

    /** Whether peers are asked which of the node's addresses they reach, so that others are told of these. */
    public var autonat: Boolean = true

    /** Whether contexts with more than 8 members gossip. Without it they are in step a few seconds later. */
    public var gossip: Boolean = true

    /** Whether to find peers in the local network and be found. */
    public var discovery: Boolean = true

    /** Whether what was acknowledged survives the loss of power, or only the death of the process. */
    public var durability: Durability = Durability.POWER

    /** How many batches of events are kept; `null`: the default. */
    public var eventRetention: Long? = null

    /** The engine that keeps the directory. A directory of another engine is [KithException.InvalidArgument]. */
    public var storage: StorageEngine = StorageEngine.AUTO

    /**
     * What everything in the directory is sealed under; another one, or none, is [KithException.KeyRequired] from then on. `null`: a key file
     * beside the store, and [NodeStatus.keyFile] says so.
     */
    public var storageKey: StorageKey? = null

    internal var hub: NativeHub? = null

    internal fun build(path: Path?): NativeOptions {
        eventRetention?.let { if (it < 0) throw KithException.InvalidArgument("eventRetention is $it") }
        return NativeOptions(
            path = path?.toString(),
            listen = listen?.toList(),
            bootstrap = bootstrap.toList(),
            discovery = discovery,
            relays = relays.toList(),
            throughRelays = throughRelays,
            holePunching = holePunching,
            autonat = autonat,
            gossip = gossip,
            durability = durability.name.lowercase(),
            eventRetention = eventRetention?.toULong(),
            storage = storage.name.lowercase(),
            storageKey = storageKey?.native,
            hub = hub,
        )
    }
}

/** Told the numbers of transactions received and expected, on a thread of the node's own. It must not block or call this library. */
public fun interface ProgressListener {
    public fun progress(done: Long, total: Long)
}

private class Told(private val listener: ProgressListener) : JoinProgress {
    override fun progress(done: ULong, total: ULong) = Inside.of("a progress listener") {
        try {
            listener.progress(done.toLong(), total.toLong())
        } catch (error: Throwable) {
            // It has no caller that could be told.
            LoggerFactory.getLogger("kith").error("the progress listener threw", error)
        }
    }
}

/**
 * A node: a store, an endpoint in the network, and any number of contexts.
 *
 * `Node.open(path).use { node -> … }` shuts it down at the end. From Java: [BlockingNode].
 */
public class Node internal constructor(private val native: NativeNode) : AutoCloseable {
    /** The node's id in the network. */
    public val id: String get() = native.id()

    /** Where the node listens: multiaddresses with `/p2p/…`. */
    public val addresses: List<String> get() = native.addresses()

    override fun toString(): String = "Node($id)"

    /** How it stands with the node and the peers that it knows. */
    public suspend fun status(): NodeStatus = translated { NodeStatus.of(native.status()) }

    /** Registers an application of the host's own. Contexts of that application that wait for it begin to execute. */
    public fun register(name: String, application: Application): Unit =
        translated { native.register(name, Hosted(application)) }

    /**
     * Creates a context with this node as its first member and admin. `name` is what people call it; `encryption`: how what is written is
     * sealed, for good. Cancelling lets it finish in the background: see [contexts].
     */
    public suspend fun createContext(
        application: String = "kv",
        arguments: ByteArray = ByteArray(0),
        name: String = "",
        encryption: Encryption = Encryption.X25519,
    ): Context = translated { Context(native.createContext(application, arguments, name, encryption.text)) }

    /** Reads an invitation. Joins nothing. */
    public fun inspect(invitation: String): InvitationInfo = translated { InvitationInfo.of(native.inspect(invitation)) }

    /**
     * Joins a context, and returns once this node is a member and has caught up.
     *
     * If that fails, nothing of the context stays. Cancelling gives the joining up: nothing of the context stays. One that a shutdown
     * interrupts goes on when the node is opened again: the context is in [contexts] with `joining` set, and its [Context.leave] gives
     * it up and deletes it.
     */
    public suspend fun join(
        invitation: String,
        timeout: Duration = 60.seconds,
        onProgress: ProgressListener? = null,
    ): Context = translated {
        Context(native.join(invitation, millisOf(timeout, "timeout"), onProgress?.let(::Told)))
    }

    /** The contexts that this node holds. */
    public fun contexts(): List<ContextInfo> = translated { native.contexts().map(ContextInfo::of) }

    /** A context that this node holds; [KithException.NotFound] if it does not. */
    public fun context(id: Id): Context = translated { Context(native.context(id.toByteArray())) }

    /** Connects to a peer by a multiaddress with `/p2p/…`, and keeps it connected from then on. */
    public suspend fun connect(address: String): Unit = translated { native.connect(address) }

    /**
     * Closes the node: finishes what was begun, closes connections and the store, releases files. Twice is fine. Cancelling lets it
     * finish in the background.
     */
    public suspend fun shutdown(): Unit = translated { native.shutdown() }

    /** [shutdown], and blocks until it is done. */
    override fun close(): Unit = waiting { shutdown() }

    /**
     * Puts the node to rest, for systems that stop apps in the background: finishes what was begun, closes connections, sockets and the
     * store, and gives back its files and their locks, so that another process may open the directory. Handles stay good and flows of
     * events wait. Until [resume], calls that need the store or the network are [KithException.Closed]; [contexts], [status] and what
     * handles know by themselves go on. Twice is fine. A node without a directory keeps its store in memory.
     *
     * [KithException.Timeout] if that is not done within the deadline, since an application does not return from a call: it goes on in the
     * background, and so it does when the coroutine is cancelled. [KithException.Storage] if the store cannot be closed in order: the node is
     * suspended all the same, and resuming opens the store anew.
     */
    public suspend fun suspend(deadline: Duration): Unit =
        translated { native.suspend(millisOf(deadline, "deadline")) }

    /**
     * Takes a suspended node up again: opens the store, listens at the ports from before where they are free, and dials the known peers. A
     * directory that another process has open by now is [KithException.Busy], and the node stays suspended. Of a node that is not
     * suspended nothing changes. Cancelling lets it finish in the background.
     */
    public suspend fun resume(): Unit = translated { native.resume() }

    /** Whether the node is suspended, or is being so. Also true once it is shut down. */
    public val isSuspended: Boolean get() = native.isSuspended()

    /**
     * Catches up, for the short times in which systems let apps run in the background: dials all known members' nodes at once, and returns
     * when every context is in step with those that are reached, when nobody is reached, or when the budget (at most a day) is used up. A
     * suspended node is resumed for it and suspended again, which may take up to 10 s more; an error of that is thrown, its text says how far
     * the round had come, and what is there the next one tells. Cancelling lets it finish in the background.
     */
    public suspend fun syncOnce(budget: Duration): SyncReport =
        translated { SyncReport.of(native.syncOnce(millisOf(budget, "budget"))) }

    /**
     * Seals the directory under another key, while everything goes on: at once, however much there is, since only the random key that the
     * records are sealed under is sealed anew. A crash leaves a directory that the old key opens, or the new one; when this has returned only
     * the new one does, and a key file is gone. [KithException.Unsupported] for a node without a directory. Cancelling lets it finish in the
     * background.
     *
     * Who has a copy of the directory from before and the old key reads that copy, and with the random key in it later ones: after a theft
     * of both, export the directory and import it into a new one.
     */
    public suspend fun changeStorageKey(key: StorageKey): Unit = translated { native.changeStorageKey(key.native) }

    /**
     * Exports everything to a new file that only its owner can read, sealed under a key: a backup, while the node goes on; with sled changes wait
     * meanwhile. [importFrom] makes a directory of it, which signs nothing until its owner says that no other does.
     * [KithException.InvalidArgument] if the file is there already. Cancelling lets it finish in the background.
     */
    public suspend fun export(path: Path, key: StorageKey): Exported =
        translated { Exported.of(native.export(path.toString(), key.native)) }

    /** The same node for callers without coroutines. */
    public fun blocking(): BlockingNode = BlockingNode(this)

    public companion object {
        /**
         * Opens a node in a directory, which is made if it does not exist; `null`: everything is kept in memory. A directory that
         * another node has open is [KithException.Busy] at once. Cancelling drops the node once it is open.
         */
        public suspend fun open(path: Path?, options: NodeOptions.() -> Unit = {}): Node =
            open(path, NodeOptions().apply(options))

        /** The same, with options that are there already. */
        public suspend fun open(path: Path?, options: NodeOptions): Node {
            val native = options.build(path)
            return translated { Node(NativeNode.open(native)) }
        }

        /**
         * Makes a node's directory of an export that is sealed under [key]. It is there whole or not at all.
         *
         * [storage] and [storageKey] are the new directory's, as in [NodeOptions]. What comes of a backup is a copy ([NodeStatus.copied]): it
         * reads, catches up with what was published after the backup, and signs nothing until [adopt], or with `adopt = true` here, which is
         * right only if nothing was written after the backup: else the member's history forks, and the others remove it.
         *
         * [KithException.NotFound] if there is no such file, [KithException.InvalidArgument] if it is no export, or the directory is there and
         * not empty; [KithException.KeyRequired] if it needs another key; [KithException.Corrupt] if anything of it is damaged;
         * [KithException.VersionMismatch] if a newer version wrote it. Cancelling lets it finish in the background.
         */
        public suspend fun importFrom(
            file: Path,
            key: StorageKey,
            path: Path,
            storage: StorageEngine = StorageEngine.AUTO,
            storageKey: StorageKey? = null,
            adopt: Boolean = false,
        ): Exported {
            val engine = storage.name.lowercase()
            return translated {
                Exported.of(importNode(file.toString(), key.native, path.toString(), engine, storageKey?.native, adopt))
            }
        }

        /**
         * Says that a directory is the only one that signs: one that was moved, or was made of a backup. Only its owner can know that the
         * directory that it was made of, and every other copy, is gone for good, and that it holds what was published from there; else the
         * member's history forks, and the others remove it. [KithException.Busy] if a node has it open, [KithException.NotFound] if no node
         * ever was there. Cancelling lets it finish in the background.
         */
        public suspend fun adopt(path: Path, storageKey: StorageKey? = null): Unit =
            translated { adoptNode(path.toString(), storageKey?.native) }
    }
}
