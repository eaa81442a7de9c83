package org.kith

import java.nio.file.Files
import java.nio.file.Path
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.supervisorScope
import kotlinx.coroutines.withTimeoutOrNull
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import org.kith.testing.Hub
import org.kith.testing.withTwoMembers
import org.kith.testing.withTwoNodes

/** Scenarios of bindings/scenarios.toml that no other test shows. */
internal class ScenarioTest {
    private class Tally : Application() {
        override fun execute(call: Call, state: State): ByteArray {
            require(call.method == "vote") { "no method ${call.method}" }
            val mine = StateKey.of("voted", "${call.member}")
            check(state[mine] == null) { "you have voted" }
            state.put(mine, call.arguments)
            val total = StateKey.of("total", text(call.arguments)!!)
            val count = byteArrayOf(((state[total]?.get(0)?.toInt() ?: 0) + 1).toByte())
            state.put(total, count)
            return count
        }

        override fun query(method: String, arguments: ByteArray, state: State): ByteArray =
            state[StateKey.of("total", text(arguments)!!)] ?: byteArrayOf(0)
    }

    /** Stores its arguments; ails while it is told to. */
    private class Moody(@Volatile var ailing: Boolean = false) : Application() {
        override fun execute(call: Call, state: State): ByteArray {
            if (ailing) throw LocalFault("for a moment")
            state.put(key(call.method), call.arguments)
            return ByteArray(0)
        }
    }

    // scenario: directory_that_cannot_be
    @Test
    fun `a file in the way is a failure of the store`(@TempDir folder: Path) = test {
        Files.write(folder.resolve("file"), bytes("in the way"))
        assertThrows<KithException.Storage> { Node.open(folder.resolve("file/below"), loopback) }
    }

    // scenario: damaged_directory
    @Test
    fun `a damaged file is told until it is mended`(@TempDir folder: Path) = test {
        val place = folder.resolve("node")
        val id = Node.open(place, loopback).use { it.createContext().id }
        val mark = place.resolve("high-water")
        val good = Files.readAllBytes(mark)
        Files.write(mark, good.copyOf().also { it[it.size - 1] = (it.last().toInt() xor 1).toByte() })
        assertThrows<KithException.Corrupt> { Node.open(place, loopback) }
        Files.write(mark, good)
        Node.open(place, loopback).use { assertEquals(id, it.context(id).id) }
    }

    private suspend fun forget(place: Path): Id = Node.open(place, loopback).createContext().id

    // scenario: forgotten_node
    @Test
    fun `a node that is forgotten lets its directory go`(@TempDir folder: Path) = test {
        val place = folder.resolve("node")
        val id = forget(place)
        eventually("the directory is free") {
            System.gc()
            try {
                Node.open(place, loopback).use { again -> again.contexts().map { it.id } == listOf(id) }
            } catch (_: KithException.Busy) {
                false
            }
        }
    }

    // scenario: node_in_memory
    @Test
    fun `a node without a directory keeps nothing`() = test {
        val id = Node.open(null, loopback).use { node ->
            val context = node.createContext()
            context.put(key("x"), bytes("y"))
            assertEquals("y", text(context.get(key("x"))))
            context.id
        }
        Node.open(null, loopback).use { node ->
            assertEquals(emptyList<ContextInfo>(), node.contexts())
            assertThrows<KithException.NotFound> { node.context(id) }
        }
    }

    // scenario: closed_after_shutdown
    @Test
    fun `every call after the shutdown says so`() = test {
        val node = Hub().node()
        val context = node.createContext()
        val token = context.invite().text
        repeat(2) { node.shutdown() }
        for (call in listOf<suspend () -> Any?>(
            { context.put(key("x"), bytes("y")) }, { context.get(key("x")) }, { context.members() }, { context.status() },
            { context.subscribe() }, { context.invite() }, { context.leave() }, { node.createContext() }, { node.join(token) },
            { node.status() }, { node.contexts() },
        )) assertThrows<KithException.Closed> { call() }
    }

