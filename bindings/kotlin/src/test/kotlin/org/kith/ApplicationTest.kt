package org.kith

import java.util.concurrent.TimeoutException
import java.util.concurrent.atomic.AtomicReference
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.kith.testing.ApplicationBench
import org.kith.testing.Hub
import org.kith.testing.withTwoMembers
import org.kith.testing.withTwoNodes

internal class ApplicationTest {
    private class Scripted(val body: (Call, State) -> ByteArray) : Application() {
        override fun execute(call: Call, state: State): ByteArray = body(call, state)

        override fun query(method: String, arguments: ByteArray, state: State): ByteArray =
            state[key(method)] ?: throw NoSuchElementException(method)
    }

    /** Stores its arguments, and throws what the test wants where the test wants. */
    private class Moody(@Volatile var error: Throwable? = null) : Application() {
        override fun execute(call: Call, state: State): ByteArray {
            error?.let { if (text(call.arguments) == "bad") throw it }
            state.put(key(call.method), call.arguments)
            return bytes("done")
        }
    }

    @Test
    fun `a call arrives whole and its answer goes back`() {
        val calls = mutableListOf<Call>()
        val bench = ApplicationBench(Scripted { call, state ->
            calls.add(call)
            state.put(key("one"), call.arguments)
            state.emit("written", bytes("data"))
            assertArrayEquals(call.arguments, state[key("one")])
            assertEquals(listOf(key("one")), state.entries(StateKey.collection("test")).map { it.key })
            assertEquals(emptyList<Entry>(), state.entries(after = key("one")).filter { it.key <= key("one") })
            state.put(key("two"), bytes("x"))
            state.delete(key("two"))
            assertNull(state[key("two")])
            bytes("answer")
        })
        val member = Id(ByteArray(32) { 9 })
        assertEquals("answer", text(bench.execute("put", bytes("value"), member, Role.ADMIN, 5)))
        calls.single().let {
            assertEquals(listOf("put", "value", member, Role.ADMIN, 5L), listOf(it.method, text(it.arguments), it.member, it.role, it.timestamp))
        }
        assertEquals(listOf(key("one") to "value"), bench.entries().map { (key, value) -> key to text(value) })
        assertEquals(listOf("written"), bench.emitted())
        assertEquals("value", text(bench.query("one")))
        assertThrows<KithException.Rejected> { bench.query("nowhere") }
    }

    // scenario: application_raises
    @Test
    fun `whatever is thrown comes out as a typed error, and undoes what was written`() {
        fun thrown(error: Throwable): KithException {
            val bench = ApplicationBench(Scripted { _, state ->
                state.put(key("half"), bytes("x"))
                throw error
            })
            val outcome = assertThrows<KithException> { bench.execute("method") }
            assertEquals(emptyList<Entry>(), bench.entries())
            return outcome
        }
        assertEquals("NoSuchElementException: no such thing", thrown(NoSuchElementException("no such thing")).message)
        val silent = object : RuntimeException() {
            override val message: String get() = error("no words")
        }
        for (error in listOf(
            IllegalArgumentException(), IllegalStateException("x"), AssertionError("x"), silent,
            KithException.InvalidArgument("a key of 3 bytes"), KithException.Rejected("x"), KithException.LimitExceeded("x"),
        )) assertTrue(thrown(error) is KithException.Rejected, "${error.javaClass}")
        for (error in listOf(
            LocalFault("disk"), OutOfMemoryError(), StackOverflowError(), TimeoutException(), InterruptedException(),
            KithException.Storage("torn"), NoClassDefFoundError(),
        )) assertTrue(thrown(error) is KithException.Blocked, "${error.javaClass}")
    }

