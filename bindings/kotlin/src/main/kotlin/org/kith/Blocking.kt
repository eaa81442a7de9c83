package org.kith

import java.nio.file.Path
import java.time.Duration
import java.util.function.Consumer
import kotlin.time.toKotlinDuration
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull

/** Blocks for a coroutine. An interrupt cancels it, and the thread stays interrupted. */
internal fun <T> waiting(body: suspend () -> T): T =
    try {
        runBlocking { body() }
    } catch (_: InterruptedException) {
        Thread.currentThread().interrupt()
        throw KithException.Cancelled("the thread was interrupted")
    }

/** Reads on the caller's own thread, which is not begun by one that was interrupted, and cannot be interrupted: it is short. */
internal inline fun <T> reading(body: () -> T): T {
    if (Thread.currentThread().isInterrupted) throw KithException.Cancelled("the thread was interrupted")
    return body()
}

/**
 * A node for callers without coroutines: every call blocks its thread until it is done. Interrupting the thread is what cancelling is to
 * [Node]'s functions, and throws [KithException.Cancelled].
 */
public class BlockingNode internal constructor(
    /** The same node for coroutines. */
    public val node: Node,
) : AutoCloseable {
    public val id: String get() = node.id

    public val addresses: List<String> get() = node.addresses

    public fun status(): NodeStatus = waiting { node.status() }

    public fun register(name: String, application: Application): Unit = node.register(name, application)

    @JvmOverloads
    public fun createContext(
        application: String = "kv",
        arguments: ByteArray = ByteArray(0),
        name: String = "",
        encryption: Encryption = Encryption.X25519,
    ): BlockingContext = waiting { node.createContext(application, arguments, name, encryption) }.blocking()

    public fun inspect(invitation: String): InvitationInfo = node.inspect(invitation)

    @JvmOverloads
    public fun join(
        invitation: String,
        timeout: Duration = Duration.ofSeconds(60),
        onProgress: ProgressListener? = null,
    ): BlockingContext = waiting { node.join(invitation, timeout.toKotlinDuration(), onProgress) }.blocking()

    public fun contexts(): List<ContextInfo> = node.contexts()

    public fun context(id: Id): BlockingContext = node.context(id).blocking()

    public fun connect(address: String): Unit = waiting { node.connect(address) }

    public fun suspend(deadline: Duration): Unit = waiting { node.suspend(deadline.toKotlinDuration()) }

    public fun resume(): Unit = waiting { node.resume() }

    public val isSuspended: Boolean get() = node.isSuspended

    public fun syncOnce(budget: Duration): SyncReport = waiting { node.syncOnce(budget.toKotlinDuration()) }

    public fun changeStorageKey(key: StorageKey): Unit = waiting { node.changeStorageKey(key) }

    public fun export(path: Path, key: StorageKey): Exported = waiting { node.export(path, key) }

    override fun close(): Unit = node.close()

    public companion object {
        /** [Node.open]. */
        @JvmStatic
        @JvmOverloads
        public fun open(path: Path?, options: NodeOptions = NodeOptions()): BlockingNode =
            waiting { Node.open(path, options) }.blocking()

        /** [Node.importFrom]. */
        @JvmStatic
        @JvmOverloads
        public fun importFrom(
            file: Path,
            key: StorageKey,
            path: Path,
            storage: StorageEngine = StorageEngine.AUTO,
            storageKey: StorageKey? = null,
            adopt: Boolean = false,
        ): Exported = waiting { Node.importFrom(file, key, path, storage, storageKey, adopt) }

        /** [Node.adopt]. */
        @JvmStatic
        @JvmOverloads
        public fun adopt(path: Path, storageKey: StorageKey? = null): Unit = waiting { Node.adopt(path, storageKey) }
    }
}