    // scenario: counters_and_appending
    @Test
    fun `numbers add up and bytes are appended`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            assertEquals(40, context.add(key("n"), 40))
            assertEquals(-2, context.add(key("n"), -42))
            context.add(key("most"), Long.MAX_VALUE)
            assertThrows<KithException.Rejected> { context.add(key("most"), 1) }
            context.append(key("text"), bytes("a"))
            context.append(key("text"), bytes("b"))
            assertEquals("ab", text(context.get(key("text"))))
            assertTrue("a counter holds 8" in assertThrows<KithException.Rejected> { context.add(key("text"), 1) }.message!!)
        }
    }

    // scenario: methods_by_name
    @Test
    fun `methods and questions have names`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            val five = ByteArray(8).also { it[0] = 5 }
            val receipt = context.execute("add", key("n").toByteArray() + five)
            assertArrayEquals(five, receipt.output)
            assertArrayEquals(five, context.query("get", key("n").toByteArray()).takeLast(8).toByteArray())
            assertTrue("no method" in assertThrows<KithException.Rejected> { context.execute("nonsense") }.message!!)
            assertTrue("no query" in assertThrows<KithException.Rejected> { context.query("nonsense") }.message!!)
        }
    }

    // scenario: unicode
    @Test
    fun `texts come back as they were`() = test {
        Hub().node().use { node ->
            for (words in listOf("", "ä ö ü", "漢字", "👩‍👩‍👧‍👦", "e\u0301", "עברית", "a\u202eb")) {
                val context = node.createContext(name = words)
                context.setDisplayName(words)
                context.put(key(words), bytes(words))
                assertEquals(words, context.name)
                assertEquals(words, context.members().single().name)
                assertEquals(words, node.inspect(context.invite(note = words).text).note)
                assertEquals(words, text(context.get(key(words))))
            }
            assertNotEquals("é", node.createContext(name = "e\u0301").name)
        }
    }

    // scenario: both_write_at_once
    @Test
    fun `who writes at once ends with one order`() = test {
        withTwoMembers { mine, theirs ->
            listOf(mine to "one", theirs to "other").map { (context, name) ->
                async {
                    repeat(20) {
                        context.put(key("contended"), bytes("$name $it"))
                        context.add(key("counter"), 1)
                    }
                }
            }.awaitAll()
            equal(mine, theirs)
            assertEquals(40, mine.get(key("counter"))!![0].toInt())
            val orders = listOf(mine, theirs).map { context -> context.history().map { it.id to it.outcome } }
            assertEquals(orders[0], orders[1])
            assertTrue(orders[0].size > 80)
        }
    }

    // scenario: partition_heals
    @Test
    fun `who was cut off comes together again`() = test {
        val hub = Hub()
        withTwoNodes(hub) { one, other ->
            val mine = one.createContext()
            val theirs = other.join(mine.invite().text)
            val events = mine.subscribe()
            hub.partition(one, other)
            events.of<Event.PeerDisconnected>()
            mine.put(key("mine"), bytes("x"))
            theirs.put(key("theirs"), bytes("y"))
            assertNull(mine.get(key("theirs")))
            hub.heal(one, other)
            equal(mine, theirs)
            assertEquals("y", text(mine.get(key("theirs"))))
        }
    }

    // scenario: nobody_in_step, mistakes_are_named
    @Test
    fun `mistakes are named`() = test {
        Hub().node().use { node ->
            assertThrows<KithException.NotFound> { node.context(Id(ByteArray(32))) }
            assertThrows<KithException.InvalidArgument> { node.connect("nowhere") }
            assertThrows<KithException.ApplicationMissing> { node.createContext("unknown") }
            val context = node.createContext()
            assertThrows<KithException.NotMember> { context.remove(Id(ByteArray(32))) }
            assertThrows<KithException.InvalidArgument> { context.invite(maxUses = 0) }
            assertThrows<KithException.LimitExceeded> { context.invite(note = "x".repeat(129)) }
            assertThrows<KithException.Timeout> { context.waitSynced(20.milliseconds) }
        }
    }

    // scenario: last_admin_stays
    @Test
    fun `the last admin stays until it has made another one`() = test {
        withTwoMembers { mine, theirs ->
            assertThrows<KithException.PermissionDenied> { mine.leave() }
            mine.setRole(theirs.me, Role.ADMIN)
            mine.leave()
            eventually("it is alone") { theirs.members().map { it.id } == listOf(theirs.me) }
        }
    }

    // scenario: invitation_used_up, invitation_expired
    @Test
    fun `what cannot be used has a kind each`() = test {
        val hub = Hub()
        withTwoNodes(hub) { one, other ->
            hub.node().use { third ->
                val mine = one.createContext()
                val token = mine.invite().text
                other.join(token)
                assertEquals(1L, mine.invitations().single().uses)
                assertThrows<KithException.InvitationUsed> { third.join(token) }
                val short = mine.invite(expiresIn = 1.milliseconds).text
                eventually("its time is over") { third.inspect(short).expiresAt!!.toEpochMilli() < System.currentTimeMillis() }
                assertThrows<KithException.InvitationExpired> { third.join(short) }
                assertEquals(emptyList<ContextInfo>(), third.contexts())
            }
        }
    }

    // scenario: invitation_garbage, invitation_of_another_version
    @Test
    fun `garbage is no invitation`() = test {
        Hub().node().use { node ->
            val good = node.createContext().invite().text
            val damaged = good.dropLast(1) + if (good.endsWith('q')) 'p' else 'q'
            for (token in listOf("", "kith1", "kith1nonsense", "http://example.org", "kith1" + "q".repeat(10_000), "k\u0000th1", "ķith1qqqq", damaged)) {
                assertThrows<KithException.InvitationInvalid> { node.inspect(token) }
                assertThrows<KithException.InvitationInvalid> { node.join(token) }
            }
            assertThrows<KithException.VersionMismatch> { Kith.invitation(byteArrayOf(9, 1, 2, 3)) }
        }
    }

    // scenario: events_are_pulled
    @Test
    fun `events come in order, and waiting can end without one`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            val events = context.subscribe()
            assertNull(withTimeoutOrNull(20) { events.next() })
            val id = context.put(key("one"), bytes("1"))
            (events.next() as Event.Executed).let { assertEquals(id to context.me, it.transaction to it.member) }
            assertEquals(listOf(key("one")), (events.next() as Event.Changed).keys)
        }
    }

    // scenario: events_after_a_restart
    @Test
    fun `a cursor outlives its node`(@TempDir folder: Path) = test {
        lateinit var id: Id
        lateinit var two: Id
        var cursor = 0L
        Node.open(folder.resolve("node"), loopback).use { node ->
            val context = node.createContext()
            val events = context.subscribe()
            context.put(key("one"), bytes("1"))
            cursor = events.of<Event.Executed>().cursor
            two = context.put(key("two"), bytes("2"))
            id = context.id
        }
        Node.open(folder.resolve("node"), loopback).use { node ->
            assertEquals(two, node.context(id).subscribe(after = cursor).of<Event.Executed>().transaction)
        }
    }

    // scenario: half_joined
    @Test
    fun `joining goes on after a restart and can be given up`(@TempDir folder: Path) = test {
        val token = Node.open(null, loopback).use { it.createContext().invite().text }
        val node = Node.open(folder.resolve("node"), loopback)
        supervisorScope {
            val joining = async(start = CoroutineStart.UNDISPATCHED) { node.join(token) }
            eventually("joining has begun") { node.contexts().size == 1 }
            node.shutdown()
            assertThrows<KithException.Closed> { joining.await() }
        }
        Node.open(folder.resolve("node"), loopback).use { again ->
            val info = again.contexts().single()
            assertTrue(info.joining && info.id == again.inspect(token).context)
            again.context(info.id).leave()
            assertEquals(emptyList<ContextInfo>(), again.contexts())
        }
    }

    // scenario: own_application, application_twice
    @Test
    fun `an application of the host's own works for all`() = test {
        withTwoNodes { one, other ->
            one.register("tally", Tally())
            assertThrows<KithException.InvalidArgument> { one.register("tally", Tally()) }
            assertThrows<KithException.InvalidArgument> { one.register("kv", Tally()) }
            other.register("tally", Tally())
            val mine = one.createContext("tally")
            assertArrayEquals(byteArrayOf(1), mine.execute("vote", bytes("tea")).output)
            assertTrue("you have voted" in assertThrows<KithException.Rejected> { mine.execute("vote", bytes("tea")) }.message!!)
            val theirs = other.join(mine.invite().text)
            assertArrayEquals(byteArrayOf(2), theirs.execute("vote", bytes("tea")).output)
            eventually("the second vote is there, too") { mine.query("total", bytes("tea")).contentEquals(byteArrayOf(2)) }
            assertEquals(mine.commitment(), theirs.commitment())
        }
    }

    // scenario: fault_that_passes
    @Test
    fun `a fault that passes is tried again without anybody's doing`() = test {
        val moody = Moody(ailing = true)
        withTwoMembers("moody", Moody() to moody) { mine, theirs ->
            val events = theirs.subscribe()
            mine.execute("first", bytes("x"))
            events.of<Event.Blocked>()
            moody.ailing = false
            eventually("the call is carried out") { text(theirs.get(key("first"))) == "x" }
            assertEquals(mine.commitment(), theirs.commitment())
        }
    }
}
