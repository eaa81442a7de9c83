package org.kith

import java.nio.file.Path
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.yield
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import org.kith.testing.Hub
import org.kith.testing.withTwoMembers
import org.kith.testing.withTwoNodes

internal class NodeTest {
    // scenario: keeps_over_a_restart, directory_in_use, put_get_delete, what_became_of_a_transaction, order_in_pages
    @Test
    fun `a context keeps what it is told, over a restart`(@TempDir folder: Path) = test {
        lateinit var id: Id
        lateinit var first: Id
        Node.open(folder.resolve("node"), loopback).use { node ->
            val context = node.createContext(name = "a name")
            id = context.id
            assertEquals(Triple(Role.ADMIN, "kv", "a name"), Triple(context.role, context.application, context.name))
            assertNull(context.get(key("one")))
            first = context.put(key("one"), bytes("value"))
            context.append(key("one"), bytes("!"))
            assertEquals("value!", text(context.get(key("one"))))
            assertEquals(40, context.add(key("counter"), 40))
            assertEquals(42, context.add(key("counter"), 2))
            context.delete(key("one"))
            assertNull(context.get(key("one")))
            val transaction = context.transaction(first)!!
            assertEquals(Outcome.ACCEPTED, transaction.outcome)
            assertEquals(Triple(context.me, "put", 3L), Triple(transaction.author, transaction.method, transaction.sequence))
            assertNull(context.transaction(Id(ByteArray(32))))
            assertEquals(listOf(ContextInfo(context.id, "a name", "kv", false)), node.contexts())
            assertEquals(context, node.context(context.id))
            assertThrows<KithException.Busy> { Node.open(folder.resolve("node"), loopback) }
        }
        Node.open(folder.resolve("node"), loopback).use { node ->
            val again = node.context(id)
            assertArrayEquals(ByteArray(8).also { it[0] = 42 }, again.get(key("counter")))
            assertEquals(first, again.history()[2].id)
            assertEquals(again.history().drop(2).map { it.id }, again.history(after = again.history()[1].place).map { it.id })
        }
    }

