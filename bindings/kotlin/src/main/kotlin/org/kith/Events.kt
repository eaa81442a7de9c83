package org.kith

import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.atomic.AtomicLong
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import org.kith.internal.Event as NativeEvent
import org.kith.internal.Events as NativeEvents
import org.kith.internal.Happened

/** Something that happened in a context. `context.events(after = event.cursor)` goes on behind it. */
public sealed interface Event {
    /** Where in the stream it is. Events that happened together share a cursor. */
    public val cursor: Long

    /** A call was executed at its place. It may come again with another outcome after [Reordered]. */
    public data class Executed(override val cursor: Long, val transaction: Id, val member: Id, val again: Boolean) : Event

    /** These entries of the state changed. */
    public data class Changed(override val cursor: Long, val keys: List<StateKey>) : Event

    /** Something was inserted into the order before what was there; `first` is the first transaction that moved. */
    public data class Reordered(override val cursor: Long, val first: Id) : Event

    /** A transaction of this node's own was accepted when it was made, and counts no more. */
    public data class Rejected(override val cursor: Long, val transaction: Id, val reason: String) : Event

    /** Somebody became a member. */
    public data class MemberJoined(override val cursor: Long, val member: Id, val role: Role) : Event

    /** A member left. */
    public data class MemberLeft(override val cursor: Long, val member: Id) : Event

    /** A member was removed. */
    public data class MemberRemoved(override val cursor: Long, val member: Id) : Event

    /** A member has another role. */
    public data class RoleChanged(override val cursor: Long, val member: Id, val role: Role) : Event

    /** A member calls itself something else; or, where it names no member, the context is called something else. */
    public data class Renamed(override val cursor: Long, val member: Id?, val name: String) : Event

    /** A member has signed two histories. */
    public data class Equivocation(override val cursor: Long, val member: Id, val one: Id, val other: Id) : Event

    /** Applying stands still. */
    public data class Blocked(override val cursor: Long, val cause: String) : Event

    /** The application says something. */
    public class Emitted internal constructor(
        override val cursor: Long,
        public val transaction: Id,
        public val name: String,
        public val data: ByteArray,
    ) : Event {
        override fun toString(): String = "Emitted(cursor=$cursor, name=$name)"
    }

    /** How far catch-up with a peer is, in transactions. Not replayed. */
    public data class SyncProgress(override val cursor: Long, val peer: String, val done: Long, val total: Long) : Event

    /** Everything that the peer has is here. Not replayed. */
    public data class Synced(override val cursor: Long, val peer: String) : Event

    /** A member's node is connected. Not replayed. */
    public data class PeerConnected(override val cursor: Long, val peer: String, val member: Id) : Event

    /**
     * A member's node is connected no more. Not replayed.
     *
     * `reason` is one of these words, which stay the same, then `: ` and, for people, what exactly it was:
     * - `closed`: by this side, which suspends, shuts down, leaves, or reads its store anew;
     * - `gone`: by the other side, or the connection is lost;
     * - `refused`: one of them is no member any more in the other's eyes;
     * - `misbehaved`: it sent what no honest node sends;
     * - `version`: it speaks another version of sync;
     * - `limit`: it sent more than it may, or takes nothing, or comes too fast for this side;
     * - `timeout`: it stands still where something is due.
     */
    public data class PeerDisconnected(override val cursor: Long, val peer: String, val reason: String) : Event

    /** The reader was too slow and events were dropped: start again from the cursor, or read the state again. */
    public data class Lagged(override val cursor: Long, val missed: Long) : Event

    /** The context is closed here. The last event. */
    public data class Closed(override val cursor: Long, val reason: String) : Event

    /**
     * Keys or a message that a member made cannot be opened here. Nothing is lost: what it says comes from another member, or from that one, as
     * soon as one is connected. If it happens again and again with one member, its device or its build is at fault. `what` says, for people, what is
     * wrong and what to do about it.
     */
    public data class KeyTrouble(override val cursor: Long, val member: Id, val transaction: Id, val what: String) : Event

    /**
     * A member sent a message under keys that were not to be used: a removed member may be able to read it. Its build is at fault, or it does
     * so on purpose: have it updated, or remove it.
     */
    public data class KeyViolation(override val cursor: Long, val member: Id, val transaction: Id) : Event

    /** An event that this version of the package does not know. */
    public data class Unknown(override val cursor: Long, val description: String) : Event

