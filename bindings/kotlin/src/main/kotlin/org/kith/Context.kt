package org.kith

import kotlin.time.Duration
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.flow
import org.kith.internal.Context as NativeContext
import org.kith.internal.Entry as NativeEntry
import org.kith.internal.Operation

/** Several operations for [Context.batch], carried out together: all or none. */
public class Batch {
    internal val operations = mutableListOf<Operation>()

    /** Sets a key to a value. */
    public fun put(key: StateKey, value: ByteArray): Batch = add(Operation.Put(key.toByteArray(), value))

    /** Removes a key. */
    public fun delete(key: StateKey): Batch = add(Operation.Delete(key.toByteArray()))

    /** Adds to a counter. */
    public fun add(key: StateKey, number: Long): Batch = add(Operation.Add(key.toByteArray(), number))

    /** Sets or removes a key if its value is the expected one; else the whole batch is rejected. */
    public fun compareAndSet(key: StateKey, expected: ByteArray?, value: ByteArray?): Batch =
        add(Operation.CompareAndSet(key.toByteArray(), expected, value))

    /** Appends to a value. */
    public fun append(key: StateKey, bytes: ByteArray): Batch = add(Operation.Append(key.toByteArray(), bytes))

    private fun add(operation: Operation): Batch = apply { operations.add(operation) }
}

/**
 * An application's state that its members share.
 *
 * Functions that write return once what they wrote is durable and on its way. Cancelling the coroutine of one lets it finish in the
 * background, whole: whether it still happens is known by looking. Cancelling one that reads or waits drops it. Handles are cheap
 * and hold nothing open: the context lives with its node. After the node's shutdown every function throws [KithException.Closed], and so do those
 * that need the store while the node is suspended.
 *
 * From Java: [blocking].
 */
public class Context internal constructor(private val native: NativeContext) {
    /** The context's id. */
    public val id: Id = Id(native.id())

    /** This node's member in the context. */
    public val me: Id = Id(native.me())

    /** This node's role; `null` if it is no member (yet, or any more). */
    public val role: Role? get() = native.role()?.let(Role::of)

    /** The name of the application. */
    public val application: String get() = native.application()

    /** What the context is called. */
    public val name: String get() = native.name()

    override fun equals(other: Any?): Boolean = other is Context && id == other.id && me == other.me

    override fun hashCode(): Int = 31 * id.hashCode() + me.hashCode()

    override fun toString(): String = "Context(${id.toString().take(8)}…)"

    /**
     * Carries out a method call of the application.
     *
     * When it returns, the call is executed, durable and on its way to the other members. What the application refuses is
     * [KithException.Rejected], and is not published.
     */
    public suspend fun execute(method: String, arguments: ByteArray = ByteArray(0)): Receipt = translated {
        native.execute(method, arguments).let { Receipt(Id(it.transaction), it.output) }
    }

    /** Answers a read-only call of the application, on this member only. */
    public suspend fun query(method: String, arguments: ByteArray = ByteArray(0)): ByteArray =
        translated { native.query(method, arguments) }

    /** The value under a key; `null` if there is none. */
    public suspend fun get(key: StateKey, level: Level = Level.TENTATIVE): ByteArray? =
        translated { native.get(key.toByteArray(), level == Level.FINAL) }

    internal fun getBlocking(key: StateKey, level: Level): ByteArray? =
        translated { native.getBlocking(key.toByteArray(), level == Level.FINAL) }

    /**
     * A page of entries in key order: those whose keys begin with `prefix` and sort after `after`. At most `limit`, 1,000 entries
     * and 1 MiB. A page without entries is the end.
     */
    public suspend fun entries(
        prefix: ByteArray = ByteArray(0),
        after: StateKey? = null,
        limit: Int = 1000,
        level: Level = Level.TENTATIVE,
    ): List<Entry> = translated {
        listed(native.entries(prefix, after?.toByteArray(), limitOf(limit), level == Level.FINAL))
    }

