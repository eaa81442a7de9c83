package org.kith

import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.flow.count
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.toSet
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import kotlinx.coroutines.yield
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import org.kith.testing.Hub
import org.kith.testing.withTwoNodes

private val PATIENCE = 60.seconds

/** A node's rest (suspending, resuming, syncing once), and which engine keeps its directory. */
internal class LifeTest {
    // scenario: suspended_node
    @Test
    fun `a suspended node gives its directory back and goes on where it was`(@TempDir folder: Path) = test {
        val directory = folder.resolve("node")
        val node = Node.open(directory, loopback)
        val context = node.createContext(name = "home")
        context.put(key("before"), bytes("1"))
        val events = context.subscribe()
        val addresses = node.addresses
        val waiting = async(start = CoroutineStart.UNDISPATCHED) { events.of<Event.Changed>() }
        assertFalse(node.isSuspended || node.status().suspended)

        repeat(2) { node.suspend(PATIENCE) }
        assertTrue(node.isSuspended)
        for (call in listOf<suspend () -> Any?>(
            { context.put(key("x"), bytes("y")) },
            { context.get(key("before")) },
            { context.members() },
            { context.verify() },
            { node.createContext() },
            { node.connect(addresses.first()) },
        )) assertTrue("suspended" in assertThrows<KithException.Closed> { call() }.message!!)
        // What needs neither store nor network is there.
        assertEquals(listOf("home"), node.contexts().map { it.name })
        node.status().let { assertEquals(Triple(true, emptyList<Peer>(), emptyList<String>()), Triple(it.suspended, it.peers, it.addresses)) }

        // The directory is free, for a node of another process or of this one.
        Node.open(directory, loopback).use { other ->
            assertThrows<KithException.Busy> { node.resume() }
            assertTrue(node.isSuspended)
            other.context(context.id).put(key("theirs"), bytes("2"))
        }

        repeat(2) { node.resume() }
        assertFalse(node.isSuspended)
        assertEquals(addresses, node.addresses)
        // The stream has waited, and goes on with what was written meanwhile.
        assertEquals(listOf(key("theirs")), waiting.await().keys)
        context.put(key("after"), bytes("3"))
        assertEquals(listOf(key("after")), events.of<Event.Changed>().keys)
        assertEquals(listOf("1", "2", "3"), listOf("before", "theirs", "after").map { text(context.get(key(it))) })
        node.close()
        for (call in listOf<suspend () -> Any?>({ node.suspend(1.seconds) }, { node.resume() }, { node.syncOnce(1.seconds) })) {
            assertTrue("shut down" in assertThrows<KithException.Closed> { call() }.message!!)
        }
    }

    /** Hangs until it is let go. */
    private class Hanging : Application() {
        val held = CountDownLatch(1)
        val letGo = CountDownLatch(1)

        override fun execute(call: Call, state: State): ByteArray {
            held.countDown()
            letGo.await()
            return bytes("done")
        }
    }

    // scenario: suspension_in_time
    @Test
    fun `an application that hangs holds the suspension up but not its caller`() = test {
        Hub().node().use { node ->
            val application = Hanging()
            node.register("hanging", application)
            val context = node.createContext("hanging")
            val calling = async { context.execute("hang") }
            withContext(Dispatchers.IO) { application.held.await() }
            assertTrue("goes on in the background" in assertThrows<KithException.Timeout> { node.suspend(100.milliseconds) }.message!!)
            assertThrows<KithException.Closed> { context.execute("hang") }
            application.letGo.countDown()
            // What had begun is finished, and resuming waits for that.
            assertEquals("done", text(calling.await().output))
            node.resume()
            assertEquals("done", text(context.execute("hang").output))
        }
    }

