package org.kith

import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.launch
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.kith.internal.FfiConverterTypeHostApplication
import org.kith.internal.FfiConverterTypeJoinProgress
import org.kith.internal.FfiConverterTypeLogSink
import org.kith.internal.uniffiContinuationHandleMap
import org.kith.testing.ApplicationBench
import org.kith.testing.Hub

/** What the two sides hold of each other is let go. */
internal class LeakTest {
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
    fun `applications, listeners and log sinks are held while they are needed`() = test {
        val applications = FfiConverterTypeHostApplication.handleMap
        val before = applications.size
        Hub().node().use { node ->
            node.register("echo", Echo())
            assertEquals(before + 1, applications.size)
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
            applications.size == before
        }
        // The bench lets its application go when it is collected.
        repeat(50) { ApplicationBench(Echo()).execute("say") }
        eventually("the benches' applications are let go") {
            System.gc()
            applications.size == before
        }
    }
}