    internal fun entriesBlocking(prefix: ByteArray, after: StateKey?, limit: Int, level: Level): List<Entry> = translated {
        listed(native.entriesBlocking(prefix, after?.toByteArray(), limitOf(limit), level == Level.FINAL))
    }

    private fun listed(page: List<NativeEntry>): List<Entry> = page.map { Entry(StateKey(it.key), it.value) }

    /** All entries whose keys begin with `prefix`, page by page. What changes meanwhile may be seen or not. */
    public fun allEntries(prefix: ByteArray = ByteArray(0), level: Level = Level.TENTATIVE): Flow<Entry> = flow {
        var page = entries(prefix, level = level)
        while (page.isNotEmpty()) {
            page.forEach { emit(it) }
            page = entries(prefix, after = page.last().key, level = level)
        }
    }

    /** Sets a key to a value of at most 1 MiB; the transaction's id. Needs the `kv` application, like the next five. */
    public suspend fun put(key: StateKey, value: ByteArray): Id = translated { Id(native.put(key.toByteArray(), value)) }

    /** Removes a key; nothing happens if it is absent. */
    public suspend fun delete(key: StateKey): Id = translated { Id(native.delete(key.toByteArray())) }

    /** Adds to a counter; its new value, which may still move with the order. */
    public suspend fun add(key: StateKey, number: Long): Long = translated { native.add(key.toByteArray(), number) }

    /** Sets a key if its value is the expected one; [KithException.Rejected] otherwise. `null` stands for absence. */
    public suspend fun compareAndSet(key: StateKey, expected: ByteArray?, value: ByteArray?): Id =
        translated { Id(native.compareAndSet(key.toByteArray(), expected, value)) }

    /** Appends to a value; the result has at most 1 MiB. */
    public suspend fun append(key: StateKey, bytes: ByteArray): Id =
        translated { Id(native.append(key.toByteArray(), bytes)) }

    /** Carries out several operations, all or none. */
    public suspend fun batch(batch: Batch): Id = translated { Id(native.batch(batch.operations.toList())) }

    /**
     * The events from now on, or those after a cursor and then from now on (each at least once). "Now" is when collecting begins;
     * ending it ends the subscription. [KithException.CursorExpired] if what followed the cursor is not kept any more.
     */
    public fun events(after: Long? = null): Flow<Event> = flow { subscribe(after).use { emitAll(it.asFlow()) } }

    /** Like [events], but "now" is when this returns, so that nothing that is done afterwards is missed. */
    public suspend fun subscribe(after: Long? = null): Events {
        if (after != null && after < 0) throw KithException.InvalidArgument("the cursor is $after")
        return translated { Events(native.events(after?.toULong())) }
    }

    /** The members. */
    public suspend fun members(): List<Member> = translated { native.members().map(Member::of) }

    /** Gives a member another role; the transaction's id. Needs an admin; an admin is demoted only by a senior one or by itself. */
    public suspend fun setRole(member: Id, role: Role): Id = translated { Id(native.setRole(member.toByteArray(), role.text)) }

    /** Says what the context is called, in at most 128 bytes; the transaction's id. Needs an admin. */
    public suspend fun setName(name: String): Id = translated { Id(native.setName(name)) }

    /** Says what this member calls itself, in at most 128 bytes; empty takes it back. The transaction's id. */
    public suspend fun setDisplayName(name: String): Id = translated { Id(native.setDisplayName(name)) }

    /**
     * Removes a member; the transaction's id. Needs an admin; an admin is removed only by a senior one. What it wrote and this node
     * has not seen does not count.
     */
    public suspend fun remove(member: Id): Id = translated { Id(native.remove(member.toByteArray())) }

    /**
     * Leaves the context: tells the others and deletes this node's copy.
     *
     * If nobody has heard of it within 5 s this returns all the same, and the copy is deleted once somebody has, in 30 days at the
     * latest. The last admin of a context with other members has to make another one admin first. A context whose joining has not
     * come to its end is deleted at once. Cancelling lets it finish in the background.
     */
    public suspend fun leave(): Unit = translated { native.leave() }

