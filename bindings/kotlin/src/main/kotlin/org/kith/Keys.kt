package org.kith

import java.security.SecureRandom
import org.kith.internal.stateKeyCollection
import org.kith.internal.stateKeyOf

internal fun hexOf(bytes: ByteArray): String = bytes.joinToString("") { "%02x".format(it) }

/** 32 bytes that name something: a context, a member, a transaction. Equal if the bytes are. */
public class Id(bytes: ByteArray) {
    private val bytes = bytes.copyOf()

    init {
        if (bytes.size != SIZE) throw KithException.InvalidArgument("an id has $SIZE bytes, not ${bytes.size}")
    }

    /** A copy of the bytes. */
    public fun toByteArray(): ByteArray = bytes.copyOf()

    override fun equals(other: Any?): Boolean = other is Id && bytes.contentEquals(other.bytes)

    override fun hashCode(): Int = bytes.contentHashCode()

    /** The bytes in hexadecimal digits. */
    override fun toString(): String = hexOf(bytes)

    public companion object {
        /** How many bytes an id has. */
        public const val SIZE: Int = 32
    }
}

/** Names an entry of a context's state: 32 bytes. They sort like unsigned bytes. */
public class StateKey(bytes: ByteArray) : Comparable<StateKey> {
    private val bytes = bytes.copyOf()

    init {
        if (bytes.size != SIZE) throw KithException.InvalidArgument("a state key has $SIZE bytes, not ${bytes.size}")
    }

    /** A copy of the bytes. */
    public fun toByteArray(): ByteArray = bytes.copyOf()

    override fun compareTo(other: StateKey): Int = java.util.Arrays.compareUnsigned(bytes, other.bytes)

    override fun equals(other: Any?): Boolean = other is StateKey && bytes.contentEquals(other.bytes)

    override fun hashCode(): Int = bytes.contentHashCode()

    /** The bytes in hexadecimal digits. */
    override fun toString(): String = hexOf(bytes)

    public companion object {
        /** How many bytes a key has. */
        public const val SIZE: Int = 32

        private val random = SecureRandom()

        /** The key of an item of a collection. All keys of a collection begin with `collection(…)`. */
        @JvmStatic
        public fun of(collection: String, name: String): StateKey {
            Library.begin()
            return StateKey(stateKeyOf(collection, name))
        }

        /** The 16 bytes that the keys of a collection begin with, for [Context.entries]. */
        @JvmStatic
        public fun collection(collection: String): ByteArray {
            Library.begin()
            return stateKeyCollection(collection)
        }

        /** A fresh random key. */
        @JvmStatic
        public fun random(): StateKey = StateKey(ByteArray(SIZE).also(random::nextBytes))
    }
}
