package org.kith

import java.io.File
import java.lang.reflect.InvocationTargetException
import java.net.URLClassLoader
import java.nio.file.Path
import java.util.concurrent.Callable
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import org.kith.internal.Context as NativeContext
import org.kith.internal.Entry as NativeEntry
import org.kith.internal.Events as NativeEvents
import org.kith.internal.Happened
import org.kith.internal.NoHandle
import org.kith.internal.TransactionInfo
import org.kith.internal.provokePanic
import org.kith.internal.provokePanicLater
import org.kith.testing.Hub

/** What docs/border.md says. */
internal class BorderTest {
    /** Counts what crosses. Any other call than these would fail: nothing is behind this handle. */
    private class CountedContext(private val real: NativeContext) : NativeContext(NoHandle) {
        val crossings = AtomicInteger()

        override fun id(): ByteArray = real.id()

        override fun me(): ByteArray = real.me()

        override suspend fun entries(prefix: ByteArray, after: ByteArray?, limit: UInt, isFinal: Boolean): List<NativeEntry> {
            crossings.incrementAndGet()
            return real.entries(prefix, after, limit, isFinal)
        }

        override fun entriesBlocking(prefix: ByteArray, after: ByteArray?, limit: UInt, isFinal: Boolean): List<NativeEntry> {
            crossings.incrementAndGet()
            return real.entriesBlocking(prefix, after, limit, isFinal)
        }

        override suspend fun history(after: ByteArray?, limit: UInt): List<TransactionInfo> {
            crossings.incrementAndGet()
            return real.history(after, limit)
        }
    }

    private class CountedEvents(private val real: NativeEvents) : NativeEvents(NoHandle) {
        val waits = AtomicInteger()
        val takes = AtomicInteger()

        override suspend fun ready(seen: ULong) {
            waits.incrementAndGet()
            real.ready(seen)
        }

        override fun take(): List<Happened> {
            takes.incrementAndGet()
            return real.take()
        }
    }

    /** What is behind a handle. */
    private inline fun <reified T> native(handle: Any): T =
        handle.javaClass.getDeclaredField("native").apply { isAccessible = true }.get(handle) as T

