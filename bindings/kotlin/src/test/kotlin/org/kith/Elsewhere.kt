package org.kith

import java.util.concurrent.Callable
import kotlinx.coroutines.runBlocking
import org.kith.testing.Hub

/**
 * A node with an application of the host's own that answers with this word. The first that is given asks it, the second closes the node. [BorderTest] has
 * several of them, each in a class loader of its own.
 */
internal fun answering(word: String): List<Callable<String>> = runBlocking {
    val node = Hub().node()
    val application = object : Application() {
        override fun execute(call: Call, state: State): ByteArray = bytes(word)
    }
    node.register("word", application)
    val context = node.createContext("word")
    listOf(
        Callable { runBlocking { context.execute("say").output.decodeToString() } },
        Callable { runBlocking { node.shutdown() }.toString() },
    )
}

/** The library that this class loader has. */
internal fun libraryHere(): String = Library.place
