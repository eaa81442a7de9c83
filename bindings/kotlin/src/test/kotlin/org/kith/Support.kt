package org.kith

import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull

internal fun key(name: String): StateKey = StateKey.of("test", name)

/** A test; the limit only ends one that hangs. */
internal fun test(body: suspend CoroutineScope.() -> Unit): Unit = runBlocking { withTimeout(2.minutes) { body() } }

/** Waits until a condition holds. */
internal suspend fun eventually(what: String, condition: suspend () -> Boolean) {
    val held = withTimeoutOrNull(30.seconds) {
        while (!condition()) delay(20.milliseconds)
        true
    }
    check(held == true) { "never: $what" }
}

internal suspend inline fun <reified T : Event> Events.of(): T {
    while (true) (next() as? T)?.let { return it }
}

internal val loopback: NodeOptions.() -> Unit = {
    listen = listOf("/ip4/127.0.0.1/tcp/0")
    discovery = false
}

internal fun text(bytes: ByteArray?): String? = bytes?.decodeToString()

internal fun bytes(text: String): ByteArray = text.encodeToByteArray()