    private companion object
}

private fun eventOf(happened: Happened): Event {
    val cursor = happened.cursor.toLong()
    return when (val event = happened.event) {
        is NativeEvent.Executed -> Event.Executed(cursor, Id(event.transaction), Id(event.member), event.again)
        is NativeEvent.Changed -> Event.Changed(cursor, event.keys.map(::StateKey))
        is NativeEvent.Reordered -> Event.Reordered(cursor, Id(event.first))
        is NativeEvent.Rejected -> Event.Rejected(cursor, Id(event.transaction), event.reason)
        is NativeEvent.MemberJoined -> Event.MemberJoined(cursor, Id(event.member), Role.of(event.role))
        is NativeEvent.MemberLeft -> Event.MemberLeft(cursor, Id(event.member))
        is NativeEvent.MemberRemoved -> Event.MemberRemoved(cursor, Id(event.member))
        is NativeEvent.RoleChanged -> Event.RoleChanged(cursor, Id(event.member), Role.of(event.role))
        is NativeEvent.Renamed -> Event.Renamed(cursor, event.member?.let(::Id), event.name)
        is NativeEvent.Equivocation -> Event.Equivocation(cursor, Id(event.member), Id(event.one), Id(event.other))
        is NativeEvent.Blocked -> Event.Blocked(cursor, event.cause)
        is NativeEvent.Emitted -> Event.Emitted(cursor, Id(event.transaction), event.name, event.data)
        is NativeEvent.SyncProgress -> Event.SyncProgress(cursor, event.peer, event.done.toLong(), event.total.toLong())
        is NativeEvent.Synced -> Event.Synced(cursor, event.peer)
        is NativeEvent.PeerConnected -> Event.PeerConnected(cursor, event.peer, Id(event.member))
        is NativeEvent.PeerDisconnected -> Event.PeerDisconnected(cursor, event.peer, event.reason)
        is NativeEvent.Lagged -> Event.Lagged(cursor, event.missed.toLong())
        is NativeEvent.Closed -> Event.Closed(cursor, event.reason)
        is NativeEvent.KeyTrouble -> Event.KeyTrouble(cursor, Id(event.member), Id(event.transaction), event.what)
        is NativeEvent.KeyViolation -> Event.KeyViolation(cursor, Id(event.member), Id(event.transaction))
        is NativeEvent.Unknown -> Event.Unknown(cursor, event.description)
    }
}

/** A subscription that has begun. It ends after [Event.Closed], and when the node is shut down. Close it when it is not wanted any more. */
public class Events internal constructor(private val native: NativeEvents) : AutoCloseable {
    private val atHand = ConcurrentLinkedQueue<Happened>()
    private val takes = AtomicLong()
    @Volatile private var closed = false
    @Volatile private var ended = false

    /** Waits for the next event; where several coroutines do, each event goes to one of them. Cancelling the wait loses none. [KithException.Closed] at the end of the stream, and once this is closed. */
    public suspend fun next(): Event {
        while (true) {
            currentCoroutineContext().ensureActive()
            if (closed) throw KithException.Closed("the subscription is closed")
            if (ended) throw KithException.Closed("the context is closed here, and this was said already")
            // Before what is at hand: a take between the two is then one that the wait has not seen.
            val seen = takes.get()
            translated { atHand.poll() }?.let { happened ->
                return eventOf(happened).also { if (it is Event.Closed) ended = true }
            }
            try {
                translated {
                    native.ready(seen.toULong())
                    take()
                }
            } catch (error: IllegalStateException) {
                // The generated object says so when it has been let go; a cancelled coroutine's exception is of that kind too.
                if (closed && error !is CancellationException) throw KithException.Closed("the subscription is closed")
                throw error
            }
        }
    }

    /** Takes what is there, if no other coroutine was faster. What is counted is at hand. */
    private fun take() {
        val happened = native.take()
        if (happened.isNotEmpty()) {
            atHand.addAll(happened)
            takes.incrementAndGet()
        }
    }

    /** The events to come, for one collector at a time. */
    public fun asFlow(): Flow<Event> = flow {
        while (true) {
            emit(try { next() } catch (_: KithException.Closed) { return@flow })
        }
    }

    /** Ends the subscription. Twice is fine. A wait that is under way is not ended by this: cancel it. */
    override fun close() {
        closed = true
        native.close()
    }
}
