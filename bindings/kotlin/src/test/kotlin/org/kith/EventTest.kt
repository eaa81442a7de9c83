package org.kith

import java.nio.file.Path
import kotlin.io.path.readLines
import kotlinx.coroutines.flow.toList
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import org.kith.testing.Hub
import org.kith.testing.withTwoNodes

/** Every kind of event, with all that it says: those that are kept, from a history in which each has happened, and those that pass. */
internal class EventTest {
    private val history = Path.of(System.getProperty("basedir"), "..", "events")

    private fun hex(bytes: ByteArray): String = bytes.joinToString("") { "%02x".format(it) }

    private fun hex(id: Id): String = hex(id.toByteArray())

    private fun role(role: Role): String =
        when (role) {
            Role.ADMIN -> "admin"
            Role.WRITER -> "writer"
            Role.READER -> "reader"
        }

    private fun said(event: Event): String =
        when (event) {
            is Event.Executed -> "Executed transaction=${hex(event.transaction)} member=${hex(event.member)} again=${event.again}"
            is Event.Changed -> "Changed keys=${event.keys.joinToString(",") { hex(it.toByteArray()) }}"
            is Event.Reordered -> "Reordered first=${hex(event.first)}"
            is Event.Rejected -> "Rejected transaction=${hex(event.transaction)} reason=${event.reason}"
            is Event.MemberJoined -> "MemberJoined member=${hex(event.member)} role=${role(event.role)}"
            is Event.MemberLeft -> "MemberLeft member=${hex(event.member)}"
            is Event.MemberRemoved -> "MemberRemoved member=${hex(event.member)}"
            is Event.RoleChanged -> "RoleChanged member=${hex(event.member)} role=${role(event.role)}"
            is Event.Renamed -> "Renamed member=${event.member?.let { hex(it) } ?: "-"} name=${event.name}"
            is Event.Equivocation -> "Equivocation member=${hex(event.member)} one=${hex(event.one)} other=${hex(event.other)}"
            is Event.Blocked -> "Blocked cause=${event.cause}"
            is Event.Emitted -> "Emitted transaction=${hex(event.transaction)} name=${event.name} data=${hex(event.data)}"
            is Event.Closed -> "Closed reason=${event.reason}"
            is Event.KeyTrouble -> "KeyTrouble member=${hex(event.member)} transaction=${hex(event.transaction)} what=${event.what}"
            is Event.KeyViolation -> "KeyViolation member=${hex(event.member)} transaction=${hex(event.transaction)}"
            is Event.SyncProgress, is Event.Synced, is Event.PeerConnected, is Event.PeerDisconnected, is Event.Lagged,
            is Event.Unknown,
            -> error("an event that is not kept: $event")
        }

    // scenario: every_kept_event
    @Test
    fun `every kind of event that is kept comes with all it says`(@TempDir folder: Path) = test {
        val wanted = history.resolve("events.txt").readLines()
        val key = StorageKey.of(ByteArray(32) { 7 })
        Node.importFrom(history.resolve("history.kith"), key, folder.resolve("node"))
        val events = Node.open(folder.resolve("node"), loopback).use { node ->
            // It ends after the event that says that the context is closed.
            node.context(node.contexts().single().id).events(after = 0).toList()
        }
        assertEquals(wanted, events.map { "${it.cursor} ${said(it)}" })
        assertEquals(15, events.map { it::class }.toSet().size)
        val troubles = events.mapNotNull { (it as? Event.KeyTrouble)?.what }
        assertTrue(troubles.all { "nothing is to be done" in it }, "$troubles")
        assertTrue("remove the member" in troubles.first() && "rotate the keys" in troubles.last(), "$troubles")
    }

    // scenario: events_that_pass
    @Test
    fun `who comes and goes, and how far catching up is`() = test {
        val hub = Hub()
        withTwoNodes(hub) { one, other ->
            val mine = one.createContext()
            val theirs = other.join(mine.invite().text)
            theirs.subscribe().use { events ->
                hub.partition(one, other)
                events.of<Event.PeerDisconnected>().let {
                    assertEquals(Event.PeerDisconnected(it.cursor, one.id, "gone: the peers were partitioned"), it)
                }
                repeat(30) { mine.put(key("x"), byteArrayOf(it.toByte())) }
                hub.heal(one, other)
                events.of<Event.PeerConnected>().let { assertEquals(Event.PeerConnected(it.cursor, one.id, mine.me), it) }
                do {
                    val progress = events.of<Event.SyncProgress>()
                    assertEquals(one.id, progress.peer)
                    assertTrue(progress.done in 0..progress.total, "$progress")
                } while (progress.total < 30 || progress.done < progress.total)
                events.of<Event.Synced>().let { assertEquals(Event.Synced(it.cursor, one.id), it) }
            }
        }
    }

    // scenario: events_that_pass
    @Test
    fun `who reads too slowly is told how many events are missing`() = test {
        Hub().node { eventRetention = 3 }.use { node ->
            val context = node.createContext()
            context.put(key("x"), bytes("before"))
            context.subscribe().use { events ->
                repeat(20) { context.put(key("x"), byteArrayOf(it.toByte())) }
                val lagged = events.next()
                assertEquals(Event.Lagged(lagged.cursor, 17), lagged)
                val after = events.next()
                assertTrue(after is Event.Executed && after.cursor == lagged.cursor + 1, "$after")
            }
        }
    }
}
