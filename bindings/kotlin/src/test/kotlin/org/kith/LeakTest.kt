package org.kith

import com.sun.jna.Function
import com.sun.jna.Memory
import com.sun.jna.Pointer
import com.sun.jna.Structure
import java.io.File
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancel
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.yield
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.kith.internal.FfiConverterTypeHostApplication
import org.kith.internal.FfiConverterTypeJoinProgress
import org.kith.internal.FfiConverterTypeLogSink
import org.kith.internal.RustBuffer
import org.kith.internal.UniffiNullRustCallStatusErrorHandler
import org.kith.internal.uniffiContinuationHandleMap
import org.kith.internal.uniffiRustCallAsync
import org.kith.testing.ApplicationBench
import org.kith.testing.Hub

/** What glibc's `mallinfo2` answers. */
@Structure.FieldOrder(
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)
internal open class Mallinfo2 : Structure(), Structure.ByValue {
    @JvmField var arena: Long = 0
    @JvmField var ordblks: Long = 0
    @JvmField var smblks: Long = 0
    @JvmField var hblks: Long = 0
    @JvmField var hblkhd: Long = 0
    @JvmField var usmblks: Long = 0
    @JvmField var fsmblks: Long = 0
    @JvmField var uordblks: Long = 0
    @JvmField var fordblks: Long = 0
    @JvmField var keepcost: Long = 0
}

/** What this process uses now: allocated and not freed outside of the JVM's heap, and inside. */
internal class Usage {
    val native: Long
    val heap: Long
    val handles = File("/proc/self/fd").list()!!.size
    val threads = File("/proc/self/task").list()!!.size

    init {
        // The cleaner lets native objects go behind the collection that finds them.
        repeat(3) { System.gc(); Thread.yield() }
        val info = Function.getFunction("c", "mallinfo2").invoke(Mallinfo2::class.java, emptyArray()) as Mallinfo2
        native = info.uordblks + info.hblkhd
        heap = Runtime.getRuntime().run { totalMemory() - freeMemory() }
    }

    companion object {
        /** What is used once what was before has been let go. */
        suspend fun settled(): Usage {
            var last = Usage()
            repeat(50) {
                delay(50)
                val now = Usage()
                if (last.native - now.native < 64 shl 10 && last.heap - now.heap < 64 shl 10) return now
                last = now
            }
            return last
        }
    }

    /** Waits for what is let go late, prints what has come since, and fails if it is more than may. */
    suspend fun check(what: String, count: Int, each: Long, patience: Int = 100) {
        var now = Usage()
        // What the JVM takes and gives back for itself (the compiler's threads, above all) moves by up to 20 MiB.
        val most = (32 shl 20) + count * each
        var looks = 0
        while (looks++ < patience && (now.native - native > most || now.heap - heap > most || now.handles > handles + 3)) {
            delay(200)
            now = Usage()
        }
        println(
            "$count $what: native ${(now.native - native) shr 10} KiB, heap ${(now.heap - heap) shr 10} KiB, " +
                "handles $handles to ${now.handles}, threads $threads to ${now.threads}",
        )
        assertTrue(now.native - native <= most) { "$what: ${now.native - native} bytes stayed outside of the heap" }
        assertTrue(now.heap - heap <= most) { "$what: ${now.heap - heap} bytes stayed on the heap" }
        assertTrue(now.handles <= handles + 3) { "$what: $handles handles, then ${now.handles}" }
        assertTrue(now.threads <= threads + 48) { "$what: $threads threads, then ${now.threads}" }
    }
}

/** What the two sides hold of each other is let go. A short form; KITH_SOAK in the environment makes it the long one. */
internal class LeakTest {
    private fun times(brief: Int, long: Int = 100_000) = if (System.getenv("KITH_SOAK") != null) long else brief

    /** Refuses half of what it is asked. */
    private class Picky : Application() {
        override fun execute(call: Call, state: State): ByteArray {
            state.put(key("seen"), state[key("seen")] ?: ByteArray(0))
            if (call.method == "refuse") error("no")
            return call.arguments
        }

        override fun query(method: String, arguments: ByteArray, state: State): ByteArray = arguments
    }

    @Test
    fun `what stays is seen`() = test {
        val leaks = listOf<() -> Any>({ Memory(64L shl 20) }, { ByteArray(64 shl 20) }, { List(5) { File("/dev/null").inputStream() } })
        for ((leak, words) in leaks.zip(listOf("outside of the heap", "on the heap", "handles"))) {
            val before = Usage.settled()
            val kept = leak()
            val error = assertThrows<AssertionError> { before.check("leaks", 1, 0, patience = 1) }
            assertTrue(words in error.message!!, error.message)
            (kept as? List<*>)?.forEach { (it as java.io.InputStream).close() }
            (kept as? Memory)?.close()
        }
    }

