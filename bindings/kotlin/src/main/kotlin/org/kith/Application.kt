package org.kith

import java.util.concurrent.CancellationException
import java.util.concurrent.TimeoutException
import org.kith.internal.ApplicationFailure
import org.kith.internal.Call as NativeCall
import org.kith.internal.HostApplication
import org.kith.internal.HostState

/** One method call, as every member sees it. */
public class Call internal constructor(
    public val method: String,
    public val arguments: ByteArray,
    /** Who calls. */
    public val member: Id,
    /** The caller's role at this place in the order. */
    public val role: Role,
    /** The transaction that carries the call. */
    public val transaction: Id,
    /** The author's clock, ms since 1970. The same everywhere, but the author may lie. */
    public val timestamp: Long,
)

/** The state during one call of an application. It is closed when the call ends, and stays on the call's thread. */
public class State internal constructor(private val native: HostState) {
    /** The value under a key. */
    public operator fun get(key: StateKey): ByteArray? = inApplication { native.get(key.toByteArray()) }

    /** Sets a key's value (at most 1 MiB). */
    public fun put(key: StateKey, value: ByteArray): Unit = inApplication { native.put(key.toByteArray(), value) }

    /** Removes a key; nothing happens if it is absent. */
    public fun delete(key: StateKey): Unit = inApplication { native.delete(key.toByteArray()) }

    /** At most `limit` entries whose keys begin with `prefix` and sort after `after`, in key order. */
    @JvmOverloads
    public fun entries(prefix: ByteArray = ByteArray(0), after: StateKey? = null, limit: Int = 100): List<Entry> =
        inApplication { native.entries(prefix, after?.toByteArray(), limitOf(limit)) }.map { Entry(StateKey(it.key), it.value) }

    /** Hands a named message to the hosts of all members, once the call is accepted. */
    @JvmOverloads
    public fun emit(name: String, data: ByteArray = ByteArray(0)): Unit = inApplication { native.emit(name, data) }
}

/** A failure of the state on its way through the application. The library knows it already. */
private class StateFailure(val failure: ApplicationFailure) : RuntimeException(wordsOf(failure), failure)

private fun wordsOf(failure: ApplicationFailure) = when (failure) {
    is ApplicationFailure.Rejected -> failure.words
    is ApplicationFailure.Fault -> failure.words
}

private inline fun <T> inApplication(body: () -> T): T =
    try {
        body()
    } catch (failure: ApplicationFailure) {
        throw StateFailure(failure)
    } catch (_: IllegalStateException) {
        throw StateFailure(ApplicationFailure.Rejected("the call that this state was for has ended"))
    }

/**
 * Thrown by an application when something is wrong on this machine only.
 *
 * Applying halts, says so ([Event.Blocked]), and is tried again every few seconds; an admin's [Context.skip] rejects the call for
 * all. Errors of the virtual machine, `TimeoutException`, `InterruptedException`, `CancellationException` and this library's own
 * exceptions count as faults of this machine too, but for [KithException.InvalidArgument], [KithException.LimitExceeded] and
 * [KithException.Rejected], which every member gets alike. Every other exception rejects the call, which is what every member must
 * then do.
 */
public class LocalFault @JvmOverloads constructor(message: String, cause: Throwable? = null) : Exception(message, cause)

/**
 * Deterministic code that executes method calls. Subclass it and register it with [Node.register].
 *
 * The same inputs must give the same result on every member, in every language: no clock, no randomness, no I/O, no floats from
 * outside.
 *
 * Each context calls it on a thread of its own (`kith-context`), one call after another: one that hangs holds up its own context and
 * no other. It may use the state that it is given, [StateKey] and [Id]; other calls of this library from there are
 * [KithException.Unsupported], since the thread that would answer is the one that asks.
 */
public abstract class Application {
    /** Sets up the state of a new context from its creator's arguments. */
    public open fun initialise(arguments: ByteArray, state: State) {
        require(arguments.isEmpty()) { "this application takes no arguments" }
    }

    /** Executes one call; the bytes are the receipt's output. Throwing rejects the call. */
    public abstract fun execute(call: Call, state: State): ByteArray

    /** Answers a read-only call, on this member only; whatever it writes is thrown away. */
    public open fun query(method: String, arguments: ByteArray, state: State): ByteArray =
        throw IllegalArgumentException("this application has no query `$method`")
}

/** An application as the library calls it: bytes in, bytes out, and two kinds of failure. */
internal class Hosted(private val application: Application) : HostApplication {
    override fun initialise(arguments: ByteArray, state: HostState) =
        outcome(state) { application.initialise(arguments, State(state)) }

    override fun execute(call: NativeCall, state: HostState): ByteArray =
        outcome(state) {
            val seen = Call(
                call.method,
                call.arguments,
                Id(call.member),
                Role.of(call.role),
                Id(call.transaction),
                call.timestamp.toLong(),
            )
            application.execute(seen, State(state))
        }

    override fun query(method: String, arguments: ByteArray, state: HostState): ByteArray =
        outcome(state) { application.query(method, arguments, State(state)) }

    private fun <T> outcome(state: HostState, body: () -> T): T =
        try {
            Inside.of("an application's callback", body)
        } catch (failure: StateFailure) {
            throw failure.failure
        } catch (error: Throwable) {
            throw if (isLocal(error)) ApplicationFailure.Fault(text(error)) else ApplicationFailure.Rejected(text(error))
        } finally {
            state.close()
        }

    private fun isLocal(error: Throwable): Boolean =
        when (error) {
            is KithException.InvalidArgument, is KithException.LimitExceeded, is KithException.Rejected -> false
            is LocalFault, is KithException, is TimeoutException, is CancellationException, is InterruptedException -> true
            is AssertionError -> false
            else -> error is Error
        }

    private fun text(error: Throwable): String {
        val words = try { error.message } catch (_: Exception) { null }
        val name = error.javaClass.simpleName.ifEmpty { error.javaClass.name }
        return if (words.isNullOrEmpty()) name else "$name: $words"
    }
}
