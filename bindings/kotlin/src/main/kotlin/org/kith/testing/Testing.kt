/** Helpers for tests of programs that use Kith. */
package org.kith.testing

import org.kith.Application
import org.kith.Context
import org.kith.Entry
import org.kith.Hosted
import org.kith.Id
import org.kith.Node
import org.kith.NodeOptions
import org.kith.Role
import org.kith.StateKey
import org.kith.translated
import org.kith.internal.ApplicationBench as NativeBench
import org.kith.internal.Hub as NativeHub

/** A place in the memory of this process where nodes meet: no sockets, and links that a test can break. */
public class Hub {
    private val native: NativeHub = translated { NativeHub() }

    /** Breaks the link between two nodes and keeps them apart until [heal]. */
    public fun partition(one: Node, other: Node): Unit = translated { native.partition(one.id, other.id) }

    /** Lets two nodes meet again; they do so by themselves. */
    public fun heal(one: Node, other: Node): Unit = translated { native.heal(one.id, other.id) }

    /** A node that keeps everything in memory and meets the others of this hub. */
    public suspend fun node(options: NodeOptions.() -> Unit = {}): Node =
        Node.open(
            null,
            NodeOptions().apply(options).also {
                it.discovery = false
                it.hub = native
            },
        )
}

/** Two nodes in memory, shut down at the end. They meet when one joins a context of the other. */
public suspend fun <T> withTwoNodes(hub: Hub = Hub(), body: suspend (Node, Node) -> T): T =
    hub.node().use { one -> hub.node().use { other -> body(one, other) } }

/** A context of a first node that a second one has joined, as both hold it: the first is its admin. */
public suspend fun <T> withTwoMembers(
    application: String = "kv",
    applications: Pair<Application, Application>? = null,
    hub: Hub = Hub(),
    body: suspend (Context, Context) -> T,
): T = withTwoNodes(hub) { one, other ->
    applications?.let { (first, second) ->
        one.register(application, first)
        other.register(application, second)
    }
    val mine = one.createContext(application)
    body(mine, other.join(mine.invite().text))
}

/**
 * Runs one application's calls on a state in memory, through the same border as a node does. A rejected call throws
 * [org.kith.KithException.Rejected] and writes nothing; a local fault throws [org.kith.KithException.Blocked].
 */
public class ApplicationBench @JvmOverloads constructor(application: Application, arguments: ByteArray = ByteArray(0)) {
    private val native: NativeBench = translated { NativeBench(Hosted(application), arguments) }

    /** Executes a call; the application's answer. */
    @JvmOverloads
    public fun execute(
        method: String,
        arguments: ByteArray = ByteArray(0),
        member: Id = SOMEBODY,
        role: Role = Role.WRITER,
        timestamp: Long = 0,
    ): ByteArray = translated { native.execute(method, arguments, member.toByteArray(), role.text, timestamp.toULong()) }

    /** Answers a read-only call. */
    @JvmOverloads
    public fun query(method: String, arguments: ByteArray = ByteArray(0)): ByteArray =
        translated { native.query(method, arguments) }

    /** The whole state, in key order. */
    public fun entries(): List<Entry> = translated { native.entries().map { Entry(StateKey(it.key), it.value) } }

    /** The names of the messages that accepted calls have emitted. */
    public fun emitted(): List<String> = translated { native.emitted() }

    private companion object {
        val SOMEBODY = Id(ByteArray(Id.SIZE) { 1 })
    }
}