    /** Makes an invitation, to be handed to who shall join. Needs an admin. `expiresIn = null`: no end. `note`: at most 128 bytes. */
    public suspend fun invite(
        role: Role = Role.WRITER,
        expiresIn: Duration? = 7.days,
        maxUses: Int = 1,
        note: String = "",
    ): Invitation {
        if (maxUses < 0) throw KithException.InvalidArgument("maxUses is $maxUses")
        val expires = expiresIn?.let { millisOf(it, "expiresIn") }
        return translated { Invitation.of(native.invite(role.text, expires, maxUses.toUInt(), note)) }
    }

    /** The invitations of the context. */
    public suspend fun invitations(): List<IssuedInvitation> = translated { native.invitations().map(IssuedInvitation::of) }

    /** Takes an invitation back, by its id; the transaction's id. Needs an admin. Who joined by it without this having been seen is out. */
    public suspend fun revoke(invitation: Id): Id = translated { Id(native.revoke(invitation.toByteArray())) }

    /**
     * Rejects a call for all members, after a local fault that stops applying ([ContextStatus.blocked] names it). Needs an admin. The
     * id of the transaction that says so.
     */
    public suspend fun skip(transaction: Id): Id = translated { Id(native.skip(transaction.toByteArray())) }

    /** How it stands with a transaction; `null` if it is not in the history. */
    public suspend fun transaction(id: Id): Transaction? =
        translated { native.transaction(id.toByteArray())?.let(Transaction::of) }

    /** A page of the order: at most `limit` (and 1,000) transactions after a place ([Transaction.place]). */
    public suspend fun history(after: Place? = null, limit: Int = 1000): List<Transaction> =
        translated { native.history(after?.bytes, limitOf(limit)).map(Transaction::of) }

    /** How it stands with the context, peer by peer. */
    public suspend fun status(): ContextStatus = translated { ContextStatus.of(native.status()) }

    /**
     * The state commitment: equal on all members that hold the same history. It is of the state alone, and may be equal before the histories are:
     * [ContextStatus.digest] is of these.
     */
    public suspend fun commitment(): Id = translated { Id(native.commitment()) }

    /**
     * Waits until all that is written here by now is durable with each connected member, and what these held is here;
     * [KithException.Timeout] otherwise, also where no member is connected. What either side writes meanwhile is not waited for. Cancelling drops the wait.
     */
    public suspend fun waitSynced(timeout: Duration = 60.seconds): Unit =
        translated { native.waitSynced(millisOf(timeout, "timeout")) }

    /** New keys, for this member and for all that is sent from now on: for when a device may have been copied. */
    public suspend fun rotateKeys(): Unit = translated { native.rotateKeys() }

    /** How it stands with the context's keys: which epoch, how old, who was given it, and what was seen that should not be. */
    public suspend fun security(): ContextSecurity = translated { ContextSecurity.of(native.security()) }

    /**
     * Compares everything that is kept of the context with what its history gives, and names the first difference: recomputes the order,
     * every receipt, every value and the state commitment. Nothing is changed. All calls are executed once more, so it takes as long as
     * executing the history did; other callers of the context wait for a slice of it at most. A record that the store cannot read is
     * [KithException.Corrupt]. Cancelling ends it.
     */
    public suspend fun verify(): Verification = translated { Verification.of(native.verify()) }

    /**
     * Why a key has its value: a page of the calls that wrote it, in order, at most `limit` (and 1,000) after a place ([Transaction.place]). Calls
     * that were rejected for what they read of the key are among them. (Who was not permitted has read nothing; that is in [history].)
     */
    public suspend fun explain(key: StateKey, after: Place? = null, limit: Int = 1000): List<Explanation> =
        translated { native.explain(key.toByteArray(), after?.bytes, limitOf(limit)).map(Explanation::of) }

    /** The same context for callers without coroutines. */
    public fun blocking(): BlockingContext = BlockingContext(this)
}
