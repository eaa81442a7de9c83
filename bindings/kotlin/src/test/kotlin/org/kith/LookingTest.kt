package org.kith

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.kith.testing.Hub
import org.kith.testing.withTwoNodes

/** Looking at what is kept: checks against the history, where a value comes from, what calls emitted. */
internal class LookingTest {
    // scenario: what_is_kept_is_checked
    @Test
    fun `what is kept is what the history gives`() = test {
        Hub().node().use { node ->
            val context = node.createContext()
            repeat(5) { context.put(key("$it"), bytes("x")) }
            context.delete(key("0"))
            val report = context.verify()
            assertEquals(listOf(8L, 8L, 0L, 5L), report.run { listOf(transactions, executed, pending, keys) })
            assertNull(report.difference)
        }
    }

    /** Not what applications must be: it answers otherwise when it is asked again. */
    private class Fickle : Application() {
        @Volatile var answer = "first"

        override fun execute(call: Call, state: State): ByteArray = bytes(answer)
    }

    // scenario: what_is_kept_is_checked
    @Test
    fun `an application that answers otherwise is found`() = test {
        Hub().node().use { node ->
            val application = Fickle()
            node.register("fickle", application)
            val context = node.createContext("fickle")
            val receipt = context.execute("say")
            assertNull(context.verify().difference)
            application.answer = "second"
            val difference = context.verify().difference!!
            assertEquals(Part.RECEIPT to receipt.transaction, difference.part to difference.transaction)
            assertEquals(context.transaction(receipt.transaction)!!.place, difference.place)
            assertNull(difference.key)
            assertNotEquals(difference.kept!!, difference.recomputed!!)
            assertTrue("the receipt differs at transaction ${receipt.transaction}" in "$difference")
        }
    }

    @Test
    fun `every part has the library's name`() {
        Library.begin()
        assertEquals(org.kith.internal.parts(), Part.entries.map { it.name.lowercase() })
    }

    // scenario: writers_of_a_key
    @Test
    fun `a key is explained by its writers`() = test {
        val hub = Hub()
        withTwoNodes(hub) { one, other ->
            val mine = one.createContext()
            val theirs = other.join(mine.invite().text)
            val first = mine.put(key("x"), bytes("1"))
            part(hub, one, other, mine, theirs)
            // Neither knows of the other's.
            val both = setOf(mine.put(key("x"), bytes("2")), theirs.put(key("x"), bytes("3")))
            hub.heal(one, other)
            equal(mine, theirs)
            val last = mine.delete(key("x"))
            val page = mine.explain(key("x"))
            assertEquals(listOf(first, last), listOf(page.first(), page.last()).map { it.transaction.id })
            assertEquals(both, page.subList(1, 3).map { it.transaction.id }.toSet())
            assertEquals(List(3) { Written.VALUE } + Written.REMOVED, page.map { it.written })
            assertEquals(listOf(false, false, true, false), page.map { it.unseen })
            assertEquals(3, page.mapNotNull { it.hash }.toSet().size)
            val rest = mine.explain(key("x"), after = page[1].transaction.place, limit = 1)
            assertEquals(listOf(page[2].transaction.id), rest.map { it.transaction.id })
            assertEquals(emptyList<Explanation>(), mine.explain(key("nothing")))
            assertThrows<KithException.InvalidArgument> { mine.explain(key("x"), limit = -1) }
        }
    }

    @Test
    fun `who was rejected for what it read is among them`() = test {
        val hub = Hub()
        withTwoNodes(hub) { one, other ->
            val mine = one.createContext()
            val theirs = other.join(mine.invite().text)
            mine.put(key("seat"), bytes("free"))
            part(hub, one, other, mine, theirs)
            for ((context, name) in listOf(mine to "mine", theirs to "theirs")) {
                context.compareAndSet(key("seat"), bytes("free"), bytes(name))
            }
            hub.heal(one, other)
            eventually("both hold both") { listOf(mine, theirs).all { it.explain(key("seat")).size == 3 } }
            val (taken, refused) = theirs.explain(key("seat")).drop(1)
            assertEquals(Written.VALUE to Written.NOTHING, taken.written to refused.written)
            assertEquals(Outcome.REJECTED, refused.transaction.outcome)
            assertNull(refused.hash)
        }
    }

    /** Emits what it is told. */
    private class Talking : Application() {
        override fun execute(call: Call, state: State): ByteArray {
            state.emit("said", call.arguments)
            state.emit("again", ByteArray(0))
            return ByteArray(0)
        }
    }

    @Test
    fun `a transaction tells what its call emitted`() = test {
        Hub().node().use { node ->
            node.register("talking", Talking())
            val context = node.createContext("talking")
            val receipt = context.execute("say", bytes("hello"))
            val emitted = context.transaction(receipt.transaction)!!.emitted
            assertEquals(listOf("said" to "hello", "again" to ""), emitted.map { it.name to text(it.data) })
            assertEquals(emptyList<Message>(), context.history().first().emitted)
        }
    }

    /** Lets two nodes have the same and keeps them apart; they know that they are. */
    private suspend fun part(hub: Hub, one: Node, other: Node, mine: Context, theirs: Context) {
        equal(mine, theirs)
        hub.partition(one, other)
        eventually("they are apart") { mine.status().peers.isEmpty() && theirs.status().peers.isEmpty() }
    }
}
