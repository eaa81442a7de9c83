package org.kith

import java.time.Instant
import org.kith.internal.ContextInfo as NativeContextInfo
import org.kith.internal.Invitation as NativeInvitation
import org.kith.internal.InvitationInfo as NativeInvitationInfo
import org.kith.internal.IssuedInvitation as NativeIssuedInvitation
import org.kith.internal.MemberInfo
import org.kith.internal.TransactionInfo

/** What a member may do. */
public enum class Role {
    /** Everything, members and invitations included. */
    ADMIN,

    /** Reads and writes. */
    WRITER,

    /** Reads. */
    READER,
    ;

    internal val text: String get() = name.lowercase()

    internal companion object {
        fun of(text: String): Role = entries.find { it.text == text } ?: throw KithException.Internal("the role `$text`")
    }
}

/** How certain what is read has to be. */
public enum class Level {
    /** What is there now; its place in the order may still move. */
    TENTATIVE,

    /** Only what never changes again. [KithException.Unsupported] until finality is there. */
    FINAL,
}

/** Whether what was acknowledged survives the loss of power, or only the death of the process. */
public enum class Durability { POWER, PROCESS }

/** The engine that keeps a node's directory. */
public enum class StorageEngine {
    /** The one that the directory has; for a new one redb. */
    AUTO,
    SLED,
    REDB,
}

private fun instantOf(millis: ULong): Instant = Instant.ofEpochMilli(millis.toLong().coerceAtLeast(0))

/** An invitation, as it is handed to who shall join: mail its text, or show it as a QR code. */
public class Invitation internal constructor(
    /** `kith1…`. */
    public val text: String,
    private val bytes: ByteArray,
    /** Names the invitation; for [Context.revoke]. */
    public val id: Id,
) {
    /** The same as [text], shorter. */
    public fun toByteArray(): ByteArray = bytes.copyOf()

    /** The QR code of the text, for a terminal: dark on light. */
    public fun qr(): String = Kith.qr(text)

    override fun equals(other: Any?): Boolean = other is Invitation && text == other.text

    override fun hashCode(): Int = text.hashCode()

    /** [text]. */
    override fun toString(): String = text

    internal companion object {
        fun of(native: NativeInvitation): Invitation = Invitation(native.text, native.bytes, Id(native.id))
    }
}

/** What an invitation says. */
public data class InvitationInfo(
    val context: Id,
    val application: String,
    val inviter: Id,
    val role: Role,
    /** `null`: no end. */
    val expiresAt: Instant?,
    val note: String,
    val addresses: List<String>,
    /** Whether this node is a member of the context already. */
    val member: Boolean,
) {
    internal companion object {
        fun of(info: NativeInvitationInfo): InvitationInfo =
            InvitationInfo(
                Id(info.context),
                info.application,
                Id(info.inviter),
                Role.of(info.role),
                info.expiresAt?.let(::instantOf),
                info.note,
                info.addresses,
                info.member,
            )
    }
}

/** An invitation of a context, as its members see it. */
public data class IssuedInvitation(
    /** Names the invitation; for [Context.revoke]. */
    val id: Id,
    val inviter: Id,
    val role: Role,
    /** `null`: no end. */
    val expiresAt: Instant?,
    val maxUses: Long,
    val uses: Long,
    val revoked: Boolean,
    val note: String,
) {
    internal companion object {
        fun of(info: NativeIssuedInvitation): IssuedInvitation =
            IssuedInvitation(
                Id(info.id),
                Id(info.inviter),
                Role.of(info.role),
                info.expiresAt?.let(::instantOf),
                info.maxUses.toLong(),
                info.uses.toLong(),
                info.revoked,
                info.note,
            )
    }
}

/** A context that a node holds. */
public data class ContextInfo(
    val id: Id,
    val name: String,
    val application: String,
    /** Whether joining it has not come to its end. */
    val joining: Boolean,
) {
    internal companion object {
        fun of(info: NativeContextInfo): ContextInfo = ContextInfo(Id(info.id), info.name, info.application, info.joining)
    }
}

/** A member of a context. */
public data class Member(
    val id: Id,
    val role: Role,
    /** The transaction that added it. */
    val added: Id,
    /** What it calls itself; empty: nothing. Nobody vouches for it: two members may have the same. */
    val name: String,
) {
    internal companion object {
        fun of(info: MemberInfo): Member = Member(Id(info.id), Role.of(info.role), Id(info.added), info.name)
    }
}

/** The answer to a call. */
public class Receipt internal constructor(
    /** The transaction that carries the call. */
    public val transaction: Id,
    /** The application's answer, at the tentative place. */
    public val output: ByteArray,
)

/** An entry of the state. */
public class Entry internal constructor(public val key: StateKey, public val value: ByteArray) {
    public operator fun component1(): StateKey = key

    public operator fun component2(): ByteArray = value
}

/** What a transaction did at its place. */
public enum class Outcome { PENDING, ACCEPTED, REJECTED }

/** A place in the order: 48 bytes that sort like places. Tentative until something is final. */
public class Place internal constructor(internal val bytes: ByteArray) : Comparable<Place> {
    override fun compareTo(other: Place): Int = java.util.Arrays.compareUnsigned(bytes, other.bytes)

    override fun equals(other: Any?): Boolean = other is Place && bytes.contentEquals(other.bytes)

    override fun hashCode(): Int = bytes.contentHashCode()

    /** The bytes in hexadecimal digits. */
    override fun toString(): String = hexOf(bytes)
}

/** How it stands with a transaction. */
public class Transaction internal constructor(
    public val id: Id,
    public val author: Id,
    /** Its number in its author's chain. */
    public val sequence: Long,
    /** Its place in the order; for [Context.history]. */
    public val place: Place,
    /** By the author's clock. */
    public val timestamp: Instant,
    /** The number of its kind. */
    public val kind: Int,
    /** Of a call: its method. */
    public val method: String?,
    public val arguments: ByteArray,
    public val outcome: Outcome,
    /** The application's answer, if the transaction is accepted. */
    public val output: ByteArray?,
    /** Why it does nothing, if it is rejected. */
    public val reason: String?,
    /** What the application emitted, in order. */
    public val emitted: List<Message>,
) {
    override fun toString(): String = "Transaction(id=$id, method=$method, outcome=$outcome)"

    internal companion object {
        fun of(info: TransactionInfo): Transaction =
            Transaction(
                Id(info.id),
                Id(info.author),
                info.sequence.toLong(),
                Place(info.place),
                instantOf(info.timestamp),
                info.kind.toInt(),
                info.method,
                info.arguments,
                when {
                    !info.executed -> Outcome.PENDING
                    info.rejection == null -> Outcome.ACCEPTED
                    else -> Outcome.REJECTED
                },
                info.output,
                info.rejection,
                info.emitted.map { Message(it.name, it.data) },
            )
    }
}

/** Something that an application said to the hosts of all members. */
public class Message internal constructor(public val name: String, public val data: ByteArray) {
    override fun toString(): String = "Message(name=$name)"
}
