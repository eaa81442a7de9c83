package org.kith

import java.nio.file.Path
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import org.kith.internal.Hub as NativeHub
import org.kith.internal.JoinProgress
import org.kith.internal.Node as NativeNode
import org.kith.internal.NodeOptions as NativeOptions
import org.slf4j.LoggerFactory

/** What a node is opened with. */
public class NodeOptions {
    /** Where to listen: multiaddresses (`/ip4/127.0.0.1/tcp/0`; port 0: the system chooses). `null`: all addresses of this machine. */
    public var listen: List<String>? = null

    /** Peers to connect to, as multiaddresses with `/p2p/…`. */
    public var bootstrap: List<String> = emptyList()

    /** Not there yet: [KithException.Unsupported] if there are any. */
    public var relays: List<String> = emptyList()

    /** Whether to find peers in the local network and be found. */
    public var discovery: Boolean = true

    /** Whether what was acknowledged survives the loss of power, or only the death of the process. */
    public var durability: Durability = Durability.POWER

    /** How many batches of events are kept; `null`: the default. */
    public var eventRetention: Long? = null

    /** The engine that keeps the directory. A directory of another engine is [KithException.InvalidArgument]. */
    public var storage: StorageEngine = StorageEngine.AUTO

    /** Not there yet: [KithException.Unsupported] if there is one. */
    public var storageKey: ByteArray? = null

    internal var hub: NativeHub? = null

    internal fun build(path: Path?): NativeOptions {
        if (relays.isNotEmpty()) throw KithException.Unsupported("relays are not there yet")
        if (storageKey != null) throw KithException.Unsupported("sealing the store is not there yet")
        eventRetention?.let { if (it < 0) throw KithException.InvalidArgument("eventRetention is $it") }
        return NativeOptions(
            path?.toString(),
            listen?.toList(),
            bootstrap.toList(),
            discovery,
            durability.name.lowercase(),
            eventRetention?.toULong(),
            storage.name.lowercase(),
            hub,
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
     * Creates a context with this node as its first member and admin. `name` is what people call it. Cancelling lets it finish in
     * the background: see [contexts].
     */
    public suspend fun createContext(
        application: String = "kv",
        arguments: ByteArray = ByteArray(0),
        name: String = "",
    ): Context = translated { Context(native.createContext(application, arguments, name)) }

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
     * background, and so it does when the coroutine is cancelled.
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
     * suspended node is resumed for it and suspended again, which may take up to 10 s more. Cancelling lets it finish in the background.
     */
    public suspend fun syncOnce(budget: Duration): SyncReport =
        translated { SyncReport.of(native.syncOnce(millisOf(budget, "budget"))) }

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
    }
}