    // scenario: compare_and_set, batch_all_or_nothing
    @Test
    fun `compare and set and batches are all or nothing`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            context.compareAndSet(key("one"), null, bytes("a"))
            assertThrows<KithException.Rejected> { context.compareAndSet(key("one"), bytes("other"), bytes("b")) }
            context.batch(Batch().append(key("one"), bytes("c")).put(key("two"), bytes("x")).add(key("n"), -3))
            assertEquals("ac", text(context.get(key("one"))))
            assertThrows<KithException.Rejected> {
                context.batch(Batch().delete(key("two")).compareAndSet(key("one"), bytes("never"), null))
            }
            assertEquals("x", text(context.get(key("two"))))
        }
    }

    // scenario: entries_in_pages
    @Test
    fun `entries come in key order and pages`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            val wanted = (0..6).associate { key("$it") to "$it" }.toSortedMap()
            wanted.forEach { (key, value) -> context.put(key, bytes(value)) }
            context.put(StateKey.of("other", "x"), bytes("x"))
            val prefix = StateKey.collection("test")
            assertEquals(wanted.toList(), context.allEntries(prefix).toList().map { (key, value) -> key to text(value) })
            val page = context.entries(prefix, limit = 3)
            assertEquals(wanted.keys.take(3), page.map { it.key })
            assertEquals(wanted.keys.drop(3), context.entries(prefix, after = page.last().key).map { it.key })
            assertThrows<KithException.InvalidArgument> { context.entries(limit = -1) }
        }
    }

    // scenario: two_members_share, over_sockets, invitation_is_read, status_names_peers
    @Test
    fun `two nodes share a context over sockets`() = test {
        Node.open(null, loopback).use { one ->
            Node.open(null, loopback).use { other ->
                val mine = one.createContext(name = "shared")
                val token = mine.invite(note = "for Ben")
                val info = other.inspect(token.text)
                assertEquals(listOf(mine.id, Role.WRITER, "for Ben", false), listOf(info.context, info.role, info.note, info.member))
                assertEquals(one.addresses, info.addresses)
                val theirs = other.join(token.text)
                val events = theirs.subscribe()
                mine.put(key("from one"), bytes("ä ✓"))
                assertTrue(key("from one") in events.of<Event.Changed>().keys)
                theirs.put(key("from other"), bytes("y"))
                equal(mine, theirs)
                assertEquals("ä ✓", text(theirs.get(key("from one"))))
                theirs.waitSynced()
                assertEquals(mine.commitment(), theirs.commitment())
                assertEquals(listOf(other.id to theirs.me), mine.status().peers.map { it.peer to it.member })
                assertEquals(setOf(mine.me to Role.ADMIN, theirs.me to Role.WRITER), mine.members().map { it.id to it.role }.toSet())
            }
        }
    }

    // scenario: roles_are_obeyed, member_is_removed, member_leaves, names_of_members
    @Test
    fun `members have roles and names, leave and are removed`() = test {
        withTwoNodes { one, other ->
            val mine = one.createContext()
            var theirs = other.join(mine.invite(Role.READER).text)
            assertThrows<KithException.PermissionDenied> { theirs.put(key("x"), bytes("x")) }
            val events = mine.subscribe()
            mine.setRole(theirs.me, Role.WRITER)
            assertEquals(Role.WRITER, events.of<Event.RoleChanged>().role)
            eventually("the other one knows") { theirs.role == Role.WRITER }
            assertEquals(setOf(mine.me to Role.ADMIN, theirs.me to Role.WRITER), mine.members().map { it.id to it.role }.toSet())
            theirs.setDisplayName("Ben")
            events.of<Event.Renamed>().let { assertEquals(theirs.me to "Ben", it.member to it.name) }
            assertThrows<KithException.LimitExceeded> { mine.setDisplayName("x".repeat(129)) }
            mine.setName("shopping")
            eventually("the other one knows the name") { theirs.name == "shopping" }
            theirs.leave()
            assertEquals(theirs.me, events.of<Event.MemberLeft>().member)
            assertEquals(emptyList<ContextInfo>(), other.contexts())
            theirs = other.join(mine.invite().text)
            mine.remove(theirs.me)
            eventually("it knows that it is out") { theirs.role == null }
            assertThrows<KithException.NotMember> { theirs.put(key("x"), bytes("x")) }
        }
    }

    // scenario: invitation_as_text_bytes_and_picture, invitation_revoked
    @Test
    fun `an invitation is text, bytes and a picture, and is taken back`() = test {
        withTwoNodes { one, other ->
            val mine = one.createContext()
            val token = mine.invite(maxUses = 2)
            assertTrue(token.text.startsWith("kith1") && token.qr().lines().size > 20)
            assertEquals(token, Kith.invitation(token.toByteArray()))
            assertEquals(token.id, Kith.invitation("$token").id)
            assertThrows<KithException.InvitationInvalid> { Kith.invitation(token.toByteArray().copyOf(40)) }
            mine.revoke(token.id)
            assertEquals(listOf(true to 2L), mine.invitations().map { it.revoked to it.maxUses })
            assertThrows<KithException.InvitationRevoked> { other.join(token.text) }
            assertEquals(emptyList<ContextInfo>(), other.contexts())
        }
    }

    // scenario: events_after_a_cursor, streams_end_with_their_node
    @Test
    fun `events are replayed after a cursor and end with the node`() = test {
        val node = Hub().node()
        val context = node.createContext()
        val early = context.subscribe()
        repeat(3) { context.put(key("$it"), bytes("$it")) }
        val seen = List(3) { early.of<Event.Changed>() }
        assertEquals(listOf(key("0"), key("1"), key("2")), seen.flatMap { it.keys })
        val again = context.events(after = seen[0].cursor).take(4).toList().filterIsInstance<Event.Changed>()
        assertEquals(seen.drop(1), again)
        val rest = async(start = CoroutineStart.UNDISPATCHED) { early.asFlow().toList() }
        node.close()
        rest.await()
        assertThrows<KithException.Closed> { early.next() }
        assertThrows<KithException.Closed> { context.put(key("late"), bytes("x")) }
        assertThrows<KithException.Closed> { node.contexts() }
        node.close()
    }

    @Test
    fun `a subscription that is closed says so`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            val events = context.subscribe()
            context.put(key("x"), bytes("y"))
            events.next()
            repeat(2) { events.close() }
            assertThrows<KithException.Closed> { events.next() }
            assertEquals(emptyList<Event>(), events.asFlow().toList())
        }
    }

    // scenario: cursor_expired
    @Test
    fun `cursors that are not kept any more say so`() = test {
        Hub().node { eventRetention = 2 }.use { node ->
            val context = node.createContext()
            repeat(20) { context.put(key("x"), bytes("$it")) }
            assertThrows<KithException.CursorExpired> { context.events(after = 1).first() }
            assertThrows<KithException.InvalidArgument> { context.subscribe(after = -1) }
        }
    }

    // scenario: callers_64
    @Test
    fun `64 callers at once`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            (1..64).map { async { context.add(key("n"), 1) } }.awaitAll().let { assertEquals((1L..64L).toSet(), it.toSet()) }
        }
    }

    // scenario: readers_share_a_stream
    @Test
    fun `what is at hand of a stream is not lost to another reader`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            repeat(50) { context.put(key("x"), bytes("$it")) }
            val wanted = context.subscribe(after = 0).use { alone -> List(60) { "${alone.next()}" } }
            repeat(20) {
                context.subscribe(after = 0).use { stream ->
                    val seen = (1..5).map { async(Dispatchers.Default) { List(12) { "${stream.next()}" } } }.awaitAll().flatten()
                    assertEquals(wanted.sorted(), seen.sorted())
                }
            }
        }
    }

    // scenario: cancelled_write, cancelled_wait
    @Test
    fun `cancelled writes are finished or not begun, and cancelled waits lose no event`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            val events = context.subscribe()
            val seen = mutableListOf<Event>()
            repeat(50) {
                val job = launch(start = CoroutineStart.UNDISPATCHED) { context.put(key("$it"), bytes("x")) }
                val waiting = launch(start = CoroutineStart.UNDISPATCHED) { seen += events.next() }
                job.cancel()
                waiting.cancel()
                waiting.join()
                job.join()
            }
            context.put(key("last"), bytes("x"))
            // Each had been begun: its first step hands it to the context's thread.
            assertEquals(51, context.allEntries().toList().size)
            fun changed() = seen.filterIsInstance<Event.Changed>().flatMap { it.keys }
            while (key("last") !in changed()) seen += events.next()
            assertEquals(List(50) { key("$it") }.toSet() + key("last"), changed().toSet())
            assertEquals(51, changed().size)
        }
    }

    // scenario: cancelled_join
    /** The control is the next test: a wait that is not cancelled takes all its time. */
    @Test
    fun `cancelling reaches the library`() = test {
        val hub = Hub()
        withTwoNodes(hub) { one, other ->
            val mine = one.createContext()
            val token = mine.invite().text
            hub.partition(one, other)
            val joining = launch { other.join(token, timeout = 600.seconds) }
            eventually("joining has begun") { other.contexts().map { it.joining } == listOf(true) }
            joining.cancel(CancellationException("enough"))
            joining.join()
            eventually("nothing of it stays") { other.contexts().isEmpty() }
            hub.heal(one, other)
            assertEquals(Role.WRITER, other.join(token).role)
        }
    }

    // scenario: joining_nobody
    @Test
    fun `what is not cancelled ends with its time`() = test {
        val hub = Hub()
        withTwoNodes(hub) { one, other ->
            val token = one.createContext().invite().text
            hub.partition(one, other)
            val error = assertThrows<KithException> { other.join(token, timeout = 300.milliseconds) }
            assertTrue(error is KithException.Timeout || error is KithException.Unreachable, "$error")
            assertEquals(emptyList<ContextInfo>(), other.contexts())
            assertThrows<KithException.InvalidArgument> { other.join(token, timeout = (-1).seconds) }
        }
    }

    // scenario: joining_tells_how_far
    @Test
    fun `joining tells how far it is`() = test {
        withTwoNodes { one, other ->
            val mine = one.createContext()
            repeat(30) { mine.put(key("$it"), bytes("x")) }
            val token = mine.invite().text
            val told = mutableListOf<Pair<Long, Long>>()
            val refused = mutableListOf<String>()
            other.join(token) { done, total ->
                synchronized(told) { told.add(done to total) }
                try { other.contexts() } catch (error: KithException.Unsupported) { synchronized(told) { refused.add("${error.message}") } }
                if (done > 0) error("what a listener throws is logged and nothing else")
            }
            eventually("it was told") { synchronized(told) { told.any { (done, total) -> done == total && total >= 30 } } }
            assertEquals(setOf("this may not be called from inside a progress listener"), refused.toSet())
        }
    }

    // scenario: peer_out_of_reach
    @Test
    fun `the status says why a peer is not reached`() = test {
        val (address, id) = Node.open(null, loopback).use { it.addresses.single() to it.id }
        Node.open(null) { loopback(); bootstrap = listOf(address) }.use { node ->
            assertThrows<KithException.Unreachable> { node.connect(address) }
            eventually("the reason") { node.status().peers.any { it.lastFailure?.contains("refused") == true } }
            node.status().peers.single().let { assertEquals(Triple(id, false, listOf(address)), Triple(it.peer, it.connected, it.addresses)) }
        }
    }

    @Test
    fun `strangers are counted`() = test {
        val hub = Hub()
        hub.node().use { node ->
            assertEquals(Strangers(0, 0, 0, 0, 0, 0, 0), node.status().strangers)
            hub.node().use { other ->
                other.connect(node.addresses.single())
                eventually("somebody has come") { node.status().strangers == Strangers(1, 0, 0, 0, 0, 0, 0) }
            }
            eventually("it has gone") { node.status().strangers == Strangers(0, 1, 0, 0, 0, 0, 0) }
        }
    }

    // scenario: wrong_lengths
    @Test
    fun `ids and keys are values of 32 bytes`() {
        assertEquals(StateKey.of("a", "b"), StateKey(StateKey.of("a", "b").toByteArray()))
        assertEquals(StateKey.of("a", "b").hashCode(), StateKey.of("a", "b").hashCode())
        assertNotEquals(StateKey.of("a", "b"), StateKey.of("a", "c"))
        assertNotEquals(StateKey.random(), StateKey.random())
        assertTrue(StateKey(ByteArray(32) { -1 }) > StateKey(ByteArray(32) { 1 }))
        assertArrayEquals(StateKey.collection("a"), StateKey.of("a", "b").toByteArray().copyOf(16))
        for (size in listOf(0, 31, 33)) {
            assertTrue("not $size" in assertThrows<KithException.InvalidArgument> { StateKey(ByteArray(size)) }.message!!)
            assertTrue("not $size" in assertThrows<KithException.InvalidArgument> { Id(ByteArray(size)) }.message!!)
        }
        assertEquals("01".repeat(32), Id(ByteArray(32) { 1 }).toString())
    }

    // scenario: not_there_yet
    @Test
    fun `what is not there yet says so`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            assertThrows<KithException.Unsupported> { context.get(key("x"), Level.FINAL) }
            assertThrows<KithException.Unsupported> { context.entries(level = Level.FINAL) }
        }
    }

    // scenario: kinds_are_the_same
    @Test
    fun `every kind of failure has the library's number and name`() {
        Library.begin()
        val names = org.kith.internal.errorKinds()
        assertEquals(names.size, ErrorKind.entries.size)
        names.forEachIndexed { index, name ->
            val made = KithException.of(index + 1, "words")
            assertEquals(Triple(index + 1, name, name), Triple(made.kind.code, made.javaClass.simpleName, made.kind.name.split("_").joinToString("") { it.lowercase().replaceFirstChar(Char::uppercase) }))
            assertEquals("words", made.message)
        }
        assertEquals(ErrorKind.INTERNAL, KithException.of(999, "x").kind)
    }

    // scenario: big_values
    @Test
    fun `values of a mebibyte cross whole, and larger ones are refused`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            val large = ByteArray(1 shl 20) { (it * 31).toByte() }
            context.put(key("large"), large)
            assertArrayEquals(large, context.get(key("large")))
            val refused = assertThrows<KithException> { context.put(key("larger"), large + 1) }
            assertTrue(refused is KithException.LimitExceeded || refused is KithException.Rejected, "$refused")
            assertNull(context.get(key("larger")))
            assertFalse(node.status().copied)
        }
    }
}
