package org.kith

import org.kith.internal.Difference as NativeDifference
import org.kith.internal.Explanation as NativeExplanation
import org.kith.internal.Verification as NativeVerification
import org.kith.internal.Written as NativeWritten

/** What a transaction left of a key. */
public enum class Written {
    /** A value. */
    VALUE,

    /** The key was removed. */
    REMOVED,

    /** It read the key, and was rejected. */
    NOTHING,
}

/** What one transaction has to do with a key: [Context.explain]. */
public class Explanation internal constructor(
    public val transaction: Transaction,
    public val written: Written,
    /** The BLAKE3 hash of the value that it left, if it left one. */
    public val hash: Id?,
    /**
     * Whether it sorts after the one before without its author having seen that: then neither knew of the other, and the order alone says
     * which comes last. `null`: not found out within 1,000 steps through the history.
     */
    public val unseen: Boolean?,
) {
    override fun toString(): String = "Explanation(transaction=${transaction.id}, written=$written, unseen=$unseen)"

    internal companion object {
        fun of(info: NativeExplanation): Explanation {
            val (written, hash) = when (val left = info.written) {
                is NativeWritten.Value -> Written.VALUE to Id(left.hash)
                NativeWritten.Removed -> Written.REMOVED to null
                NativeWritten.Nothing -> Written.NOTHING to null
            }
            return Explanation(Transaction.of(info.transaction), written, hash, info.unseen)
        }
    }
}

/** What [Context.verify] may find to differ. */
public enum class Part {
    /** The signed transaction itself: it is not what its id says, or is not there. */
    TRANSACTION,

    /** Its signature. */
    SIGNATURE,

    /** Where it stands in the graph. */
    POSITION,

    /** Its row in the order. */
    ORDER,

    /** Which role it was judged by. */
    STANDING,

    /** What it answered, emitted, or was rejected for. */
    RECEIPT,

    /** What is noted of its reads. */
    READS,

    /** A value that it wrote. */
    VALUE,

    /** The members, roles and invitations. */
    MEMBERSHIP,

    /** The running hash of the state. */
    COMMITMENT,

    /** How many transactions there are. */
    COUNT,
    ;

    internal companion object {
        fun of(text: String): Part =
            entries.find { it.name.lowercase() == text } ?: throw KithException.Internal("the part `$text`")
    }
}

/** Where what is kept is not what the history gives. [toString] is for people. */
public class Difference internal constructor(
    public val part: Part,
    /** At which place of the order; `null`: of the context as a whole. */
    public val place: Place?,
    /** The transaction at that place. */
    public val transaction: Id?,
    /** Of which key. */
    public val key: StateKey?,
    /** The BLAKE3 hash of what is kept; `null`: nothing is. */
    public val kept: Id?,
    /** The BLAKE3 hash of what was recomputed; `null`: nothing should be there. */
    public val recomputed: Id?,
    private val text: String,
) {
    override fun toString(): String = text

    internal companion object {
        fun of(info: NativeDifference): Difference =
            Difference(
                Part.of(info.part),
                info.place?.let(::Place),
                info.transaction?.let(::Id),
                info.key?.let(::StateKey),
                info.kept?.let(::Id),
                info.recomputed?.let(::Id),
                info.text,
            )
    }
}

/** What a check of a context has looked at and found: [Context.verify]. */
public class Verification internal constructor(
    /** How many transactions were looked at, in order. */
    public val transactions: Long,
    /** How many of them were executed once more. */
    public val executed: Long,
    /** How many are in the order and were not looked at, since they are still to be executed. */
    public val pending: Long,
    /** How many keys of the state were looked at, deleted ones included. */
    public val keys: Long,
    /** The first difference; `null`: what is kept is what a replay of the history gives. */
    public val difference: Difference?,
) {
    override fun toString(): String =
        "Verification(transactions=$transactions, executed=$executed, pending=$pending, keys=$keys, difference=$difference)"

    internal companion object {
        fun of(info: NativeVerification): Verification =
            Verification(
                info.transactions.toLong(),
                info.executed.toLong(),
                info.pending.toLong(),
                info.keys.toLong(),
                info.difference?.let(Difference::of),
            )
    }
}
