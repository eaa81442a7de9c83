package org.kith

import org.kith.internal.ContextSecurity as NativeContextSecurity
import org.kith.internal.Exported as NativeExported
import org.kith.internal.StorageKey as NativeStorageKey

/** What a directory, or an export, is sealed under. */
public class StorageKey private constructor(internal val native: NativeStorageKey) {
    /** Nothing of the key. */
    override fun toString(): String = "StorageKey(…)"

    public companion object {
        /** 32 random bytes that the host keeps, in the system's keystore. */
        @JvmStatic
        public fun of(bytes: ByteArray): StorageKey = StorageKey(NativeStorageKey.Key(bytes.copyOf()))

        /**
         * A passphrase of 1 to 1,024 bytes of UTF-8, from which the key is worked out: some tenths of a second. What people type should be
         * normalised (NFC).
         */
        @JvmStatic
        public fun passphrase(text: String): StorageKey = StorageKey(NativeStorageKey.Passphrase(text))
    }
}

/** What was exported, or imported. */
public data class Exported(
    /** How many records there are. */
    val records: Long,
    /** How many bytes they have, keys and values. */
    val bytes: Long,
    /** Whether it is a move (`kith-inspect … export --move`), so that what is imported signs; `false`: a backup. */
    val moved: Boolean,
) {
    internal companion object {
        fun of(done: NativeExported): Exported = Exported(done.records.toLong(), done.bytes.toLong(), done.moved)
    }
}

/** How what is written in a context is sealed, for good. Between nodes everything is encrypted by the links besides. */
public enum class Encryption {
    /** Not at all. */
    OFF,

    /** By a group double ratchet over X25519. */
    X25519,

    /** The same over X-Wing, which also withstands quantum computers; its keys are about 13 times as large. */
    X_WING,
    ;

    internal val text: String get() = name.lowercase().replace("_", "")
}

/** How it stands with a context's keys. */
public data class ContextSecurity(
    /** How what is written is sealed. */
    val suite: Encryption,
    /** Names the epoch under whose keys this member would send now; `null`: one is made first. */
    val epoch: Id?,
    /** For how many ms this node has known that epoch. */
    val age: Long,
    /** How many members were given its keys, this one included. The others read by shared history. */
    val membersAble: Long,
    /** How many members there are. */
    val members: Long,
    /** Why new keys are made before this member's next call, if they are. For people. */
    val pending: String?,
    /** How many calls were sent under keys that were not to be used, by anybody. */
    val violations: Long,
    /** How many calls are sealed and not opened here. */
    val unopened: Long,
) {
    internal companion object {
        fun of(security: NativeContextSecurity): ContextSecurity =
            ContextSecurity(
                Encryption.entries.getOrNull(security.suite.toInt()) ?: throw KithException.Internal("the suite ${security.suite}"),
                security.epoch?.let(::Id),
                security.age.toLong(),
                security.membersAble.toLong(),
                security.members.toLong(),
                security.pending,
                security.violations.toLong(),
                security.unopened.toLong(),
            )
    }
}
