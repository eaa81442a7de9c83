package org.kith

import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.atomic.AtomicInteger
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.kith.testing.withTwoMembers

/** The tests' provider for slf4j keeps what it is told: [Records]. */
internal class LogTest {
    // scenario: logs_reach_the_host
    @Test
    fun `what the library logs reaches slf4j, filtered before it crosses`() = test {
        try {
            for ((level, wanted) in listOf(LogLevel.OFF to false, LogLevel.DEBUG to true)) {
                Kith.setLogLevel(level)
                Records.kept.clear()
                withTwoMembers { mine, theirs ->
                    mine.put(key("x"), bytes("y"))
                    eventually("both hold it") { theirs.get(key("x")) != null }
                }
                if (wanted) eventually("something is logged") { Records.kept.any { it.logger.startsWith("kith.") } }
                assertEquals(wanted, Records.kept.isNotEmpty())
            }
            assertTrue(Records.kept.all { it.thread == "kith-log" }, "${Records.kept.map { it.thread }.toSet()}")
        } finally {
            Kith.setLogLevel(LogLevel.WARN)
        }
    }

    @Test
    fun `an appender that throws harms nobody and gets what comes next`() = test {
        try {
            Records.kept.clear()
            Records.throwing.set(20)
            Kith.setLogLevel(LogLevel.DEBUG)
            eventually("it is told again after twenty failures") {
                withTwoMembers { mine, theirs ->
                    mine.put(key("x"), bytes("y"))
                    eventually("both hold it") { theirs.get(key("x")) != null }
                }
                Records.throwing.get() == 0 && Records.kept.any { it.logger.startsWith("kith.") }
            }
        } finally {
            Records.throwing.set(0)
            Kith.setLogLevel(LogLevel.WARN)
        }
    }

    @Test
    fun `the package and its library have one version, and directories have names`() {
        Library.begin()
        assertEquals(org.kith.internal.version(), Kith.version)
        // The test's class path has it in a folder and not in a jar; elsewhere it would be a copy in a temporary folder.
        assertTrue("linux-" in Library.place)
        assertTrue(Kith.defaultDirectory("notes").endsWith("/notes"))
        assertEquals(ErrorKind.INVALID_ARGUMENT, runCatching { Kith.defaultDirectory("..") }.exceptionOrNull().let { (it as KithException).kind })
    }
}

/** What was logged. */
internal object Records {
    class Record(val logger: String, val message: String, val thread: String)

    val kept = ConcurrentLinkedQueue<Record>()

    /** So many records are refused by an exception. */
    val throwing = AtomicInteger()
}
