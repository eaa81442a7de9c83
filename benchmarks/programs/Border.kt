// What crossing the border costs from Kotlin: `BorderKt CALLS` prints `figure border.kotlin.NAME MICROSECONDS` and the same for Java, medians
// over so many calls on a node in memory. The same measurements as in border.c.

import kotlinx.coroutines.runBlocking
import org.kith.Application
import org.kith.Call
import org.kith.State
import org.kith.StateKey
import org.kith.testing.Hub

private object Echo : Application() {
    override fun execute(call: Call, state: State): ByteArray = call.arguments

    override fun query(method: String, arguments: ByteArray, state: State): ByteArray = arguments
}

// Inline, so that what is measured may suspend, or not.
private inline fun measure(name: String, calls: Int, warm: Int = calls * 2, body: () -> Unit) {
    // The JVM compiles what is called often, and again what is called very often.
    repeat(warm) { body() }
    val times = LongArray(calls)
    for (call in 0..<calls) times[call] = timed(body)
    tell(name, times)
}

/** Two in turns: what is compared meets the same machine. */
private inline fun compare(name: String, other: String, calls: Int, warm: Int, body: () -> Unit, otherBody: () -> Unit) {
    repeat(warm) {
        body()
        otherBody()
    }
    val times = LongArray(calls)
    val others = LongArray(calls)
    for (call in 0..<calls) {
        times[call] = timed(body)
        others[call] = timed(otherBody)
    }
    tell(name, times)
    tell(other, others)
}

private inline fun timed(body: () -> Unit): Long {
    val start = System.nanoTime()
    body()
    return System.nanoTime() - start
}

private fun tell(name: String, times: LongArray) {
    times.sort()
    println("figure border.$name ${times[times.size / 2] / 1e3}")
}

private val large = ByteArray(64 * 1024) { 7 }
private val small = large.copyOf(100)
private val smallKey = StateKey.of("other", "small")
private val largeKey = StateKey.of("other", "large")
private val prefix = StateKey.collection("page")

/** Suspending, as Kotlin calls it. */
private suspend fun kotlin(calls: Int) = Hub().node().use { node ->
    node.register("echo", Echo)
    val context = node.createContext()
    val own = node.createContext("echo")
    context.put(smallKey, small)
    context.put(largeKey, large)
    repeat(100) { context.put(StateKey.of("page", "$it"), small) }
    compare(
        "kotlin.get", "kotlin.get64k", calls, warm = calls * 2,
        { check(context.get(smallKey)?.size == 100) },
        { check(context.get(largeKey)?.size == large.size) },
    )
    measure("kotlin.page", calls / 10) { check(context.entries(prefix, limit = 100).size == 100) }
    measure("kotlin.host", calls) { check(own.query("echo", ByteArray(32)).size == 32) }
    measure("kotlin.execute", calls / 10) { check(own.execute("echo", ByteArray(32)).output.size == 32) }
    compare(
        "kotlin.put", "kotlin.put64k", calls / 10, warm = calls / 20,
        { context.put(smallKey, small) },
        { context.put(largeKey, large) },
    )
    val count = calls / 10
    repeat(count) { context.put(smallKey, small) }
    context.subscribe(after = 0).use { events ->
        val start = System.nanoTime()
        repeat(count) { events.next() }
        println("figure border.kotlin.event ${(System.nanoTime() - start) / 1e3 / count}")
    }
}

/** Blocking, as Java calls it: each call waits on the thread that makes it. */
private fun java(calls: Int) {
    val native = runBlocking { Hub().node() }
    native.blocking().use { node ->
        node.register("echo", Echo)
        val context = node.createContext()
        val own = node.createContext("echo")
        context.put(smallKey, small)
        context.put(largeKey, large)
        repeat(100) { context.put(StateKey.of("page", "$it"), small) }
        compare(
            "java.get", "java.get64k", calls, warm = calls * 2,
            { check(context.get(smallKey)?.size == 100) },
            { check(context.get(largeKey)?.size == large.size) },
        )
        measure("java.page", calls / 10) { check(context.entries(prefix, null, 100).size == 100) }
        measure("java.host", calls) { check(own.query("echo", ByteArray(32)).size == 32) }
        measure("java.execute", calls / 10) { check(own.execute("echo", ByteArray(32)).output.size == 32) }
        compare(
            "java.put", "java.put64k", calls / 10, warm = calls / 20,
            { context.put(smallKey, small) },
            { context.put(largeKey, large) },
        )
        val count = calls / 10
        repeat(count) { context.put(smallKey, small) }
        context.subscribe(0).use { events ->
            val patience = java.time.Duration.ofSeconds(60)
            val start = System.nanoTime()
            repeat(count) { checkNotNull(events.next(patience)) }
            println("figure border.java.event ${(System.nanoTime() - start) / 1e3 / count}")
        }
    }
}

fun main(arguments: Array<String>) {
    val calls = arguments[0].toInt()
    runBlocking { kotlin(calls) }
    java(calls)
}
