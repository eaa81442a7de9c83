package org.kith

import kotlin.io.path.Path
import kotlin.system.exitProcess
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** A program that ends while its node is open and somebody waits for it; [BorderTest] runs it. */
internal fun main(arguments: Array<String>) {
    val (directory, way) = arguments
    runBlocking {
        val context = Node.open(Path(directory), loopback).createContext()
        context.put(key("x"), bytes("kept"))
        val events = context.subscribe()
        CoroutineScope(Dispatchers.Default).launch { while (true) events.next() }
        println("ended")
        if (way == "exit") {
            launch(Dispatchers.Default) { repeat(1000) { context.put(key("y"), bytes("$it")) } }
            exitProcess(0)
        }
    }
}
