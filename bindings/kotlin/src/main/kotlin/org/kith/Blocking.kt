package org.kith

import java.nio.file.Path
import java.time.Duration
import java.util.function.Consumer
import kotlin.time.toKotlinDuration
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull

/**
 * A node for callers without coroutines: every call blocks its thread until it is done. Interrupting the thread is what cancelling is to
 * [Node]'s functions, and throws `InterruptedException`.
 */
public class BlockingNode internal constructor(
    /** The same node for coroutines. */
    public val node: Node,
) : AutoCloseable {
    public val id: String get() = node.id

    public val addresses: List<String> get() = node.addresses

    public fun status(): NodeStatus = runBlocking { node.status() }

    public fun register(name: String, application: Application): Unit = node.register(name, application)

    @JvmOverloads
    public fun createContext(application: String = "kv", arguments: ByteArray = ByteArray(0), name: String = ""): BlockingContext =
        runBlocking { node.createContext(application, arguments, name) }.blocking()

    public fun inspect(invitation: String): InvitationInfo = node.inspect(invitation)

    @JvmOverloads
    public fun join(
        invitation: String,
        timeout: Duration = Duration.ofSeconds(60),
        onProgress: ProgressListener? = null,
    ): BlockingContext = runBlocking { node.join(invitation, timeout.toKotlinDuration(), onProgress) }.blocking()

    public fun contexts(): List<ContextInfo> = node.contexts()

    public fun context(id: Id): BlockingContext = node.context(id).blocking()

    public fun connect(address: String): Unit = runBlocking { node.connect(address) }

    override fun close(): Unit = node.close()

    public companion object {
        /** [Node.open]. */
        @JvmStatic
        @JvmOverloads
        public fun open(path: Path?, options: NodeOptions = NodeOptions()): BlockingNode =
            runBlocking { Node.open(path, options) }.blocking()
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
        runBlocking { context.execute(method, arguments) }

    @JvmOverloads
    public fun query(method: String, arguments: ByteArray = ByteArray(0)): ByteArray =
        runBlocking { context.query(method, arguments) }

    @JvmOverloads
    public fun get(key: StateKey, level: Level = Level.TENTATIVE): ByteArray? = runBlocking { context.get(key, level) }

    @JvmOverloads
    public fun entries(
        prefix: ByteArray = ByteArray(0),
        after: StateKey? = null,
        limit: Int = 1000,
        level: Level = Level.TENTATIVE,
    ): List<Entry> = runBlocking { context.entries(prefix, after, limit, level) }

    public fun put(key: StateKey, value: ByteArray): Id = runBlocking { context.put(key, value) }

    public fun delete(key: StateKey): Id = runBlocking { context.delete(key) }

    public fun add(key: StateKey, number: Long): Long = runBlocking { context.add(key, number) }

    public fun compareAndSet(key: StateKey, expected: ByteArray?, value: ByteArray?): Id =
        runBlocking { context.compareAndSet(key, expected, value) }

    public fun append(key: StateKey, bytes: ByteArray): Id = runBlocking { context.append(key, bytes) }

    public fun batch(batch: Batch): Id = runBlocking { context.batch(batch) }

    /** Subscribes from now on, or after a cursor. */
    @JvmOverloads
    public fun subscribe(after: Long? = null): BlockingEvents = BlockingEvents(runBlocking { context.subscribe(after) })

    public fun members(): List<Member> = runBlocking { context.members() }

    public fun setRole(member: Id, role: Role): Id = runBlocking { context.setRole(member, role) }

    public fun setName(name: String): Id = runBlocking { context.setName(name) }

    public fun setDisplayName(name: String): Id = runBlocking { context.setDisplayName(name) }

    public fun remove(member: Id): Id = runBlocking { context.remove(member) }

    public fun leave(): Unit = runBlocking { context.leave() }

    /** [Context.invite]; `expiresIn` null: no end. */
    @JvmOverloads
    public fun invite(
        role: Role = Role.WRITER,
        expiresIn: Duration? = Duration.ofDays(7),
        maxUses: Int = 1,
        note: String = "",
    ): Invitation = runBlocking { context.invite(role, expiresIn?.toKotlinDuration(), maxUses, note) }

    public fun invitations(): List<IssuedInvitation> = runBlocking { context.invitations() }

    public fun revoke(invitation: Id): Id = runBlocking { context.revoke(invitation) }

    public fun skip(transaction: Id): Id = runBlocking { context.skip(transaction) }

    public fun transaction(id: Id): Transaction? = runBlocking { context.transaction(id) }

    @JvmOverloads
    public fun history(after: Place? = null, limit: Int = 1000): List<Transaction> =
        runBlocking { context.history(after, limit) }

    public fun status(): ContextStatus = runBlocking { context.status() }

    public fun commitment(): Id = runBlocking { context.commitment() }

    @JvmOverloads
    public fun waitSynced(timeout: Duration = Duration.ofSeconds(60)): Unit =
        runBlocking { context.waitSynced(timeout.toKotlinDuration()) }
}

/** A subscription for callers without coroutines. */
public class BlockingEvents internal constructor(private val events: Events) : AutoCloseable {
    /** The next event; `null` if none comes in time. [KithException.Closed] at the end of the stream. */
    public fun next(timeout: Duration): Event? =
        runBlocking { withTimeoutOrNull(timeout.toKotlinDuration()) { events.next() } }

    /** Hands over all events until the stream ends or the thread is interrupted. */
    public fun forEach(consumer: Consumer<Event>): Unit = runBlocking { events.asFlow().collect { consumer.accept(it) } }

    /** Ends the subscription. Twice is fine. */
    override fun close(): Unit = events.close()
}
