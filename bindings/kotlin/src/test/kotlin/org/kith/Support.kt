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
internal fun test(minutes: Int = 2, body: suspend CoroutineScope.() -> Unit): Unit =
    runBlocking { withTimeout(minutes.minutes) { body() } }

/** Waits until a condition holds. */
internal suspend fun eventually(what: String, condition: suspend () -> Boolean) {
    val held = withTimeoutOrNull(30.seconds) {
        while (!condition()) delay(20.milliseconds)
        true
    }
    check(held == true) { "never: $what" }
}

/** Waits until two members hold the same history, all executed. Equal commitments alone say less: the states may be equal before the histories are. */
internal suspend fun equal(one: Context, other: Context): Unit = eventually("they are equal") {
    val (a, b) = listOf(one.status(), other.status())
    val settled = listOf(a, b).all { it.pending == 0L && it.unopened == 0L }
    settled && a.digest == b.digest && a.commitment == b.commitment
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
