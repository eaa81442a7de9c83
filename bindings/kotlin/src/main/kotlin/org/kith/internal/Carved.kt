package org.kith.internal

import com.sun.jna.Memory
import com.sun.jna.Structure

/**
 * A structure of a call. Calls make them by the million, and JNA has one thread that gives the memory of each back, by itself: it falls behind. So
 * they have parts of pieces of which hundreds of structures have some, and a piece is given back when none of these is left.
 *
 * @suppress
 */
public abstract class Carved : Structure() {
    override fun autoAllocate(size: Int): Memory = Piece.part(size.toLong())
}

/** The piece of which a thread takes parts, up to its end. */
private class Piece {
    private val memory = Memory(SIZE).apply { clear() }
    private var taken = 0L

    private fun part(size: Long): Memory? {
        if (size > SIZE - taken) return null
        // A part holds on to its piece.
        val part = memory.share(taken, size) as Memory
        taken += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
        return part
    }

    companion object {
        private const val SIZE = 16_384L
        private const val ALIGNMENT = 16L
        private val current = object : ThreadLocal<Piece>() {
            override fun initialValue(): Piece = Piece()
        }

        fun part(size: Long): Memory =
            current.get().part(size) ?: Piece().also(current::set).part(size) ?: Memory(size).apply { clear() }
    }
}