    @Test
    fun `calls, subscriptions and rounds with an application leave nothing`() = test(minutes = 60) {
        Hub().node().use { node ->
            node.register("picky", Picky())
            val picky = node.createContext("picky")
            val context = node.createContext()
            context.put(key("one"), ByteArray(1000))
            suspend fun calls(count: Int) = repeat(count) {
                assertEquals(1000, context.get(key("one"))!!.size)
                assertEquals(1, context.entries().size)
                assertEquals(context, node.context(context.id))
                assertThrows<KithException.Rejected> { context.compareAndSet(key("one"), null, bytes("y")) }
            }
            suspend fun subscriptions(count: Int) = repeat(count) { context.subscribe().close() }
            suspend fun rounds(count: Int) = repeat(count) {
                assertThrows<KithException.Rejected> { picky.execute("refuse", ByteArray(100)) }
                picky.query("ask", ByteArray(100))
            }
            suspend fun cancelled(count: Int) = coroutineScope {
                repeat(count) {
                    val call = launch(Dispatchers.Default, CoroutineStart.UNDISPATCHED) { context.get(key("one")) }
                    // Some at once, some when their answer is there or on its way.
                    repeat(it % 8) { yield() }
                    call.cancelAndJoin()
                }
            }
            for ((what, body) in listOf<Pair<String, suspend (Int) -> Unit>>(
                "calls" to ::calls, "subscriptions" to ::subscriptions, "rounds with an application" to ::rounds,
                "cancelled calls" to ::cancelled,
            )) {
                body(1000)
                val before = Usage.settled()
                val count = times(2000)
                body(count)
                before.check(what, count, 10)
            }
        }
    }

    @Test
    fun `nodes that are opened and closed leave nothing`() = test(minutes = 60) {
        suspend fun nodes(count: Int) = repeat(count) { Hub().node().use { it.createContext() } }
        nodes(10)
        val before = Usage.settled()
        val count = times(20)
        nodes(count)
        before.check("nodes opened and closed", count, 64)
    }

    @Test
    fun `the structures of calls have parts of few pieces of memory, each its own`() {
        val structures = List(2000) { RustBuffer.ByValue() }
        assertTrue(structures.all { it.pointer.getByteArray(0, it.size()).all { byte -> byte == 0.toByte() } })
        structures.forEachIndexed { number, structure ->
            structure.capacity = number.toLong()
            structure.write()
        }
        structures.forEachIndexed { number, structure ->
            structure.read()
            assertEquals(number.toLong(), structure.capacity)
        }
        val addresses = structures.map { Pointer.nativeValue(it.pointer) }
        val neighbours = addresses.zipWithNext().count { (one, next) -> next - one == 32L }
        assertTrue(neighbours > 1900) { "$neighbours of 2000 follow each other" }
    }

    private class Echo : Application() {
        override fun execute(call: Call, state: State): ByteArray = call.arguments
    }

    @Test
    fun `calls that are cancelled, fail or end leave no continuation behind`() = test {
        val before = uniffiContinuationHandleMap.size
        Hub().node().use { node ->
            val context = node.createContext()
            val events = context.subscribe()
            repeat(1000) {
                val waiting = launch(start = CoroutineStart.UNDISPATCHED) { events.next() }
                // The control: while it waits, it is held.
                assertTrue(uniffiContinuationHandleMap.size > before)
                waiting.cancel()
                waiting.join()
                context.get(key("x"))
                assertThrows<KithException.Rejected> { context.compareAndSet(key("x"), bytes("other"), bytes("y")) }
            }
        }
        assertEquals(before, uniffiContinuationHandleMap.size)
    }

    @Test
    fun `an answer that is there when its call is cancelled is taken before the call is let go`() = test {
        // The generated function by itself lets it go with the call: what it points to would stay.
        for (ready in listOf(true, false)) {
            val told = mutableListOf<String>()
            val call = launch(start = CoroutineStart.UNDISPATCHED) {
                uniffiRustCallAsync(
                    7L,
                    { _, callback, data ->
                        coroutineContext.cancel()
                        if (ready) callback.callback(data, 0) else uniffiContinuationHandleMap.remove(data)
                    },
                    { future, status ->
                        told += "taken $future"
                        if (!ready) status.code = 3 // "cancelled": there is none
                        41
                    },
                    { future -> told += "let go $future" },
                    { answer -> told += "lifted $answer" },
                    UniffiNullRustCallStatusErrorHandler,
                )
            }
            call.join()
            assertTrue(call.isCancelled)
            assertEquals(listOfNotNull("taken 7", if (ready) "lifted 41" else null, "let go 7"), told)
        }
    }

    @Test
    fun `applications, listeners and log sinks are held while they are needed`() = test {
        val applications = FfiConverterTypeHostApplication.handleMap
        System.gc()
        val before = applications.size
        Hub().node().use { node ->
            node.register("echo", Echo())
            assertTrue(applications.size > 0)
            node.createContext("echo").execute("say", bytes("ho"))
            Hub().node().use { other ->
                other.register("echo", Echo())
                assertThrows<KithException> { other.join("kith1nonsense") { _, _ -> } }
            }
        }
        val sinks = FfiConverterTypeLogSink.handleMap.size
        repeat(100) { Kith.setLogLevel(LogLevel.WARN) }
        assertEquals(sinks, FfiConverterTypeLogSink.handleMap.size)
        eventually("the listener is let go") { FfiConverterTypeJoinProgress.handleMap.size == 0 }
        eventually("the nodes' applications are let go once the nodes are") {
            System.gc()
            applications.size <= before
        }
        // The bench lets its application go when it is collected.
        repeat(50) { ApplicationBench(Echo()).execute("say") }
        eventually("the benches' applications are let go") {
            System.gc()
            applications.size <= before
        }
    }
}