    // scenario: state_ends_with_its_call
    @Test
    fun `a state does not outlive its call, and a failure that is swallowed decides all the same`() {
        lateinit var kept: State
        ApplicationBench(Scripted { _, state -> kept = state; ByteArray(0) }).execute("keep")
        assertTrue("ended" in assertThrows<RuntimeException> { kept[key("x")] }.message!!)
        val bench = ApplicationBench(Scripted { _, state ->
            try { state.put(key("x"), ByteArray((1 shl 20) + 1)) } catch (_: RuntimeException) { }
            ByteArray(0)
        })
        assertThrows<KithException.Rejected> { bench.execute("larger") }
        val other = ApplicationBench(Scripted { _, state ->
            val error = AtomicReference<Throwable>()
            Thread { try { state[key("x")] } catch (thrown: Throwable) { error.set(thrown) } }.apply { start(); join() }
            bytes("${error.get().message}")
        })
        assertTrue("belongs to the thread" in text(other.execute("elsewhere"))!!)
    }

    // scenario: local_fault
    @Test
    fun `a local fault blocks one member and an admin skips the call`() = test {
        val moody = Moody(LocalFault("disk"))
        withTwoMembers("moody", Moody() to moody) { mine, theirs ->
            val events = theirs.subscribe()
            val receipt = mine.execute("first", bytes("bad"))
            val cause = events.of<Event.Blocked>().cause
            assertTrue(receipt.transaction.toString() in cause && "LocalFault: disk" in cause, cause)
            assertEquals(cause to null, theirs.status().blocked to mine.status().blocked)
            assertThrows<KithException.Blocked> { theirs.execute("other", bytes("good")) }
            assertThrows<KithException.PermissionDenied> { theirs.skip(receipt.transaction) }
            mine.skip(receipt.transaction)
            eventually("the other one goes on") { theirs.status().blocked == null }
            theirs.execute("other", bytes("good"))
            equal(mine, theirs)
            assertEquals(Outcome.REJECTED, mine.transaction(receipt.transaction)!!.outcome)
        }
    }

    // scenario: application_missing
    @Test
    fun `a context waits for its application and applies then`() = test {
        withTwoNodes { one, other ->
            one.register("moody", Moody())
            val mine = one.createContext("moody")
            mine.execute("first", bytes("value"))
            val theirs = other.join(mine.invite().text)
            eventually("it syncs without executing") { theirs.status().let { it.digest == mine.status().digest && it.pending > 0 } }
            assertTrue("moody" in assertThrows<KithException.ApplicationMissing> { theirs.execute("x") }.message!!)
            other.register("moody", Moody())
            equal(mine, theirs)
            assertEquals("value", text(theirs.get(key("first"))))
        }
    }

    // scenario: application_calls_back
    @Test
    fun `an application runs on one thread that stays, and may not call the library`() = test {
        Hub().node().use { node ->
            val threads = mutableSetOf<Thread>()
            val seen = mutableSetOf<String?>()
            lateinit var context: Context
            node.register("curious", Scripted { call, _ ->
                threads.add(Thread.currentThread())
                try { runBlocking { context.put(key("x"), bytes("y")) } } catch (error: KithException.Unsupported) { seen.add(error.message) }
                if (call.method == "reject") error("no")
                call.arguments
            })
            context = node.createContext("curious")
            repeat(20) { assertEquals("$it", text(context.execute("look", bytes("$it")).output)) }
            assertThrows<KithException.Rejected> { context.execute("reject") }
            // Attached anew for each call, it would be another Thread each time.
            val thread = threads.single()
            assertTrue(thread.isDaemon && thread.name == "kith-context" && thread.isAlive, "$thread")
            assertEquals(setOf<String?>("this may not be called from inside an application's callback"), seen)
        }
    }

    // scenario: application_emits
    @Test
    fun `what an application emits comes as an event`() = test {
        withTwoMembers("loud", Scripted { call, state -> state.emit("said", call.arguments); ByteArray(0) }.let { it to it }) { mine, theirs ->
            val events = theirs.subscribe()
            val receipt = mine.execute("say", bytes("ho"))
            events.of<Event.Emitted>().let { assertEquals(Triple("said", "ho", receipt.transaction), Triple(it.name, text(it.data), it.transaction)) }
        }
    }
}