    // scenario: syncing_once
    @Test
    fun `syncing once brings what others wrote`() = test {
        withTwoNodes { one, other ->
            val mine = one.createContext()
            val theirs = other.join(mine.invite().text)
            other.suspend(PATIENCE)
            mine.put(key("while"), bytes("you slept"))
            assertEquals(SyncReport(1, listOf(theirs.id), emptyList()), other.syncOnce(PATIENCE))
            assertTrue(other.isSuspended)
            other.resume()
            assertEquals("you slept", text(theirs.get(key("while"))))
            // Nobody is there: the budget is not waited for.
            one.shutdown()
            assertEquals(SyncReport(0, emptyList(), listOf(theirs.id)), other.syncOnce(2.days))
            assertFalse(other.isSuspended)
            assertThrows<KithException.InvalidArgument> { other.syncOnce((-1).seconds) }
            assertThrows<KithException.InvalidArgument> { other.suspend((-1).seconds) }
        }
    }

    @Test
    fun `a hundred suspensions in mid-write lose nothing that was acknowledged`(@TempDir folder: Path) = test {
        Node.open(folder.resolve("node")) { listen = emptyList(); discovery = false }.use { node ->
            val context = node.createContext()
            val acknowledged = ConcurrentHashMap.newKeySet<StateKey>()
            val refused = AtomicInteger()
            val ended = AtomicBoolean()
            val events = context.subscribe()
            val writers = List(4) { writer ->
                launch(Dispatchers.Default) {
                    var number = 0
                    while (!ended.get()) {
                        val name = key("$writer/${number++}")
                        try {
                            context.put(name, bytes("x"))
                            acknowledged.add(name)
                        } catch (_: KithException.Closed) {
                            refused.incrementAndGet()
                            yield()
                        }
                    }
                }
            }
            repeat(100) {
                // Some of it is written each time.
                events.of<Event.Changed>()
                node.suspend(PATIENCE)
                node.resume()
            }
            ended.set(true)
            writers.joinAll()
            val held = context.allEntries().map { it.key }.toSet()
            assertTrue(acknowledged.size >= 100 && held.containsAll(acknowledged) && refused.get() > 0)
            assertNull(context.verify().difference)
        }
    }

    @Test
    fun `a hundred suspensions in mid-catch-up end in step`() = test {
        withTwoNodes { one, other ->
            val mine = one.createContext()
            val theirs = other.join(mine.invite().text)
            var interrupted = 0
            var rounds = 0
            while (interrupted < 100) {
                assertTrue(++rounds <= 1000) { "catch-up was over before the suspension but for $interrupted times" }
                other.suspend(PATIENCE)
                repeat(5) { mine.put(key("$rounds/$it"), ByteArray(2000)) }
                val whole = mine.status().digest
                theirs.subscribe().use { events ->
                    other.resume()
                    // As soon as there is somebody to catch up with.
                    events.of<Event.PeerConnected>()
                    other.suspend(PATIENCE)
                }
                // What it has is looked at while there is nobody to get more from.
                one.suspend(PATIENCE)
                other.resume()
                if (theirs.status().digest != whole) interrupted++
                one.resume()
            }
            equal(mine, theirs)
            assertEquals(5 * rounds, theirs.allEntries().count())
            assertNull(theirs.verify().difference)
        }
    }

    @Test
    fun `a cancelled suspension goes on`(@TempDir folder: Path) = test {
        Node.open(folder.resolve("node"), loopback).use { node ->
            val suspending = launch(start = CoroutineStart.UNDISPATCHED) { node.suspend(PATIENCE) }
            suspending.cancel()
            suspending.join()
            eventually("the node is suspended") { node.isSuspended }
            node.resume()
            node.createContext()
        }
    }

    // scenario: storage_engine
    @Test
    fun `a directory keeps its engine`(@TempDir folder: Path) = test {
        for ((own, other) in listOf(StorageEngine.SLED to StorageEngine.REDB, StorageEngine.REDB to StorageEngine.SLED)) {
            val directory = folder.resolve(own.name)
            Node.open(directory) { loopback(); storage = own }.use { node ->
                node.createContext().put(key("x"), bytes("y"))
                assertEquals(own, node.status().storage)
            }
            assertThrows<KithException.InvalidArgument> { Node.open(directory) { loopback(); storage = other } }
            Node.open(directory, loopback).use { node ->
                assertEquals(own, node.status().storage)
                assertEquals("y", text(node.context(node.contexts().single().id).get(key("x"))))
            }
        }
        assertTrue(Files.exists(folder.resolve("REDB")))
        Hub().node().use { assertNull(it.status().storage) }
    }
}
