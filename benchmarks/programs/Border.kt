// What crossing the border costs from Kotlin: `BorderKt CALLS` prints `figure border.kotlin.NAME MICROSECONDS`, medians over so many calls
// on a node in memory. The same measurements as in border.c.

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

private suspend fun measure(name: String, calls: Int, body: suspend () -> Unit) {
    repeat(calls / 2) { body() } // the JVM compiles what is called often
    val times = LongArray(calls)
    for (call in 0..<calls) {
        val start = System.nanoTime()
        body()
        times[call] = System.nanoTime() - start
    }
    times.sort()
    println("figure border.kotlin.$name ${times[calls / 2] / 1e3}")
}

fun main(arguments: Array<String>) = runBlocking {
    val calls = arguments[0].toInt()
    Hub().node().use { node ->
        node.register("echo", Echo)
        val context = node.createContext()
        val own = node.createContext("echo")
        val large = ByteArray(64 * 1024) { 7 }
        val small = large.copyOf(100)
        val smallKey = StateKey.of("other", "small")
        val largeKey = StateKey.of("other", "large")
        val prefix = StateKey.collection("page")
        context.put(smallKey, small)
        context.put(largeKey, large)
        repeat(100) { context.put(StateKey.of("page", "$it"), small) }
        measure("get", calls) { check(context.get(smallKey)!!.size == 100) }
        measure("get64k", calls) { check(context.get(largeKey)!!.size == large.size) }
        measure("page", calls / 10) { check(context.entries(prefix, limit = 100).size == 100) }
        measure("host", calls) { own.query("echo", ByteArray(32)) }
        measure("execute", calls / 10) { own.execute("echo", ByteArray(32)) }
        measure("put64k", calls / 10) { context.put(largeKey, large) }
        val count = calls / 10
        repeat(count) { context.put(smallKey, small) }
        context.subscribe(after = 0).use { events ->
            val start = System.nanoTime()
            repeat(count) { events.next() }
            println("figure border.kotlin.event ${(System.nanoTime() - start) / 1e3 / count}")
        }
    }
}
