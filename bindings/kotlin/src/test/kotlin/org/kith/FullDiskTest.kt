package org.kith

import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable

private const val DISK = "KITH_TEST_SMALL_DISK"

/** Somebody else fills the disk under a node: on a small one of the tests' own, which `cargo xtask test` mounts and names. */
internal class FullDiskTest {
    /** Takes all the room that there is. A disk with more than a gigabyte is not meant. */
    private fun fill(path: Path) {
        Files.newOutputStream(path).use { file ->
            assertThrows<IOException> { repeat(1024) { file.write(ByteArray(1 shl 20)) } }
        }
    }

    /** All is there that was acknowledged before the disk was full, nothing that was refused, and what is kept is what the history gives. */
    private suspend fun isWhole(context: Context) {
        assertEquals("acknowledged", text(context.get(key("before"))))
        assertNull(context.get(key("refused")))
        assertNull(context.verify().difference)
    }

    // scenario: disk_full
    @Test
    @EnabledIfEnvironmentVariable(named = DISK, matches = ".+", disabledReason = "it names no small disk")
    fun `a full disk is named and costs nothing`() = test {
        val folder = Files.createTempDirectory(Path.of(System.getenv(DISK)), "full")
        try {
            val filler = folder.resolve("filler")
            val id = Node.open(folder.resolve("node"), loopback).use { node ->
                val context = node.createContext()
                context.put(key("before"), bytes("acknowledged"))
                assertEquals(1, context.add(key("counted"), 1))

                fill(filler)
                val full = assertThrows<KithException.StorageFull> { context.put(key("refused"), bytes("x")) }
                assertTrue("free space" in full.message.orEmpty(), full.message)
                assertThrows<KithException.StorageFull> { context.add(key("counted"), 1) }
                assertThrows<KithException.StorageFull> { node.createContext() }
                assertThrows<KithException.StorageFull> { Node.open(folder.resolve("another"), loopback) }
                isWhole(context)

                Files.delete(filler)
                context.put(key("after"), bytes("room again"))
                assertEquals(2, context.add(key("counted"), 1))
                context.id
            }
            Node.open(folder.resolve("node"), loopback).use { node ->
                val context = node.context(id)
                isWhole(context)
                assertEquals("room again", text(context.get(key("after"))))
                assertEquals(3, context.add(key("counted"), 1))
            }
        } finally {
            folder.toFile().deleteRecursively()
        }
    }
}