/** A context for callers without coroutines: see [BlockingNode], and [Context] for what the calls do. */
public class BlockingContext internal constructor(
    /** The same context for coroutines. */
    public val context: Context,
) {
    public val id: Id get() = context.id

    public val me: Id get() = context.me

    public val role: Role? get() = context.role

    public val application: String get() = context.application

    public val name: String get() = context.name

    override fun equals(other: Any?): Boolean = other is BlockingContext && context == other.context

    override fun hashCode(): Int = context.hashCode()

    override fun toString(): String = context.toString()

    @JvmOverloads
    public fun execute(method: String, arguments: ByteArray = ByteArray(0)): Receipt =
        waiting { context.execute(method, arguments) }

    @JvmOverloads
    public fun query(method: String, arguments: ByteArray = ByteArray(0)): ByteArray =
        waiting { context.query(method, arguments) }

    @JvmOverloads
    public fun get(key: StateKey, level: Level = Level.TENTATIVE): ByteArray? = reading { context.getBlocking(key, level) }

    @JvmOverloads
    public fun entries(
        prefix: ByteArray = ByteArray(0),
        after: StateKey? = null,
        limit: Int = 1000,
        level: Level = Level.TENTATIVE,
    ): List<Entry> = reading { context.entriesBlocking(prefix, after, limit, level) }

    public fun put(key: StateKey, value: ByteArray): Id = waiting { context.put(key, value) }

    public fun delete(key: StateKey): Id = waiting { context.delete(key) }

    public fun add(key: StateKey, number: Long): Long = waiting { context.add(key, number) }

    public fun compareAndSet(key: StateKey, expected: ByteArray?, value: ByteArray?): Id =
        waiting { context.compareAndSet(key, expected, value) }

    public fun append(key: StateKey, bytes: ByteArray): Id = waiting { context.append(key, bytes) }

    public fun batch(batch: Batch): Id = waiting { context.batch(batch) }

    /** Subscribes from now on, or after a cursor. */
    @JvmOverloads
    public fun subscribe(after: Long? = null): BlockingEvents = BlockingEvents(waiting { context.subscribe(after) })

    public fun members(): List<Member> = waiting { context.members() }

    public fun setRole(member: Id, role: Role): Id = waiting { context.setRole(member, role) }

    public fun setName(name: String): Id = waiting { context.setName(name) }

    public fun setDisplayName(name: String): Id = waiting { context.setDisplayName(name) }

    public fun remove(member: Id): Id = waiting { context.remove(member) }

    public fun leave(): Unit = waiting { context.leave() }

    /** [Context.invite]; `expiresIn` null: no end. */
    @JvmOverloads
    public fun invite(
        role: Role = Role.WRITER,
        expiresIn: Duration? = Duration.ofDays(7),
        maxUses: Int = 1,
        note: String = "",
    ): Invitation = waiting { context.invite(role, expiresIn?.toKotlinDuration(), maxUses, note) }

    public fun invitations(): List<IssuedInvitation> = waiting { context.invitations() }

    public fun revoke(invitation: Id): Id = waiting { context.revoke(invitation) }

    public fun skip(transaction: Id): Id = waiting { context.skip(transaction) }

    public fun transaction(id: Id): Transaction? = waiting { context.transaction(id) }

    @JvmOverloads
    public fun history(after: Place? = null, limit: Int = 1000): List<Transaction> =
        waiting { context.history(after, limit) }

    public fun status(): ContextStatus = waiting { context.status() }

    public fun commitment(): Id = waiting { context.commitment() }

    @JvmOverloads
    public fun waitSynced(timeout: Duration = Duration.ofSeconds(60)): Unit =
        waiting { context.waitSynced(timeout.toKotlinDuration()) }

    public fun rotateKeys(): Unit = waiting { context.rotateKeys() }

    public fun security(): ContextSecurity = waiting { context.security() }

    public fun verify(): Verification = waiting { context.verify() }

    @JvmOverloads
    public fun explain(key: StateKey, after: Place? = null, limit: Int = 1000): List<Explanation> =
        waiting { context.explain(key, after, limit) }
}

/** A subscription for callers without coroutines. */
public class BlockingEvents internal constructor(private val events: Events) : AutoCloseable {
    /** The next event; `null` if none comes in time. [KithException.Closed] at the end of the stream. */
    public fun next(timeout: Duration): Event? =
        waiting { withTimeoutOrNull(timeout.toKotlinDuration()) { events.next() } }

    /** Hands over all events until the stream ends or the thread is interrupted. */
    public fun forEach(consumer: Consumer<Event>): Unit = waiting { events.asFlow().collect { consumer.accept(it) } }

    /** Ends the subscription. Twice is fine. */
    override fun close(): Unit = events.close()
}
