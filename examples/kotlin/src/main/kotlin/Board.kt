// An application of the host's own, in Kotlin: a board of 8 x 8 cells on which members place pieces and move them. Every member's node
// executes every move, and all of them come to the same board: the same application is there in Rust, Python, C and Swift.
//
// `java -cp 'target/classes:target/dependency/*' BoardKt DIRECTORY` is told on standard input what to do, line by line; the program in
// Rust (examples/rust/src/bin/board.rs) says what, and what it answers.

import java.nio.file.Path
import java.util.HexFormat
import java.util.concurrent.atomic.AtomicInteger
import kotlin.math.abs
import kotlin.math.max
import kotlin.system.exitProcess
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelChildren
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.job
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.kith.Application
import org.kith.Call
import org.kith.Context
import org.kith.Event
import org.kith.Id
import org.kith.KithException
import org.kith.Node
import org.kith.State
import org.kith.StateKey

private const val SIZE = 8
private const val PIECES = 8

/** The call is against the rules. */
private class Refused(why: String) : Exception(why)

private fun need(condition: Boolean, why: String) {
    if (!condition) throw Refused(why)
}

private fun hex(bytes: ByteArray): String = HexFormat.of().formatHex(bytes)

private fun little(number: Long, size: Int): ByteArray = ByteArray(size) { (number shr (8 * it)).toByte() }

private fun cell(x: Byte, y: Byte): StateKey = StateKey.of("board", "$x,$y")

private fun pieces(state: State): List<ByteArray> =
    state.entries(StateKey.collection("board"), limit = SIZE * SIZE).map { it.value }

private fun scoreKey(member: ByteArray): StateKey = StateKey.of("moves", hex(member))

private fun score(state: State, member: ByteArray): Long =
    (state[scoreKey(member)] ?: ByteArray(0)).foldRight(0L) { byte, number -> number shl 8 or (byte.toLong() and 0xff) }

/** Throwing refuses the call, on every member alike. */
private object Board : Application() {
    override fun execute(call: Call, state: State): ByteArray = when (call.method) {
        "place" -> place(call, state)
        "move" -> move(call, state)
        "fault" -> throw Refused("on purpose")
        else -> throw Refused("unknown method")
    }

    private fun place(call: Call, state: State): ByteArray {
        need(call.arguments.size == 2, "arguments")
        need(call.arguments.all { it in 0..<SIZE }, "off the board")
        val (x, y) = call.arguments
        need(state[cell(x, y)] == null, "occupied")
        val me = call.member.toByteArray()
        val own = pieces(state).count { it.contentEquals(me) }
        need(own < PIECES, "too many pieces")
        state.put(cell(x, y), me)
        return byteArrayOf((own + 1).toByte())
    }

    private fun move(call: Call, state: State): ByteArray {
        need(call.arguments.size == 4, "arguments")
        need(call.arguments.all { it in 0..<SIZE }, "off the board")
        val (x1, y1, x2, y2) = call.arguments
        val me = call.member.toByteArray()
        need(state[cell(x1, y1)].contentEquals(me), "not yours")
        need(!state[cell(x2, y2)].contentEquals(me), "occupied")
        need(max(abs(x1 - x2), abs(y1 - y2)) == 1, "too far")
        state.delete(cell(x1, y1))
        state.put(cell(x2, y2), me)
        val moves = little(score(state, me) + 1, 8)
        state.put(scoreKey(me), moves)
        state.emit("moved", call.arguments)
        return moves
    }

    override fun query(method: String, arguments: ByteArray, state: State): ByteArray = when (method) {
        "count" -> little(pieces(state).size.toLong(), 4)
        "score" -> {
            need(arguments.size == Id.SIZE, "arguments")
            little(score(state, arguments), 8)
        }
        else -> throw Refused("unknown method")
    }
}

private fun say(vararg words: Any) {
    println(words.joinToString(" "))
    System.out.flush()
}

private class Table(private val node: Node, private val scope: CoroutineScope) {
    private var entered: Context? = null
    private val moved = AtomicInteger()

    private fun context(): Context =
        entered ?: throw KithException.InvalidArgument("there is no context: create NAME or join TOKEN")

    private fun enter(context: Context) {
        say("context", context.id)
        entered = context
        scope.launch { context.events(after = 0).filterIsInstance<Event.Reordered>().collect { moved.incrementAndGet() } }
    }

    suspend fun obey(command: String, argument: String) {
        val method = argument.substringBefore(' ')
        val arguments = { HexFormat.of().parseHex(argument.substringAfter(' ', "")) }
        when (command) {
            "create" -> enter(node.createContext("board", name = argument))
            "join" -> enter(node.join(argument))
            "open" -> enter(node.context(node.contexts().first().id))
            "invite" -> say("token", context().invite())
            "me" -> say("member", context().me)
            "call" -> say("ok", hex(context().execute(method, arguments()).output))
            "query" -> say("ok", hex(context().query(method, arguments())))
            "synced" -> {
                context().waitSynced()
                say("ok")
            }
            "commitment" -> context().status().let { say("commitment", it.commitment, it.digest) }
            "history" -> {
                var page = context().history()
                while (page.isNotEmpty()) {
                    page.forEach { say("transaction", it.id, it.outcome.name.lowercase()) }
                    page = context().history(after = page.last().place)
                }
                say("moved", moved)
            }
            "cells" -> {
                context().allEntries().collect { say("entry", it.key, hex(it.value)) }
                say("end")
            }
            else -> throw KithException.InvalidArgument("no such command: $command")
        }
    }
}

private suspend fun play(directory: String): Unit = coroutineScope {
    val own = Node.open(Path.of(directory)) {
        listen = listOf("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")
        discovery = false
    }
    own.use { node ->
        node.register("board", Board)
        val table = Table(node, this)
        for (line in generateSequence(::readlnOrNull)) {
            val (command, argument) = line.trim().split(' ', limit = 2).let { it[0] to it.getOrElse(1) { "" } }
            if (command == "quit") break
            try {
                table.obey(command, argument)
            } catch (error: KithException) {
                say("error", error.javaClass.simpleName, error.message ?: "")
            } catch (_: IllegalArgumentException) {
                say("error InvalidArgument the arguments are not hexadecimal")
            }
        }
        coroutineContext.job.cancelChildren()
    }
}

fun main(arguments: Array<String>) {
    if (arguments.size != 1) {
        System.err.println("usage: BoardKt DIRECTORY")
        exitProcess(1)
    }
    // A thread that waits for the keyboard is not one that the events need.
    runBlocking(Dispatchers.IO) { play(arguments[0]) }
}