    @Test
    fun `pages of entries and of the order cross once, in Kotlin and Java`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            val keys = List(100) { key("$it") }.sorted()
            keys.forEach { context.put(it, bytes("x")) }
            val counted = CountedContext(native(context))
            val seen = Context(counted)
            assertEquals(keys, seen.entries().map { it.key })
            assertEquals(1, counted.crossings.get())
            assertTrue(seen.history().size >= 100)
            assertEquals(2, counted.crossings.get())
            val java = seen.blocking()
            assertEquals(keys, withContext(Dispatchers.IO) { java.entries() }.map { it.key })
            assertEquals(3, counted.crossings.get())
            // The control: what is asked for one by one is counted one by one.
            keys.fold(null as StateKey?) { last, _ -> seen.entries(after = last, limit = 1).single().key }
            assertEquals(103, counted.crossings.get())
        }
    }

    @Test
    fun `events do not cross one by one`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            repeat(120) { context.put(key("$it"), bytes("x")) }
            context.subscribe(after = 0).use { subscription ->
                val counted = CountedEvents(native(subscription))
                val stream = Events(counted)
                val events = List(200) { stream.next() }
                assertTrue(events.count { it is Event.Executed } >= 90)
                // What 64 writes have to say is one piece; a wait that finds nothing of it comes at the end of a piece.
                assertTrue(counted.takes.get() in 1..counted.waits.get() && counted.waits.get() <= 8, "${counted.waits} waits")
            }
        }
    }

    // scenario: panic_in_the_library
    @Test
    fun `a panic in the library is an error, and the node goes on`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            val wrote = List(20) { async(Dispatchers.Default) { context.add(key("n"), 1) } }
            repeat(5) {
                val now = assertThrows<KithException.Internal> { translated { provokePanic("on purpose $it") } }
                val later = assertThrows<KithException.Internal> { translated { provokePanicLater("ä $it") } }
                assertEquals("on purpose $it" to "ä $it", now.message to later.message)
            }
            assertEquals((1L..20L).toSet(), wrote.awaitAll().toSet())
            assertEquals(21, context.add(key("n"), 1))
        }
    }

    @Test
    fun `threads that end leave nothing, and what they began is finished`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            val blocking = context.blocking()
            val ends = ConcurrentLinkedQueue<Throwable>()
            val threads = List(16) { number ->
                thread {
                    Thread.currentThread().setUncaughtExceptionHandler { _, why -> ends.add(why) }
                    blocking.add(key("n"), 1)
                    // Begun on this thread, which does not wait for it.
                    CoroutineScope(Dispatchers.Unconfined).launch { context.add(key("left"), 1) }
                    throw IllegalStateException("thread $number ends")
                }
            }
            withContext(Dispatchers.IO) { threads.forEach(Thread::join) }
            assertEquals(List(16) { "thread $it ends" }.toSet(), ends.map { it.message }.toSet())
            assertEquals(16, context.add(key("n"), 0))
            eventually("what they began is finished") { context.add(key("left"), 0) == 16L }
        }
    }

    @Test
    fun `many nodes in one process have nothing in common`() = test {
        val nodes = List(8) { Hub().node() }
        val contexts = nodes.map { it.createContext() }
        contexts.forEachIndexed { number, context -> context.put(key("x"), bytes("$number")) }
        nodes.filterIndexed { number, _ -> number % 2 == 0 }.forEach { it.shutdown() }
        contexts.forEachIndexed { number, context ->
            if (number % 2 == 1) {
                assertEquals("$number", text(context.get(key("x"))))
            } else {
                assertThrows<KithException.Closed> { context.get(key("x")) }
            }
        }
        nodes.forEach { it.shutdown() }
    }

    /** As application servers have them: a class loader that has all the classes once more, but for those that a common one has for all. */
    private fun elsewhere(common: String?): Class<*> {
        val classes = System.getProperty("java.class.path").split(File.pathSeparator).map { File(it).toURI().toURL() }
        val here = javaClass.classLoader
        val above = object : ClassLoader(getPlatformClassLoader()) {
            override fun findClass(name: String): Class<*> =
                if (common != null && name.startsWith(common)) here.loadClass(name) else throw ClassNotFoundException(name)
        }
        return URLClassLoader(classes.toTypedArray(), above).loadClass("org.kith.ElsewhereKt")
    }

    private fun Class<*>.answering(word: String): List<*> =
        getMethod("answering", String::class.java).invoke(null, word) as List<*>

    @Test
    fun `class loaders have nothing in common`() {
        val places = listOf(null, "com.sun.jna.", "com.sun.jna.").map(::elsewhere)
        val answers = listOf(answering("here")) + places.mapIndexed { number, place -> place.answering("there $number") }
        repeat(2) {
            assertEquals(listOf("here", "there 0", "there 1", "there 2"), answers.map { (it[0] as Callable<*>).call() })
        }
        answers.forEach { (it[1] as Callable<*>).call() }
        val libraries = listOf(libraryHere()) + places.map { it.getMethod("libraryHere").invoke(null) as String }
        assertEquals(4, libraries.toSet().size, "$libraries")
        // They are what the system has loaded, and nobody is told where.
        val loaded = File("/proc/self/maps").readLines().map { it.substringAfterLast(' ') }.toSet()
        assertTrue(loaded.containsAll(libraries.map { File(it).canonicalPath }), "$libraries, and not $loaded")
        assertNull(System.getProperty("uniffi.component.kith_native.libraryOverride"))
    }

    @Test
    fun `a library that is one for all class loaders has one of them`() {
        val property = "uniffi.component.kith_native.libraryOverride"
        libraryHere()
        System.setProperty("org.kith.taken:one-for-all", "")
        System.setProperty(property, "one-for-all")
        try {
            val failure = assertThrows<InvocationTargetException> { elsewhere(null).answering("there") }.targetException
            assertEquals("org.kith.KithException\$Unsupported", failure.javaClass.name)
            assertTrue("one-for-all" in failure.message!!, failure.message)
            assertEquals("one-for-all", System.getProperty(property))
        } finally {
            System.clearProperty(property)
        }
    }

    @Test
    fun `a program ends however it leaves its node, and the directory is free`(@TempDir folder: Path) = test {
        for (way in listOf("return", "exit")) {
            val java = Path.of(System.getProperty("java.home"), "bin", "java").toString()
            val classes = System.getProperty("java.class.path")
            val place = folder.resolve(way)
            val process = ProcessBuilder(java, "-XX:TieredStopAtLevel=1", "-cp", classes, "org.kith.LeftBehindKt", "$place", way)
                .redirectErrorStream(true).start()
            try {
                val said = process.inputStream.readBytes().decodeToString()
                assertTrue(process.waitFor(60, TimeUnit.SECONDS), "it goes on")
                assertEquals("ended" to 0, said.trim() to process.exitValue())
            } finally {
                process.destroyForcibly()
            }
            Node.open(place, loopback).use { node ->
                assertEquals("kept", text(node.context(node.contexts().single().id).get(key("x"))))
            }
        }
    }
}
