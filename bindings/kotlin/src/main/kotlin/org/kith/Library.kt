package org.kith

import com.sun.jna.Callback
import com.sun.jna.CallbackThreadInitializer
import com.sun.jna.Native
import java.io.File
import java.io.IOException
import org.kith.internal.LogRecord
import org.kith.internal.LogSink
import org.kith.internal.qrText
import org.kith.internal.readInvitation
import org.kith.internal.setLog
import org.kith.internal.uniffiCallbackInterfaceHostApplication as Applications
import org.kith.internal.uniffiCallbackInterfaceJoinProgress as Progress
import org.kith.internal.uniffiCallbackInterfaceLogSink as Logs
import org.kith.internal.uniffiRustFutureContinuationCallbackImpl
import org.slf4j.LoggerFactory
import org.slf4j.event.Level as Slf4jLevel

/** What the library logs, from nothing to everything. */
public enum class LogLevel { OFF, ERROR, WARN, INFO, DEBUG, TRACE }

/** What belongs to no node. */
public object Kith {
    /** The version of the package, which is the version of its library. */
    @JvmStatic
    public val version: String get() = Library.VERSION

    /**
     * The directory for the node of a program of this name on this system, for [Node.open]. Nothing is made there.
     *
     * Linux and other Unix: `$XDG_DATA_HOME/NAME`, else `~/.local/share/NAME`. macOS: `~/Library/Application Support/NAME`.
     * Windows: `%LOCALAPPDATA%\NAME`. Android has none ([KithException.Unsupported]): use the app's own `filesDir`.
     */
    @JvmStatic
    public fun defaultDirectory(name: String): String = translated { org.kith.internal.defaultDirectory(name) }

    /** An invitation from its text. [KithException.InvitationInvalid] if it is damaged. */
    @JvmStatic
    public fun invitation(text: String): Invitation = translated { Invitation.of(readInvitation(text, ByteArray(0))) }

    /** An invitation from its bytes. [KithException.InvitationInvalid] if it is damaged. */
    @JvmStatic
    public fun invitation(bytes: ByteArray): Invitation = translated { Invitation.of(readInvitation(null, bytes)) }

    /**
     * What the library logs, for the whole process; [LogLevel.WARN] at first. What is below that is dropped in the library and
     * costs nothing. The rest goes to the slf4j loggers `kith.…` on a thread of the library's own, so an appender that is slow
     * holds up nobody, and what it is too slow for is dropped and counted. Appenders must not call this library.
     */
    @JvmStatic
    public fun setLogLevel(level: LogLevel): Unit = translated { Library.log(level) }

    internal fun qr(token: String): String = translated { qrText(token) }
}

/** The native library: loaded once, checked, told where its log goes and how its threads join the JVM. */
internal object Library {
    val VERSION: String =
        // From the root: a program that was shrunk may have this class in another package.
        Library::class.java.getResourceAsStream("/org/kith/version").use { stream ->
            stream?.readBytes()?.decodeToString()?.trim() ?: error("the package has no version in it")
        }

    /** The loading of this object, which has to come before any other use of the generated code; or why it has come to nothing. */
    fun begin() {
        loaded.getOrThrow()
    }

    private object Sink : LogSink {
        override fun log(record: LogRecord) = Inside.of("a log appender") {
            // "kith_core::node::switchboard" is "kith.node.switchboard" here.
            val name = (listOf("kith") + record.target.split("::").drop(1)).joinToString(".")
            val level = when (record.level) {
                "error" -> Slf4jLevel.ERROR
                "info" -> Slf4jLevel.INFO
                "debug" -> Slf4jLevel.DEBUG
                "trace" -> Slf4jLevel.TRACE
                else -> Slf4jLevel.WARN
            }
            LoggerFactory.getLogger(name).atLevel(level).log(record.message)
        }
    }

    fun log(level: LogLevel) {
        setLog(level.name.lowercase(), Sink)
    }

    /**
     * A thread of the library that calls into the JVM becomes a daemon thread of it and stays one: to attach and detach it for each
     * call costs far more than the call.
     */
    private fun stay(name: String, vararg callbacks: Callback) {
        for (callback in callbacks) {
            Native.setCallbackThreadInitializer(callback, CallbackThreadInitializer(true, false, name))
        }
    }

    /**
     * The library in the jar, and not one of the same name that the system's paths happen to have. Where there is none (on Android, whose
     * packages have a place of their own for libraries) the system finds it by its name.
     */
    private fun packed(): String? =
        try { Native.extractFromResourcePath(NAME, Library::class.java.classLoader)?.absolutePath } catch (_: IOException) { null }

    /**
     * A library knows one host: of the applications and the log of two, it would call those of the one that came last. So each class loader of a JVM
     * has a library of its own, which is another file for the system. One that is found by its name cannot be another one.
     */
    private fun own(found: String): String {
        val file = File(found)
        if (claim(if (file.isFile) file.canonicalPath else found)) return found
        if (!file.isFile) {
            throw KithException.Unsupported("another class loader of this JVM has the library $found, which is one for all: load the package once, above both")
        }
        val copy = File.createTempFile(NAME, ".library").apply { deleteOnExit() }
        file.copyTo(copy, overwrite = true)
        claim(copy.canonicalPath)
        return copy.absolutePath
    }

    /** Whether no other class loader has taken it. What all of them see are the system's properties. */
    private fun claim(library: String): Boolean = System.setProperty("org.kith.taken:$library", "") == null

    private fun load(): String {
        val named = System.getProperty(PLACE)
        val found = own(named ?: packed() ?: NAME)
        // Nobody else is to find it there: it is this class loader's.
        System.setProperty(PLACE, found)
        try {
            // Before anything else: how a callback's thread is attached is settled when the callback is first handed over.
            stay("kith-async", uniffiRustFutureContinuationCallbackImpl)
            stay("kith-context", Applications.initialise, Applications.execute, Applications.query)
            stay("kith-context", Applications.uniffiFree, Applications.uniffiClone)
            stay("kith-async", Progress.progress, Progress.uniffiFree, Progress.uniffiClone)
            stay("kith-log", Logs.log, Logs.uniffiFree, Logs.uniffiClone)
            val native = org.kith.internal.version()
            if (native != VERSION) {
                throw KithException.VersionMismatch("the package is kith $VERSION, but its library is $native")
            }
        } finally {
            if (named == null) System.clearProperty(PLACE) else System.setProperty(PLACE, named)
        }
        setLog("warn", Sink)
        return found
    }

    private const val NAME = "kith_uniffi"

    /** Where the generated code looks first, once. */
    private const val PLACE = "uniffi.component.kith_native.libraryOverride"

    // A constant is the same object for all class loaders.
    private val loaded: Result<String> = synchronized(PLACE) {
        try { Result.success(load()) } catch (failure: KithException) { Result.failure(failure) }
    }

    /** The library that this class loader has. */
    val place: String get() = loaded.getOrThrow()
}
